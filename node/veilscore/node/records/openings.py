"""What the salted commitments of this node's events are over, until it is erased.

For each query of its own, and for each that it answered, a node keeps the terms and
whom it was about, every entity sealed for itself under a key of ``shredder``. An
auditor is shown the terms and one entity with its place under the root; the others stay
sealed.
"Who asked about me" is found by a tag, HMAC-SHA256 of the id under a key of the
keystore, which is in no log.
"""

import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from veilscore.keys.errors import LogStoreError
from veilscore.keys.key_tree import KEY_BYTES, LeafKeys, first_leaves, leaf
from veilscore.keys.keystore import Keystore
from veilscore.keys.tlog.commitments import Opening, Shown, commitments_root, path_to
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.tree import split_hashes
from veilscore.node.errors import NoOpeningError
from veilscore.node.records.committed import parts_of
from veilscore.node.records.shredder import NO_TAG, TAG_BYTES, Shredder
from veilscore.node.scoring.query import AnyQuery
from veilscore.v1.opening_pb2 import CommittedEntity

_SCHEMA: Final = """CREATE TABLE IF NOT EXISTS opening (
    at INTEGER PRIMARY KEY, tree INTEGER NOT NULL UNIQUE, query BLOB NOT NULL UNIQUE,
    own INTEGER NOT NULL, time INTEGER NOT NULL, outcome TEXT NOT NULL,
    terms BLOB NOT NULL, answer BLOB NOT NULL, entities BLOB NOT NULL,
    commitments BLOB NOT NULL
) STRICT"""
_COLUMNS: Final = (
    "tree, query, own, time, outcome, terms, answer, entities, commitments"
)
_TYPES: Final = (int, bytes, int, int, str, bytes, bytes, bytes, bytes)
_TERMS, _ANSWER, FIRST = 0, 1, 2  # leaves of a tree; FIRST is that of the first entity
_LENGTH: Final = 4  # bytes
_TAG_KEY: Final = "subject-tags"


def tag_key(keystore: Keystore) -> bytes:
    """Return the key of subject tags, which is made at a node's first start."""
    if _TAG_KEY not in keystore.names():
        keystore.put(_TAG_KEY, secrets.token_bytes(KEY_BYTES))
    return keystore.get(_TAG_KEY)


@dataclass(frozen=True, slots=True)
class Committed:
    """What the log shows of a query; of an answer, too, if there is one."""

    terms: bytes
    entities: bytes
    answer: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Kept:
    """What is kept of one query: the row of the file."""

    tree: int
    query: bytes  # digest
    own: bool  # asked by this node; else answered by it
    time: int  # seconds since 1970
    outcome: str
    terms: bytes
    answer: bytes
    entities: bytes
    commitments: bytes

    @property
    def sealed(self) -> list[bytes]:
        """The sealed entities; empty where one was erased."""
        return list(_split(self.entities))


