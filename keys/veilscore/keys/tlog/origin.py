"""The name of a party's own log, which says whose events it must hold, and no others.

A log of all parties is named by its key alone, or in any other way.
"""

from veilscore.keys.errors import ProofError
from veilscore.keys.identity import VerifyKey
from veilscore.keys.tlog.note import NoteKey

_PREFIX = "veilscore"


def own_origin(party: str, key: VerifyKey) -> str:
    """Return the name of a party's own log, signed by the key of its events."""
    return f"{_PREFIX}/{key.key_id.hex()}/{party}"


def owner_of(log: NoteKey) -> str:
    """Return whose own log this is; empty: a log of all parties.

    Raises:
        ProofError: it is called like an own log, of a holder of another key.

    """
    prefix, _, rest = log.name.partition("/")
    _, slash, party = rest.partition("/")
    if prefix != _PREFIX or not slash:
        return ""
    if log.name != own_origin(party, log.key):
        raise ProofError(
            f"the log {log.name!r} is signed by another key than its name says",
            party=party[:40],
        )
    return party
