"""One score request in canonical form: the same bytes for every data holder.

The SHA-256 of these bytes keys every mask of the answers. A requester that shows two
holders different bytes (another id, order, model, roster, key or nonce) gets two
vectors whose masks do not cancel: noise, not the difference it was after.

Seen by the requester and the data holders. Ids are in it, so it is sealed on the way
and printed nowhere.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Self, TypeAlias, TypeVar

from google.protobuf.message import DecodeError

from veilscore.keys.entity_ids import EntityKind, normalise
from veilscore.keys.errors import EntityIdError
from veilscore.keys.receiving import PeerKeys
from veilscore.node.errors import NoReceivingKeyError
from veilscore.node.scoring.checks import DIGEST_BYTES, NONCE_BYTES
from veilscore.node.scoring.refusals import QueryRefusedError, Reason
from veilscore.v1.score_pb2 import HostedQueryBody, ScoreQueryBody

_Body = TypeVar("_Body", ScoreQueryBody, HostedQueryBody)

_KINDS: Final = {
    "U": EntityKind.USCC,
    "R": EntityKind.RESIDENT,
    "X": EntityKind.OPAQUE,
}


@dataclass(frozen=True, slots=True, repr=False)
class CanonicalQuery(Generic[_Body]):
    """A query's body and the exact bytes that it is."""

    raw: bytes
    body: _Body

    @classmethod
    def of(cls, body: _Body) -> Self:
        """Write a body of our own."""
        return cls(body.SerializeToString(deterministic=True), body)

    @property
    def digest(self) -> bytes:
        """What names the request, and keys its masks; hides it by its nonce."""
        return hashlib.sha256(self.raw).digest()

    @property
    def correlation(self) -> str:
        """The digest as events and envelopes carry it."""
        return self.digest.hex()


@dataclass(frozen=True, slots=True, repr=False)
class Query(CanonicalQuery[ScoreQueryBody]):
    """A query for joint scores."""

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """Read a requester's body; raises QueryRefusedError for any flaw of form."""
        body = read_body(ScoreQueryBody, raw)
        if not (
            len(body.model) == DIGEST_BYTES
            and len(body.receiving_keys) == len(body.holders) + 1
        ):
            raise QueryRefusedError(Reason.MALFORMED)
        return cls(raw, body)


AnyQuery: TypeAlias = CanonicalQuery[ScoreQueryBody] | CanonicalQuery[HostedQueryBody]


def read_body(kind: type[_Body], raw: bytes) -> _Body:
    """Return a body in its one spelling; raises QueryRefusedError for any other."""
    try:
        body = kind.FromString(raw)
    except DecodeError as error:
        raise QueryRefusedError(Reason.MALFORMED) from error
    body.DiscardUnknownFields()
    if not (
        body.SerializeToString(deterministic=True) == raw
        and len(body.nonce) == NONCE_BYTES
        and all(len(digest) == DIGEST_BYTES for digest in body.receiving_keys)
    ):
        raise QueryRefusedError(Reason.MALFORMED)
    return body


def list_keys(names: Sequence[str], peers: Mapping[str, PeerKeys]) -> list[bytes]:
    """Return the digests of the receiving keys of these parties.

    Raises NoReceivingKeyError that names the parties that have published none.
    """
    absent = [name for name in names if name not in peers]
    if absent:
        raise NoReceivingKeyError(
            "has published no valid receiving key",
            party=", ".join(absent),
            remedy="Check that the party's node is running and attached.",
        )
    return [peers[name].digest for name in names]


def canonical_id(typed: str) -> str:
    """Return "U:", "R:" or "X:" and an id of that type in its one spelling.

    Raises EntityIdError, which never quotes the id.
    """
    prefix, _, raw = typed.partition(":")
    if prefix not in _KINDS:
        raise EntityIdError(
            "the id does not begin with its type",
            remedy="Write U: before a credit code, R: before a resident id, X: before "
            "any other.",
        )
    return normalise(_KINDS[prefix], raw)


def canonical_ids(typed: Iterable[str]) -> list[str]:
    """Return all ids in their one spelling; raises EntityIdError also for a repeat."""
    found: dict[str, int] = {}
    for number, text in enumerate(typed, start=1):
        place = f"entity {number}"
        try:
            entity = canonical_id(text)
        except EntityIdError as error:
            raise EntityIdError(error.what, place=place, remedy=error.remedy) from error
        if entity in found:
            raise EntityIdError(
                f"this is entity {found[entity]} again",
                place=place,
                remedy="Name every entity once.",
            )
        found[entity] = number
    return list(found)
