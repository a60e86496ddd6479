"""How a party keeps the kit with which a coordinator has let it in, and reads it again.

Nothing of it is secret. The coordinator's fingerprint, typed by the party's operator,
is kept beside it and is what the kit is verified by, each time.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from veilscore.keys import files
from veilscore.keys.certificates import TlsKey
from veilscore.keys.enrolment import WelcomeKit
from veilscore.keys.errors import KeystoreError
from veilscore.keys.tlog.log_policy import LogPolicy

SIGNING: Final = "signing"  # secrets in the keystore of every party
TLS: Final = "tls"


@dataclass(frozen=True, slots=True)
class KitPlace:
    """Where a party keeps its kit, and the command that puts it there."""

    party: str
    kit: Path
    fingerprint: Path
    policy: Path
    command: str


def keep_kit(
    place: KitPlace, key: TlsKey, kit: bytes, fingerprint: bytes
) -> WelcomeKit:
    """Check a kit against the coordinator's fingerprint and keep both.

    The kit's log policy is only kept if the party has none. Raises a Fault; then
    nothing is kept.
    """
    welcome = WelcomeKit.load(kit, fingerprint, place.party)
    key.check_certificate(welcome.certificate)
    LogPolicy.parse(welcome.log_policy)
    files.replace(place.fingerprint, fingerprint.hex().encode())
    if not place.policy.exists():
        files.create(place.policy, welcome.log_policy)
    files.replace(place.kit, kit)
    return welcome


def load_kit(place: KitPlace) -> WelcomeKit:
    """Read the kit that is kept there; raises a Fault with the remedy."""
    try:
        pinned = place.fingerprint.read_bytes()
        kit = place.kit.read_bytes()
    except OSError as error:
        raise KeystoreError(
            "it has not joined a coordinator",
            party=place.party,
            place=str(place.kit),
            remedy=f"First run: {place.command}",
        ) from error
    try:
        fingerprint = bytes.fromhex(pinned.decode("ascii"))
    except ValueError as error:
        raise KeystoreError(
            "this is not the fingerprint of a coordinator",
            party=place.party,
            place=str(place.fingerprint),
            remedy="Join again with the fingerprint that its operator reads out.",
        ) from error
    return WelcomeKit.load(kit, fingerprint, place.party)
