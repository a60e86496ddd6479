"""One request for hosted scores in canonical form.

Seen by the requester and the data holder. Whatever it says of applicants is encrypted
under the requester's key; that there are so many of them is not.
"""

from dataclasses import dataclass
from typing import Final, Self

from veilscore.node.scoring.checks import DIGEST_BYTES
from veilscore.node.scoring.query import CanonicalQuery, read_body
from veilscore.node.scoring.refusals import QueryRefusedError, Reason
from veilscore.v1.score_pb2 import HostedQueryBody

_PARTIES: Final = 2


@dataclass(frozen=True, slots=True, repr=False)
class HostedQuery(CanonicalQuery[HostedQueryBody]):
    """A query for scores of a hosted card."""

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """Read a requester's body; raises QueryRefusedError for any flaw of form."""
        body = read_body(HostedQueryBody, raw)
        if not (
            len(body.form) == DIGEST_BYTES
            and len(body.receiving_keys) == _PARTIES
            and body.applicants
        ):
            raise QueryRefusedError(Reason.MALFORMED)
        return cls(raw, body)
