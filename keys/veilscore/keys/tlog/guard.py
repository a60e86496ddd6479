"""Remembers, apart from the log, how far the log has come.

A log whose file was replaced by an older copy would sign a second history over the
first. So its size and root are also kept in a file of their own, by compare-and-swap,
before anybody is told of them; a log that is behind, or has another tree, does not
open. The guard must not be part of a backup that is restored with the log: a machine
that is reset as a whole is noticed by its witnesses, and by nobody else.

The file says what every checkpoint says.
"""

from pathlib import Path

from veilscore.keys import files
from veilscore.keys.errors import LogStoreError
from veilscore.keys.tlog.database import Database

_SCHEMA = """CREATE TABLE head (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL
) STRICT"""


class LogGuard:
    """The newest size and root of one log, in one file."""

    def __init__(self, path: Path, origin: str) -> None:
        self._db = Database(path)
        self._origin = origin

    @classmethod
    def create(cls, path: Path, origin: str, root: bytes) -> "LogGuard":
        """Begin to guard an empty log; raises LogStoreError if there is a file."""
        if path.exists():
            raise LogStoreError("there is a guard of a log already", place=str(path))
        files.create(path, b"")
        guard = cls(path, origin)
        with guard._db.transaction():
            guard._db.run(_SCHEMA)
            guard._db.run("INSERT INTO head VALUES (?, 0, ?)", origin, root)
        return guard

    @classmethod
    def open(cls, path: Path, origin: str) -> "LogGuard":
        """Continue to guard a log; raises LogStoreError if there is no guard of it."""
        if not path.is_file():
            raise LogStoreError(
                "the guard of the log is missing",
                place=str(path),
                remedy="Restore it from where it was moved to. Without it nothing "
                "shows that the log is the newest one.",
            )
        guard = cls(path, origin)
        try:
            guard.head()
        except LogStoreError:
            guard.close()
            raise
        return guard

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def head(self) -> tuple[int, bytes]:
        """Return the size and root that were noted last."""
        row = self._db.row(
            (int, bytes), "SELECT size, root FROM head WHERE origin = ?", self._origin
        )
        if row is None:
            raise LogStoreError(
                "the guard is not this log's",
                place=str(self._db.path),
                remedy="Name the guard that was made with this log.",
            )
        size, root = row
        return size, root

    def advance(self, old: int, new: int, root: bytes) -> None:
        """Replace what was noted at size ``old``, unless it was replaced already.

        Raises:
            LogStoreError: another size was noted; then another process writes, too.

        """
        with self._db.transaction():
            changed = self._db.run(
                "UPDATE head SET size = ?, root = ? WHERE origin = ? AND size = ?",
                new,
                root,
                self._origin,
                old,
            )
            if changed != 1 and self.head() != (new, root):
                raise LogStoreError(
                    f"the guard does not stand at {old} entries",
                    place=str(self._db.path),
                    remedy="Let no other process write to this log, and restart.",
                )
