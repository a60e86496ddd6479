"""What a requester makes of one data holder's answer or refusal, whatever it asked."""

from dataclasses import dataclass, field
from typing import Final, Generic, NoReturn, TypeVar

from veilscore.keys.errors import InvalidCiphertextError
from veilscore.keys.paillier.public import PublicKey
from veilscore.node.errors import (
    BadAnswerError,
    HolderRefusedError,
    HolderUnavailableError,
)
from veilscore.node.scoring.query import AnyQuery
from veilscore.node.scoring.refusals import SENTENCES, TRANSIENT, Reason
from veilscore.v1.score_pb2 import ScoreAnswer, ScoreRefusal

_Score = TypeVar("_Score")

_ASK_AGAIN: Final = "Ask again; if it recurs, report it to the data holder."


@dataclass(frozen=True, slots=True)
class Scores(Generic[_Score]):
    """What one request brought, in its order.

    ``request`` is its id in hex, under which the log holds what became of it; empty if
    nobody was asked.
    """

    request: str
    scores: list[_Score] = field(repr=False)

    @property
    def at_home(self) -> bool:
        """Whether they were scored at this node alone, and nothing was logged."""
        return not self.request


def read_answer(
    query: AnyQuery,
    sender: str,
    answer: ScoreAnswer,
    public: PublicKey,
    expected: int,
) -> list[int]:
    """Return the ``expected`` ciphertexts of an answer, each checked.

    Raises BadAnswerError if it is an answer to something else, or no ciphertexts.
    """
    if answer.digest != query.digest:
        raise BadAnswerError(
            "answered another query than it was asked", party=sender, remedy=_ASK_AGAIN
        )
    try:
        return public.decode(answer.ciphertexts, expected)
    except InvalidCiphertextError as error:
        raise BadAnswerError(
            error.what, party=sender, place=error.place, remedy=_ASK_AGAIN
        ) from error


def raise_refusal(sender: str, refusal: ScoreRefusal) -> NoReturn:
    """Raise HolderRefusedError with our own sentence for the holder's code."""
    try:
        reason = Reason(refusal.code)
    except ValueError as error:
        raise HolderRefusedError(
            "refused for a reason that this version does not know",
            reason="unknown",
            party=sender,
        ) from error
    kind = HolderUnavailableError if reason in TRANSIENT else HolderRefusedError
    raise kind(f"refused ({reason}): {SENTENCES[reason]}", reason=reason, party=sender)
