"""An auditor's folder: keys of its own, and the certificate that a coordinator reads.

An auditor is a party without data and without a node: it joins by the same card and kit
as a node does. A node's folder with the file names that ``node init`` chose is as good,
for whoever reads the log in its name. Private keys never leave the folder, but for a
browser when its owner asks for that.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from veilscore.fault import concerning
from veilscore.keys import files
from veilscore.keys.certificates import Certificate, TlsKey
from veilscore.keys.enrolment import PartyCard, WelcomeKit
from veilscore.keys.errors import InvalidKeyError
from veilscore.keys.identity import Signer, check_party_name
from veilscore.keys.keystore import Keystore, read_passphrase
from veilscore.keys.registry import Role
from veilscore.runtime import party_folder
from veilscore.runtime.joining import SIGNING, TLS, KitPlace, keep_kit, load_kit
from veilscore.runtime.tls import TlsIdentity

CARD = "card.json"


def enroll(folder: Path, name: str) -> bytes:
    """Make the folder of an auditor; returns the fingerprint of its signing key.

    Raises RegistryError for a name that no party may have, ConfigError if the folder
    holds anything. Nothing is made then.
    """
    check_party_name(name)
    party_folder.make(folder, name)
    passphrase_file = party_folder.passphrase_file(folder, None)
    signer, tls = Signer.generate(), TlsKey.generate()
    keystore = Keystore.create(folder / "keystore", read_passphrase(passphrase_file))
    keystore.put(SIGNING, signer.private_bytes())
    keystore.put(TLS, tls.private_pem())
    card = PartyCard.sign(signer, name, [Role.AUDITOR], tls.request(name))
    files.create(folder / CARD, card)
    return signer.verify_key.fingerprint


@dataclass(frozen=True, slots=True)
class Auditor:
    """A folder that ``enroll`` made, or ``node init``; methods raise a Fault."""

    folder: Path
    name: str

    @classmethod
    def open(cls, folder: Path) -> "Auditor":
        """Find out whose folder this is; raises FileError, or what a card raises."""
        return cls(folder, PartyCard.load(files.read(folder / CARD)).name)

    @property
    def policy(self) -> Path:
        """The log policy that came with the kit, or took its place."""
        return self.folder / "log-policy.txt"

    def join(self, kit: bytes, fingerprint: bytes) -> WelcomeKit:
        """Check a kit against the coordinator's fingerprint and keep both."""
        return keep_kit(self._place, self._key(), kit, fingerprint)

    def identity(self) -> TlsIdentity:
        """Return what shows a coordinator who reads, while it is valid."""
        kit, key = load_kit(self._place), self._key()
        try:
            key.check_certificate(kit.certificate)
            Certificate.parse(kit.certificate).check(time.time())
        except InvalidKeyError as error:
            error.place = error.place or str(self._place.kit)
            raise
        return TlsIdentity(kit.authority, kit.certificate, key.private_pem())

    def for_browser(self, password: bytes) -> bytes:
        """Return key, certificate and authority as a PKCS #12 file for a browser."""
        identity = self.identity()
        return TlsKey.from_pem(identity.key).pkcs12(
            identity.certificate, identity.authority, self.name, password
        )

    def _key(self) -> TlsKey:
        with concerning(self.name):
            passphrase = read_passphrase(self.folder / "passphrase")
            keystore = Keystore.open(self.folder / "keystore", passphrase)
            return TlsKey.from_pem(keystore.get(TLS))

    @property
    def _place(self) -> KitPlace:
        return KitPlace(
            self.name,
            self.folder / "kit.json",
            self.folder / "coordinator.fingerprint",
            self.policy,
            f"veilscore audit join KIT.json --as {self.folder} --fingerprint HEX",
        )
