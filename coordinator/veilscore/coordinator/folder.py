"""What is in the coordinator's folder, opened and checked.

Secrets leave the keystore as objects; nothing here writes.
"""

import json
from typing import Final

from veilscore.coordinator.config import CoordinatorSettings
from veilscore.fault import concerning
from veilscore.keys import files
from veilscore.keys.certificates import Certificate, TlsKey
from veilscore.keys.errors import InvalidKeyError
from veilscore.keys.identity import Signer, VerifyKey
from veilscore.keys.keystore import Keystore, read_passphrase
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.log_policy import LogPolicy, read_policy
from veilscore.keys.tlog.store import LogStore
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.tls import TlsIdentity

LOG: Final = "log.db"
SIGNING, TLS, AUTHORITY = "signing", "tls", "authority"  # secrets in the keystore


def origin(key: VerifyKey) -> str:
    """Return the name of the log that the holder of a key runs."""
    return f"veilscore/{key.key_id.hex()}"


def open_keystore(settings: CoordinatorSettings) -> Keystore:
    """Open the coordinator's keystore; raises KeystoreError or FileError."""
    with concerning(settings.name):
        passphrase = read_passphrase(settings.passphrase_file)
        return Keystore.open(settings.keystore, passphrase)


def open_signer(settings: CoordinatorSettings) -> Signer:
    """Return the coordinator's signing key."""
    return Signer.from_private_bytes(open_keystore(settings).get(SIGNING))


def open_registry(settings: CoordinatorSettings) -> Registry:
    """Return the registry, verified; raises a Fault."""
    fingerprint = open_signer(settings).verify_key.fingerprint
    registry = Registry.load(files.read(settings.registry), fingerprint)
    check_name(settings, registry)
    return registry


def open_identity(
    settings: CoordinatorSettings, keystore: Keystore, now: float
) -> TlsIdentity:
    """Return the key and certificate that hub and SuperLink show.

    Raises InvalidKeyError if they do not fit or the certificate is not valid now.
    """
    key = TlsKey.from_pem(keystore.get(TLS))
    certificate = files.read(settings.certificate)
    key.check_certificate(certificate)
    try:
        Certificate.parse(certificate).check(now)
    except InvalidKeyError as error:
        error.place = str(settings.certificate)
        error.remedy = (
            "Set the clock of this machine if it is wrong; else run: "
            "veilscore coordinator renew --config DIR/coordinator.toml"
        )
        raise
    return TlsIdentity(files.read(settings.authority), certificate, key.private_pem())


def open_log(settings: CoordinatorSettings, signer: Signer) -> LogStore:
    """Open the audit log, which ``create`` began; raises a Fault."""
    return LogStore.open(
        settings.state / LOG,
        origin(signer.verify_key),
        signer,
        guard=settings.log.guard,
        witnessed=open_policy(settings).needs_witnesses,
    )


def open_policy(settings: CoordinatorSettings) -> LogPolicy:
    """Read who must cosign the log; raises FileError or LogPolicyError."""
    return read_policy(settings.log.policy)


def check_name(settings: CoordinatorSettings, registry: Registry) -> None:
    """Raise ConfigError unless the registry calls this coordinator by its name."""
    if registry.coordinator.name != settings.name:
        raise ConfigError(
            f"the registry calls the coordinator {registry.coordinator.name!r}, its "
            f"configuration {settings.name!r}",
            place=str(settings.registry),
            remedy=f"Set name = {json.dumps(registry.coordinator.name)}.",
        )