class Openings:
    """Tables of the node's file; safe to use from any thread. Raises LogStoreError."""

    def __init__(self, database: Database, shredder: Shredder, tag_key: bytes) -> None:
        self.database = self._db = database
        self.shredder = shredder
        self._tag_key = tag_key
        self._outcomes: dict[bytes, str] = {}
        self._db.run(_SCHEMA)
        self._note_again()

    def close(self) -> None:
        """Write what waits; closing the files is their owner's business."""
        with suppress(LogStoreError):  # as if the power had failed
            self.write_outcomes()

    def tag(self, entity: str) -> bytes:
        """Return what an id is found by."""
        return self.mac(entity.encode())[:TAG_BYTES]

    def mac(self, data: bytes) -> bytes:
        """Return HMAC-SHA256 under the key of tags."""
        return hmac.digest(self._tag_key, data, "sha256")

    def commit(
        self,
        query: AnyQuery,
        now: float,
        *,
        answer: bytes | None = None,
        consents: Mapping[str, int] | None = None,
        rows: int = 0,
    ) -> Committed:
        """Return commitments to a query, our own without ``answer``; keep openings.

        ``consents`` and ``rows`` are for ``parts_of``. Within a transaction of the file
        the openings are written with it.
        """
        parts, about = parts_of(query, consents or {}, rows), query.digest
        commitments: list[bytes] = []
        sealed: list[bytes] = []
        tags = [self.tag(each) for each in parts.ids]
        with self._db.transaction():
            tree, root = self.shredder.take(now)
            keys = first_leaves(root, FIRST + len(parts.entities))
            for key, data in zip(keys[FIRST:], parts.entities, strict=True):
                commitments.append(Opening(key.salt, data).commitment)
                sealed.append(key.seal(data, about))
            self._db.run(
                f"INSERT INTO opening ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - columns of this module
                tree,
                about,
                int(answer is None),
                int(now),
                "" if answer is None else "answered",
                keys[_TERMS].seal(parts.terms, about),
                keys[_ANSWER].seal(answer or b"", about),
                _joined(sealed),
                b"".join(commitments),
            )
            self._db.once_written(lambda: self.shredder.note(tree, tags))
        return Committed(
            terms=Opening(keys[_TERMS].salt, parts.terms).commitment,
            entities=commitments_root(commitments),
            answer=Opening(keys[_ANSWER].salt, answer or b"").commitment,
        )

    def conclude(self, query: bytes, outcome: str) -> None:
        """Note how a request of our own ended; on disk with what is written next."""
        with self._db.lock:
            self._outcomes[query] = outcome

    def write_outcomes(self) -> None:
        """Write what was noted; within a transaction, or as one of its own."""
        with self._db.transaction():
            for query, outcome in self._outcomes.items():
                statement = "UPDATE opening SET outcome = ? WHERE query = ?"
                self._db.run(statement, outcome, query)
            self._db.once_written(self._outcomes.clear)

    def of(self, query: bytes) -> Kept:
        """Return what is kept of a query by its digest; raises NoOpeningError."""
        found = self._rows("WHERE query = ?", query)
        if not found:
            raise NoOpeningError(
                "of this request nothing is kept here",
                remedy="It is not of this node, or was erased.",
            )
        return found[0]

    def about(self, entity: str) -> list[tuple[Kept, int]]:
        """Return every query that an entity is in, and its place; the oldest first."""
        found = self.shredder.find(self.tag(entity))
        kept = [
            (each, place)
            for tree, place in found
            for each in self._rows("WHERE tree = ?", tree)
        ]
        return sorted(kept, key=lambda each: each[0].time)

    def before(self, time: float) -> list[Kept]:
        """Return what is kept of queries of before a time."""
        return self._rows("WHERE time < ?", int(time))

    def trees(self) -> set[int]:
        """Return the trees in use."""
        return {tree for (tree,) in self._db.rows((int,), "SELECT tree FROM opening")}

    def terms(self, kept: Kept) -> Opening:
        """Return the opened terms; raises NoOpeningError if they were erased."""
        return self._open(kept, _TERMS, kept.terms)

    def answer(self, kept: Kept) -> Opening:
        """Return the opened answer; raises NoOpeningError if it was erased."""
        return self._open(kept, _ANSWER, kept.answer)

    def entity(self, kept: Kept, index: int) -> Shown:
        """Return one opened entity, counted from 0; raises NoOpeningError."""
        sealed, commitments = kept.sealed, split_hashes(kept.commitments)
        if not 0 <= index < len(sealed):
            raise NoOpeningError(
                f"the request has no entity {index + 1}, but {len(sealed)} in all",
                remedy="Count from 1, in the order of the request.",
            )
        opening = self._open(kept, FIRST + index, sealed[index])
        return Shown(opening, index, path_to(commitments, index))

    def forget(self, tree: int) -> int:
        """Delete what was sealed under a destroyed tree; return how many entities."""
        found = self._rows("WHERE tree = ?", tree)
        self._db.run("DELETE FROM opening WHERE tree = ?", tree)
        return sum(bool(each) for kept in found for each in kept.sealed)

    def forget_entity(self, tree: int, index: int) -> int:
        """Delete one sealed entity whose key was destroyed; return how many it was."""
        count = 0
        for kept in self._rows("WHERE tree = ?", tree):
            left = kept.sealed
            count += bool(left[index])
            left[index] = b""
            statement = "UPDATE opening SET entities = ? WHERE tree = ?"
            self._db.run(statement, _joined(left), tree)
        return count

    def _open(self, kept: Kept, index: int, sealed: bytes) -> Opening:
        key = leaf(self.shredder.nodes(kept.tree), index)
        if key is None:
            raise NoOpeningError(
                "what was asked for was erased here",
                remedy="Nothing brings it back; other parties may have their own.",
            )
        return Opening(key.salt, key.open(sealed, kept.query))

    def _rows(self, which: str, *bound: object) -> list[Kept]:
        query = f"SELECT {_COLUMNS} FROM opening {which} ORDER BY at"  # noqa: S608 - clauses of this module
        with self._db.lock:
            return [
                Kept(
                    tree,
                    about,
                    bool(own),
                    time,
                    self._outcomes.get(about) or told,
                    *rest,
                )
                for tree, about, own, time, told, *rest in self._db.rows(
                    _TYPES, query, *bound
                )
            ]

    def _note_again(self) -> None:
        """Note the tags that a power cut took: those of the newest queries, if any."""
        trees = self._db.rows((int,), "SELECT tree FROM opening ORDER BY at DESC")
        for (tree,) in trees:
            if self.shredder.knows(tree):
                return
            for kept in self._rows("WHERE tree = ?", tree):
                nodes = self.shredder.nodes(tree)
                tags = [
                    self._tag_of(leaf(nodes, FIRST + index), sealed, kept.query)
                    for index, sealed in enumerate(kept.sealed)
                ]
                self.shredder.note(tree, tags)

    def _tag_of(self, key: LeafKeys | None, sealed: bytes, about: bytes) -> bytes:
        if key is None:
            return NO_TAG
        entity = CommittedEntity.FromString(key.open(sealed, about)).entity
        return self.tag(entity) if entity else NO_TAG


def _joined(sealed: Iterable[bytes]) -> bytes:
    return b"".join(len(each).to_bytes(_LENGTH, "big") + each for each in sealed)


def _split(joined: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(joined):
        start = at + _LENGTH
        at = start + int.from_bytes(joined[at:start], "big")
        yield joined[start:at]
