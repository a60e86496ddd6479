"""Why a data holder does not answer: a stable code and its fixed sentence.

The requester learns the code and nothing else; a sentence that arrives is not shown,
the requester's own copy of it is. The private reason stays in the holder's log.
"""

from enum import StrEnum
from typing import Final

from veilscore.node.errors import RefusedError


class Reason(StrEnum):
    """Codes of refusals, in the order in which a query is checked."""

    MALFORMED = "malformed"
    NOT_A_REQUESTER = "not-a-requester"
    UNKNOWN_MODEL = "unknown-model"
    UNKNOWN_CARD = "unknown-card"
    WRONG_HOLDERS = "wrong-holders"
    REQUESTER_NOT_ALLOWED = "requester-not-allowed"
    PURPOSE_NOT_ALLOWED = "purpose-not-allowed"
    REPLAYED = "replayed"
    CLOCK_SKEW = "clock-skew"
    EXPIRED = "expired"
    DEADLINE_TOO_FAR = "deadline-too-far"
    STALE_KEYS = "stale-keys"
    TOO_MANY_ENTITIES = "too-many-entities"
    BAD_ENTITIES = "bad-entities"
    BAD_MODULUS = "bad-modulus"
    BAD_CIPHERTEXTS = "bad-ciphertexts"
    TWO_PARTY = "two-party"
    BUDGET_SPENT = "budget-spent"
    LOG_UNREACHABLE = "log-unreachable"
    UNAVAILABLE = "unavailable"


SENTENCES: Final = {
    Reason.MALFORMED: "the query is not well formed",
    Reason.NOT_A_REQUESTER: "the sender is not registered as a requester",
    Reason.UNKNOWN_MODEL: "this data holder has no card of the model",
    Reason.UNKNOWN_CARD: "this data holder hosts no card with this form",
    Reason.WRONG_HOLDERS: "the query does not name the holders that it should",
    Reason.REQUESTER_NOT_ALLOWED: "this data holder does not answer this requester",
    Reason.PURPOSE_NOT_ALLOWED: "this data holder does not answer for this purpose",
    Reason.REPLAYED: "the nonce of the query was used before",
    Reason.CLOCK_SKEW: "the requester's clock and this data holder's differ by more "
    "than 300 s",
    Reason.EXPIRED: "the deadline of the query has passed",
    Reason.DEADLINE_TOO_FAR: "the deadline of the query is too far away",
    Reason.STALE_KEYS: "a receiving key in the query is not the current one",
    Reason.TOO_MANY_ENTITIES: "the query is about more entities than are answered",
    Reason.BAD_ENTITIES: "an id is absent, not in its canonical form, or named twice",
    Reason.BAD_MODULUS: "the Paillier modulus is not the requester's or not allowed",
    Reason.BAD_CIPHERTEXTS: "these are not the form's ciphertexts under the key",
    Reason.BUDGET_SPENT: "the budget of bits for this requester and card is used up",
    Reason.TWO_PARTY: "no other data holder would answer",
    Reason.LOG_UNREACHABLE: "the audit log cannot be written at the moment",
    Reason.UNAVAILABLE: "this data holder cannot answer at the moment",
}


# What only a query for joint scores can meet, and only one for hosted scores.
OF_JOINT: Final = frozenset(
    {
        Reason.UNKNOWN_MODEL,
        Reason.WRONG_HOLDERS,
        Reason.BAD_ENTITIES,
        Reason.TWO_PARTY,
    }
)
OF_HOSTED: Final = frozenset(
    {Reason.UNKNOWN_CARD, Reason.BAD_CIPHERTEXTS, Reason.BUDGET_SPENT}
)

# Asked again, with a new nonce, deadline and the newest keys, the holder may answer.
TRANSIENT: Final = frozenset(
    {
        Reason.STALE_KEYS,
        Reason.REPLAYED,
        Reason.EXPIRED,
        Reason.LOG_UNREACHABLE,
        Reason.UNAVAILABLE,
    }
)


class QueryRefusedError(RefusedError):
    """A score query this node does not answer; ``code`` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(SENTENCES[reason])
        self.code = reason.value
