"""What a reconciliation finds: kinds of differences between a party's log and all's."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from veilscore.keys.tlog.tlog_proof import TlogProof


class Kind(StrEnum):
    """What a finding is about."""

    CHAIN = "chain"  # the own events do not follow each other
    WAITING = "waiting"  # an own event has no receipt yet
    MISSING = "missing"  # the log has proved an event, and does not hold it
    UNKNOWN = "unknown"  # the log has an event of this party that the party has not
    DIFFERENT = "different"  # both have an event of a number, with other content
    GAP = "gap"  # in the log an event of this party does not follow the one before
    FORK = "fork"  # what the log signed before is no beginning of it
    STALE = "stale"  # the log shows less than it has signed for this party
    REWRITTEN = "rewritten"  # the own log is not what a log_reconciled said of it
    UNANSWERED = "unanswered"  # a holder has not decided on a request
    UNASKED = "unasked"  # a decision or an answer that belongs to no request
    UNFINISHED = "unfinished"  # allowed, and neither answered nor refused


NEVER_HONEST: Final = frozenset(
    {Kind.MISSING, Kind.UNKNOWN, Kind.DIFFERENT, Kind.GAP, Kind.FORK, Kind.STALE}
)
"""What no crash and no wait explains: the log lies, or somebody has the party's key."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference; ``event`` is the number of this party's event, 0 of another's."""

    kind: Kind
    event: int
    what: str
    correlation: str = ""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """What shows to others a finding that is never honest.

    Of a fork, and of a log that is stale, that is ``older``: a checkpoint that the log
    signed before and does not continue, or not yet. Of all others it is a leaf and the
    log's proof that it holds it.
    """

    finding: Finding
    older: str = ""
    leaf: bytes = b""
    proof: TlogProof | None = None
