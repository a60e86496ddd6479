"""Making a node's folder, and joining a coordinator by exchanged files.

``init`` makes keys and a card; the coordinator's operator answers with a kit. Private
keys never leave the folder; what goes out is the card, which holds public keys only.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from veilscore.fault import concerning
from veilscore.keys import files
from veilscore.keys.certificates import Certificate, FlowerKey, TlsKey
from veilscore.keys.enrolment import PartyCard, WelcomeKit
from veilscore.keys.errors import InvalidKeyError, LogPolicyError
from veilscore.keys.identity import Signer, VerifyKey, check_party_name
from veilscore.keys.keystore import Keystore, read_passphrase
from veilscore.keys.paillier import safe_primes
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.registry import Role
from veilscore.keys.tlog.log_policy import LogPolicy, read_policy
from veilscore.node.config import NodeSettings
from veilscore.runtime import joining, party_folder
from veilscore.runtime.joining import SIGNING, TLS, KitPlace
from veilscore.runtime.settings import loads
from veilscore.runtime.web.tokens import AccessToken

PAILLIER, FLOWER = "paillier", "flower"
MOST_WORKERS = 4  # Paillier processes a new node is set to, at about 105 MB each

SOURCE_TEMPLATE = """\
# [source]
# csv = "borrowers.csv"          # or parquet = "...", or sql = "..." and table = "..."
# [source.id]
# column = "id"
# type = "uscc"                  # uscc, resident or opaque
# [[source.feature]]
# column = "log_capital"
# kind = "numeric"               # or categorical
# [source.label]                 # only where defaults are known
# column = "bad"
# holdout_share = 0.3
"""


@dataclass(frozen=True, slots=True)
class NewNode:
    """What ``node init`` is told."""

    folder: Path
    party: str
    roles: Sequence[Role]
    key_bits: int
    source: str  # the [source] tables, TOML; empty: a commented template
    web_port: int
    runtime_port: int
    passphrase_file: Path | None
    safe_primes: bool  # else random ones, found in no time and slower ever after


def create(new: NewNode, found: safe_primes.Found) -> bytes:
    """Make the folder; returns the fingerprint of the signing key.

    ``found`` hears of every safe prime. Raises ConfigError when the folder holds
    anything already or the settings do not fit, InvalidKeyError for a bad party name or
    size of the key, FileError for the passphrase file; all of that before the search
    for safe primes. Nothing is made then, nor when the search is interrupted.
    """
    check_party_name(new.party)
    settings = _toml(new, new.passphrase_file or new.folder / "passphrase").encode()
    loads(settings, NodeSettings, new.folder / "node.toml")
    if new.passphrase_file:
        with concerning(new.party):
            read_passphrase(new.passphrase_file)
    party_folder.check(new.folder, new.party)
    if new.safe_primes:
        paillier = safe_primes.generate(found, new.key_bits)
    else:
        paillier = PrivateKey.generate(new.key_bits)
    party_folder.make(new.folder, new.party)
    passphrase_file = party_folder.passphrase_file(new.folder, new.passphrase_file)
    signer, tls, flower = Signer.generate(), TlsKey.generate(), FlowerKey.generate()
    keystore = Keystore.create(
        new.folder / "keystore", read_passphrase(passphrase_file)
    )
    keystore.put(SIGNING, signer.private_bytes())
    keystore.put(TLS, tls.private_pem())
    keystore.put(FLOWER, flower.private_openssh())
    keystore.put(PAILLIER, paillier.to_bytes())
    AccessToken.create(new.folder / "web.token")
    card = PartyCard.sign(
        signer,
        new.party,
        new.roles,
        tls.request(new.party),
        flower.public_pem(),
        paillier.certify(new.party),
    )
    files.create(new.folder / "card.json", card)
    files.create(new.folder / "node.toml", settings)
    return signer.verify_key.fingerprint


def join(settings: NodeSettings, kit: bytes, fingerprint: bytes) -> WelcomeKit:
    """Check a kit against the coordinator's fingerprint and keep both.

    The kit's log policy is only kept if the node has none.
    """
    key = TlsKey.from_pem(open_keystore(settings).get(TLS))
    return joining.keep_kit(_place(settings), key, kit, fingerprint)


def open_policy(settings: NodeSettings, coordinator: VerifyKey) -> LogPolicy:
    """Read whose checkpoints count; raises FileError or LogPolicyError."""
    policy = read_policy(settings.log.policy)
    if all(log.key != coordinator for log in policy.logs.values()):
        raise LogPolicyError(
            "the log policy does not name the coordinator's log",
            party=settings.party,
            place=str(settings.log.policy),
            remedy="Take its line from the coordinator's log.v1.json.",
        )
    return policy


def open_keystore(settings: NodeSettings) -> Keystore:
    """Open the node's keystore; raises KeystoreError or FileError."""
    with concerning(settings.party):
        passphrase = read_passphrase(settings.passphrase_file)
        return Keystore.open(settings.keystore, passphrase)


def valid_certificate(
    settings: NodeSettings, kit: WelcomeKit, now: float
) -> Certificate:
    """Return the node's own certificate; raises InvalidKeyError unless it is valid."""
    certificate = Certificate.parse(kit.certificate)
    try:
        certificate.check(now)
    except InvalidKeyError as error:
        error.place = str(settings.kit)
        raise
    return certificate


def load_kit(settings: NodeSettings) -> WelcomeKit:
    """Read the kit this node has joined with; raises a Fault with the remedy."""
    return joining.load_kit(_place(settings))


def _place(settings: NodeSettings) -> KitPlace:
    return KitPlace(
        settings.party,
        settings.kit,
        settings.coordinator_fingerprint_file,
        settings.log.policy,
        "veilscore node join KIT.json --config DIR/node.toml --fingerprint HEX",
    )


def _toml(new: NewNode, passphrase_file: Path) -> str:
    passphrase = party_folder.as_written(new.folder, passphrase_file)
    workers = min(MOST_WORKERS, os.cpu_count() or 1)
    return f"""\
# One node of Veilscore. Unknown keys are refused; secrets stand in files.
party = "{new.party}"
state = "state"
passphrase_file = {json.dumps(passphrase)}
keystore = "keystore"
kit = "kit.json"
coordinator_fingerprint_file = "coordinator.fingerprint"
key_bits = {new.key_bits}
workers = {workers}

[web]
host = "127.0.0.1"
port = {new.web_port}
token_file = "web.token"

[flower]
runtime_port = {new.runtime_port}

# Whose checkpoints of the audit log count: the coordinator's word at first, this node's
# own from then on.
[log]
policy = "log-policy.txt"

[training]
approve = "manual"

[scoring]
requesters = []
purposes = []

{new.source or SOURCE_TEMPLATE}"""
