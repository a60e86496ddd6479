"""Messages of secure aggregation: signed, read strictly, used only once they verify.

A message is accepted only if writing it again gives the same bytes, so that two which
say the same are the same. What does not verify convicts nobody and changes nothing.
Vectors travel beside what is signed, which holds their digest: what convicts is short.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from veilscore.keys.aggregation.terms import Terms
from veilscore.keys.errors import Breach, SignatureError, UnheardError
from veilscore.keys.identity import AGGREGATION_DOMAIN, Signer
from veilscore.v1 import aggregation_pb2
from veilscore.v1.aggregation_pb2 import AggregationBody, SignedAggregation

_VERSION: Final = 1
_WORD: Final = 8
# More than any honest message takes beside its vector.
_FIXED: Final = 1 << 10
_MEMBER: Final = 600
_PAIR: Final = 250

Content: TypeAlias = (
    aggregation_pb2.RoundKeys
    | aggregation_pb2.DealtShares
    | aggregation_pb2.MaskedInput
    | aggregation_pb2.Agreement
    | aggregation_pb2.RevealedShares
    | aggregation_pb2.SignedList
    | aggregation_pb2.SurvivorSet
    | aggregation_pb2.MaskedSum
)
_M = TypeVar("_M", bound=Message)


class Kind(StrEnum):
    """What a message says: the name of its field in ``AggregationBody``."""

    KEYS = "keys"
    KEY_LIST = "key_list"
    SHARES = "shares"
    SHARE_LIST = "share_list"
    MASKED = "masked"
    SURVIVORS = "survivors"
    AGREEMENT = "agreement"
    AGREEMENT_LIST = "agreement_list"
    REVEALED = "revealed"
    TOTAL = "total"


@dataclass(frozen=True, slots=True, repr=False)
class Statement:
    """A message that verified: who said what."""

    sender: str
    kind: Kind
    round: int
    content: AggregationBody
    signed: bytes  # a SignedAggregation without words: what convicts
    digest: bytes  # SHA-256 of the body
    words: bytes


def write(
    terms: Terms,
    sender: str,
    signer: Signer,
    kind: Kind,
    content: Content,
    words: bytes = b"",
) -> bytes:
    """Return a signed message; ``words`` are the vector that its content digests."""
    body = AggregationBody(
        version=_VERSION,
        run=terms.run,
        round=terms.round,
        attempt=terms.attempt,
        context=terms.context,
        sender=sender,
    )
    getattr(body, kind).CopyFrom(content)
    raw = body.SerializeToString(deterministic=True)
    return SignedAggregation(
        body=raw, signature=signer.sign(AGGREGATION_DOMAIN, raw), words=words
    ).SerializeToString(deterministic=True)


def read(data: bytes, terms: Terms) -> Statement:
    """Return a message of this attempt; raises UnheardError on any other bytes."""
    found = read_evidence(data, terms)
    body = found.content
    if (body.run, body.round, body.attempt) != (terms.run, terms.round, terms.attempt):
        raise UnheardError(
            Breach.REPLAY,
            f"signed this for run {body.run[:64]!r}, round {body.round}, "
            f"attempt {body.attempt}",
            party=found.sender,
            place=terms.place,
            evidence=(found.signed,),
        )
    if body.context != terms.context:
        raise UnheardError(
            Breach.OTHER_TERMS,
            "signed this under another roster, contract or size of vectors",
            party=found.sender,
            place=terms.place,
            remedy="Compare what both were told when the round began.",
            evidence=(found.signed,),
        )
    _check_words(found, terms)
    return found


def kind_of(data: bytes) -> Kind | None:
    """Return what a message claims to say, or none; nothing of it is verified."""
    try:
        outer = SignedAggregation.FromString(data)
        kind = AggregationBody.FromString(outer.body).WhichOneof("content")
    except DecodeError:
        return None
    return None if kind is None else Kind(kind)


def read_earlier_sum(data: bytes, terms: Terms) -> Statement:
    """Return a sum of an earlier round of the run, without its words.

    Raises UnheardError unless the aggregator signed it.
    """
    found = read_evidence(data, terms)
    if (
        found.kind is not Kind.TOTAL
        or found.sender != terms.aggregator.name
        or found.content.run != terms.run
        or not 1 <= found.round < terms.round
        or found.words
    ):
        raise _malformed(terms, "this is no sum of an earlier round", found.sender)
    return found


def read_evidence(data: bytes, terms: Terms) -> Statement:
    """Return what a party of the attempt signed, in this attempt or another.

    That is all it proves; a vector beside it is not looked at. Raises UnheardError.
    """
    members = len(terms.roster)
    most = _WORD * terms.length + _FIXED + members * _MEMBER + members * members * _PAIR
    if len(data) > most:
        raise _malformed(terms, f"the message is over {most} bytes long")
    outer = _strict(SignedAggregation, data, terms)
    body = _strict(AggregationBody, outer.body, terms)
    key = terms.key(body.sender)
    if body.version != _VERSION or key is None:
        raise _malformed(terms, "not of our version, or of no party of the attempt")
    try:
        key.verify(outer.signature, AGGREGATION_DOMAIN, outer.body)
    except SignatureError as error:
        raise UnheardError(
            Breach.BAD_SIGNATURE,
            "has not signed this message under its pinned key",
            party=body.sender,
            place=terms.place,
        ) from error
    kind = body.WhichOneof("content")
    if kind is None:
        raise _malformed(terms, "the message says nothing", body.sender)
    signed = SignedAggregation(body=outer.body, signature=outer.signature)
    return Statement(
        sender=body.sender,
        kind=Kind(kind),
        round=body.round,
        content=body,
        signed=signed.SerializeToString(deterministic=True),
        digest=digest(outer.body),
        words=outer.words,
    )


def write_words(vector: NDArray[np.uint64]) -> bytes:
    """Return integers mod 2^64 as they travel."""
    return vector.astype("<u8", copy=False).tobytes()


def read_words(words: bytes) -> NDArray[np.uint64]:
    """Return what ``write_words`` wrote; it cannot be changed in place."""
    return np.frombuffer(words, dtype="<u8").astype(np.uint64, copy=False)


def digest(data: bytes) -> bytes:
    """Return SHA-256."""
    return hashlib.sha256(data).digest()


def _check_words(found: Statement, terms: Terms) -> None:
    if found.kind not in {Kind.MASKED, Kind.TOTAL}:
        if found.words:
            raise _malformed(terms, "there is no vector in this message", found.sender)
        return
    content = found.content
    promised = (
        content.masked.words if found.kind is Kind.MASKED else content.total.words
    )
    if len(found.words) != _WORD * terms.length or digest(found.words) != promised:
        raise _malformed(
            terms, "the vector is not the one that is signed", found.sender
        )


def _strict(kind: type[_M], data: bytes, terms: Terms) -> _M:
    try:
        message = kind.FromString(data)
    except DecodeError as error:
        raise _malformed(terms, "this is no message") from error
    message.DiscardUnknownFields()
    if message.SerializeToString(deterministic=True) != data:
        raise _malformed(terms, "the message is not as our programs write it")
    return message


def _malformed(terms: Terms, what: str, party: str = "") -> UnheardError:
    return UnheardError(
        Breach.MALFORMED,
        what,
        party=party,
        place=terms.place,
    )
