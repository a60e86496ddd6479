"""The keys without which no opening can be read, in a small file of their own.

``state/shredder.db`` has one key tree for each request (``keys.key_tree``): salts and
seals of all its openings come out of it. Whoever destroys a key here has destroyed what
lies under it in every copy of ``events.db``, old or new, and nobody can open what the
log shows of it. Losing the file means that everything is erased.

It also says which requests a subject tag is in, so that no copy of another file can be
searched for an id that was erased here.

Trees are made ahead, many at a time, and are on disk before one of them is used: taking
one does not wait for the disk. Tags are on disk a while after they were noted; whoever
uses the file notes those again that a power cut took. No tree is used twice: those that
were made before a start are left alone.
"""

import secrets
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from veilscore.keys import files
from veilscore.keys.errors import LogStoreError
from veilscore.keys.key_tree import KEY_BYTES, ROOT, new_root, without
from veilscore.keys.tlog.database import Database

TAG_BYTES: Final = 16
NO_TAG: Final = bytes(TAG_BYTES)  # in the place of one that was destroyed
_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS nodes (
        tree INTEGER NOT NULL, node INTEGER NOT NULL, made INTEGER NOT NULL,
        key BLOB NOT NULL, PRIMARY KEY (tree, node)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS subjects (
        tree INTEGER PRIMARY KEY, tags BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS consents (
        tag BLOB NOT NULL, tree INTEGER NOT NULL, PRIMARY KEY (tag, tree)
    ) STRICT, WITHOUT ROWID""",
)
_STOCK: Final = 256
_TREE_BITS: Final = 62  # of its number, at random: an older copy of the file has others


class Shredder:
    """The open file; safe to use from any thread. Raises LogStoreError.

    Raises FileError at the start if others may read or write the file.
    """

    def __init__(self, path: Path, now: float) -> None:
        if str(path) != ":memory:":
            path.touch(mode=0o600, exist_ok=True)
            files.check_private(path, path.stat().st_mode)
        self._db = Database(path)
        # What must be there after a power cut is brought there by a checkpoint.
        self._db.run("PRAGMA synchronous = NORMAL")
        self._db.run("PRAGMA secure_delete = ON")
        self._db.run("PRAGMA temp_store = MEMORY")
        for statement in _SCHEMA:
            self._db.run(statement)
        self._stock: list[tuple[int, bytes]] = []
        self._fill(now)

    def close(self) -> None:
        """Close the file; the object is of no use afterwards."""
        self._db.close()

    def take(self, now: float) -> tuple[int, bytes]:
        """Return the number and the root of a tree that nobody has used.

        Within the transaction that puts it to use: to ``unused`` it is neither in use
        nor in stock until then.
        """
        with self._db.lock:
            if not self._stock:
                self._fill(now)
            return self._stock.pop()

    def note(self, tree: int, tags: Sequence[bytes]) -> None:
        """Keep the tags of what lies under a tree, in the order of its leaves."""
        statement = "INSERT OR REPLACE INTO subjects VALUES (?, ?)"
        self._db.run(statement, tree, b"".join(tags))

    def note_consent(self, tree: int, reference: bytes, subject: bytes) -> None:
        """Keep the tags of a consent; they are on disk when this returns."""
        with self._db.lock:
            with self._db.transaction():
                self._db.run("INSERT INTO consents VALUES (?, ?)", reference, tree)
                self.note(tree, [subject])
            self._checkpoint()

    def consents(self, reference: bytes) -> list[int]:
        """Return the trees of the consents of a reference, by its tag."""
        query = "SELECT tree FROM consents WHERE tag = ?"
        return [tree for (tree,) in self._db.rows((int,), query, reference)]

    def knows(self, tree: int) -> bool:
        """Say whether the tags of a tree are noted."""
        query = "SELECT 1 FROM subjects WHERE tree = ?"
        return self._db.row((int,), query, tree) is not None

    def find(self, tag: bytes) -> list[tuple[int, int]]:
        """Return every tree and place that has a tag."""
        query = "SELECT tree, tags FROM subjects WHERE instr(tags, ?)"
        return [
            (tree, at)
            for tree, tags in self._db.rows((int, bytes), query, tag)
            for at in range(len(tags) // TAG_BYTES)
            if tags[at * TAG_BYTES : (at + 1) * TAG_BYTES] == tag
        ]

    def nodes(self, tree: int) -> dict[int, bytes]:
        """Return what is left of a tree; nothing if it was destroyed."""
        query = "SELECT node, key FROM nodes WHERE tree = ?"
        found = dict(self._db.rows((int, bytes), query, tree))
        if any(len(key) != KEY_BYTES for key in found.values()):
            raise LogStoreError(
                "the file is damaged",
                place=str(self._db.path),
                remedy="Check the disk and restore the newest backup.",
            )
        return found

    def unused(self, before: float, used: Collection[int]) -> list[int]:
        """Return trees made before a time, but those in use and in stock."""
        with self._db.lock:
            query = "SELECT DISTINCT tree FROM nodes WHERE made < ?"
            found = {tree for (tree,) in self._db.rows((int,), query, int(before))}
            return sorted(found - {*used} - {tree for tree, _ in self._stock})

    def destroy(
        self, trees: Iterable[int], leaves: Iterable[tuple[int, int, int]] = ()
    ) -> None:
        """Destroy whole trees, and single leaves: tree, index, place of its tag.

        When it returns, nothing of them is in the file or its journal.
        """
        with self._db.lock:
            with self._db.transaction():
                for tree, index, place in leaves:
                    self._destroy_leaf(tree, index, place)
                for tree in trees:
                    self._db.run("DELETE FROM nodes WHERE tree = ?", tree)
                    self._db.run("DELETE FROM subjects WHERE tree = ?", tree)
                    self._db.run("DELETE FROM consents WHERE tree = ?", tree)
            # Pages that SQLite has balanced may hold second copies of what is left, and
            # so of what is destroyed later: all pages are written anew.
            self._db.run("VACUUM")
            self._checkpoint()

    def _destroy_leaf(self, tree: int, index: int, place: int) -> None:
        query = "SELECT made FROM nodes WHERE tree = ?"
        row = self._db.row((int,), query, tree)
        if row is None:
            return
        left = without(self.nodes(tree), index)
        self._db.run("DELETE FROM nodes WHERE tree = ?", tree)
        self._db.run_many(
            "INSERT INTO nodes VALUES (?, ?, ?, ?)",
            [(tree, node, row[0], key) for node, key in left.items()],
        )
        query = "SELECT tags FROM subjects WHERE tree = ?"
        for (tags,) in self._db.rows((bytes,), query, tree):
            start, end = place * TAG_BYTES, (place + 1) * TAG_BYTES
            blank = tags[:start] + NO_TAG + tags[end:]
            self._db.run("UPDATE subjects SET tags = ? WHERE tree = ?", blank, tree)

    def _fill(self, now: float) -> None:
        made = [(secrets.randbits(_TREE_BITS), new_root()) for _ in range(_STOCK)]
        with self._db.transaction():
            self._db.run_many(
                "INSERT INTO nodes VALUES (?, ?, ?, ?)",
                [(tree, ROOT, int(now), root) for tree, root in made],
            )
        self._checkpoint()
        self._stock = made

    def _checkpoint(self) -> None:
        """Have everything on disk and nothing in the journal."""
        self._db.rows((int, int, int), "PRAGMA wal_checkpoint(TRUNCATE)")
