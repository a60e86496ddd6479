"""Reading a log's SQLite file: tiles, bundles, entries, proofs.

Everything here is what auditors may see; which of them may see what is for the web
to decide (witnesses need tiles and checkpoints, not bundles). Leaves were verified
when they were appended and are decoded, not verified again, when read. All calls
raise LogStoreError if the file cannot be read, and may come from any thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import ActorHead, OpenedEvent, read_event
from veilscore.keys.tlog.proof import consistency_proof, inclusion_proof
from veilscore.keys.tlog.tiles import WIDTH, Tile, encode_bundle, tile_reader
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.keys.tlog.tree import HASH_SIZE, Edge, HashReader

_NEWEST_FINAL = "WHERE final = 1 ORDER BY size DESC"


@dataclass(frozen=True, slots=True)
class Entry:
    """An event and its position in the log."""

    index: int
    opened: OpenedEvent


class LogReader:
    """The reading half of a log; ``LogStore`` adds the writing half."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def close(self) -> None:
        """Close the file; the object is of no use afterwards."""
        self._db.close()

    def checkpoint(self) -> str:
        """Return the newest checkpoint that is final, a signed note."""
        return self._checkpoint(_NEWEST_FINAL)[1]

    def signed(self) -> str:
        """Return the newest checkpoint that the log signed, final or not."""
        return self._checkpoint("ORDER BY size DESC")[1]

    def tile(self, tile: Tile) -> bytes:
        """Return a tile of hashes, or a bundle of entries.

        Raises:
            ProofError: the log is not that large.

        """
        if tile.level is None:
            data, found = self._bundle(tile)
        else:
            data = self._read_tile(tile.level, tile.number)[: tile.width * HASH_SIZE]
            found = len(data) // HASH_SIZE
        if found < tile.width:
            raise ProofError("the log has no such tile", place=tile.path)
        return data

    def entry(self, index: int) -> Entry:
        """Return one entry.

        Raises:
            ProofError: there is none at ``index``.

        """
        row = self._db.row(
            (bytes,), "SELECT leaf FROM entry WHERE idx = ?", _bindable(index)
        )
        if row is None:
            raise ProofError(f"the log has no entry {index}")
        return Entry(index, read_event(row[0]))

    def entries(
        self,
        *,
        actor: str = "",
        kind: str = "",
        correlation: str = "",
        before: int | None = None,
        limit: int = 50,
    ) -> list[Entry]:
        """Return the newest entries, newest first, of those that fit.

        Empty texts fit all; ``before`` is an index, for the next page. Of each
        question one index of the file has the answer in its order, but for the few
        entries of a correlation, which are looked through.
        """
        seek = "+" if correlation else ""  # SQLite uses no index for +actor
        clauses = {
            f"{seek}actor = ?": actor,
            f"{seek}kind = ?": kind,
            "correlation = ?": correlation,
            "idx < ?": before if before is None else _bindable(before),
        }
        bound = {
            clause: value
            for clause, value in clauses.items()
            if value not in {"", None}
        }
        where = " AND ".join(bound) or "TRUE"
        rows = self._db.rows(
            (int, bytes),
            f"SELECT idx, leaf FROM entry WHERE {where} "  # noqa: S608 - only the four clauses above
            "ORDER BY idx DESC LIMIT ?",
            *bound.values(),
            limit,
        )
        return [Entry(index, read_event(leaf)) for index, leaf in rows]

    def find(self, actor: str, seq: int) -> Entry | None:
        """Return an actor's event by its number."""
        row = self._db.row(
            (int, bytes),
            "SELECT idx, leaf FROM entry WHERE actor = ? AND seq = ?",
            actor,
            seq,
        )
        return Entry(row[0], read_event(row[1])) if row else None

    def find_leaf(self, digest: bytes) -> int:
        """Return the index of the entry with a leaf hash; reads 32 bytes an entry.

        Raises:
            ProofError: there is none.

        """
        start, most = 0, 100  # tiles: appending waits no longer than for these
        while rows := self._db.rows(
            (int, bytes),
            "SELECT number, data FROM tile WHERE level = 0 AND number >= ? "
            "ORDER BY number LIMIT ?",
            start,
            most,
        ):
            for number, data in rows:
                place = _find_aligned(data, digest)
                if place is not None:
                    index: int = number * WIDTH + place
                    return index
            start += most
        raise ProofError("the log has no entry with this hash")

    def head(self, actor: str) -> ActorHead:
        """Return where an actor's chain ends; number 0 for a new actor."""
        row = self._db.row(
            (int, bytes), "SELECT seq, digest FROM actor WHERE name = ?", actor
        )
        return ActorHead(*row) if row else ActorHead()

    def inclusion(self, index: int) -> TlogProof:
        """Return the proof of an entry in the newest final checkpoint.

        While that does not cover it, in the first that the log signed.

        Raises:
            ProofError: there is no such entry.

        """
        size, note = self._checkpoint(_NEWEST_FINAL)
        if index >= size:
            return self.receipt(index)
        return TlogProof(index, inclusion_proof(index, size, self._hashes()), note)

    def receipt(self, index: int) -> TlogProof:
        """Return the proof of one entry, as ``receipts`` does."""
        return self.receipts([index])[0]

    def receipts(self, indices: Sequence[int]) -> list[TlogProof]:
        """Return the proofs of entries, all in one checkpoint.

        It is the first final one that covers all of them; while there is none, the
        first that the log signed.

        Raises:
            ProofError: there is no such entry.

        """
        last = _bindable(max(indices))
        try:
            found = self._checkpoint("WHERE final = 1 AND size > ? ORDER BY size", last)
        except ProofError:
            found = self._checkpoint("WHERE size > ? ORDER BY size", last)
        (size, note), read = found, self._hashes()
        return [
            TlogProof(index, inclusion_proof(index, size, read), note)
            for index in indices
        ]

    def root(self, size: int) -> bytes:
        """Return the root that the tree had with ``size`` entries.

        Raises:
            ProofError: the log was never so large.

        """
        self._check_size(size)
        return Edge.load(size, self._hashes()).root()

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that a tree of ``new`` entries continues one of ``old``.

        Raises:
            ProofError: the log was never so large, or the older tree is empty.

        """
        self._check_size(new)
        return consistency_proof(old, new, self._hashes())

    def _check_size(self, size: int) -> None:
        found = self._db.row((int,), "SELECT max(size) FROM checkpoint")
        if found is None or size > found[0]:
            raise ProofError(f"the log has no {size} entries")

    def _hashes(self) -> HashReader:
        """Return a reader of hashes that reads and computes none of them twice."""
        return cache(tile_reader(cache(self._read_tile)))

    def _checkpoint(self, which: str, *bound: int) -> tuple[int, str]:
        row = self._db.row(
            (int, str),
            f"SELECT size, note FROM checkpoint {which} LIMIT 1",  # noqa: S608 - fixed clauses of this module
            *bound,
        )
        if row is None:
            raise ProofError("the log has no such checkpoint")
        size, note = row
        return size, note

    def _read_tile(self, level: int, number: int) -> bytes:
        row = self._db.row(
            (bytes,),
            "SELECT data FROM tile WHERE level = ? AND number = ?",
            level,
            number,
        )
        return row[0] if row else b""

    def _bundle(self, tile: Tile) -> tuple[bytes, int]:
        start = tile.number * WIDTH
        rows = self._db.rows(
            (bytes,),
            "SELECT leaf FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx",
            start,
            start + tile.width,
        )
        return encode_bundle(leaf for (leaf,) in rows), len(rows)


def _find_aligned(data: bytes, digest: bytes) -> int | None:
    """Return how many hashes come before this one in a tile."""
    at = data.find(digest)
    while at % HASH_SIZE and at >= 0:
        at = data.find(digest, at + 1)
    return at // HASH_SIZE if at >= 0 else None


def _bindable(index: int) -> int:
    """Return the index, or one as far beyond either end that SQLite can hold."""
    return max(-1, min(index, 2**63 - 1))
