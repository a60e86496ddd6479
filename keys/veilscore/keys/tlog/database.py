"""One SQLite file that keeps what it was told: WAL, synchronous=FULL.

What a transaction has written is on disk when it ends. One connection and one lock:
calls from several threads wait for each other. Failures of SQLite become
LogStoreError, which names the file; so does a value of another type than its column
has, which a damaged file may hold whatever its schema says.
"""

import sqlite3
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from veilscore.keys.errors import LogStoreError


class Database:
    """An open file; raises LogStoreError whenever SQLite cannot do its work."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        # Held by whoever needs several calls to see one state; reentrant.
        self.lock = RLock()
        self._writing = False  # a transaction is under way; guarded by the lock
        self._afterwards: list[Callable[[], object]] = []
        self._undoing: list[Callable[[], object]] = []
        with self._named():
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro" if read_only else path,
                uri=read_only,
                isolation_level=None,
                check_same_thread=False,
            )
        if read_only:
            return
        try:
            self.run("PRAGMA journal_mode = WAL")
            self.run("PRAGMA synchronous = FULL")
        except LogStoreError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; the object is of no use afterwards."""
        with self.lock:
            self._connection.close()

    def run(self, statement: str, *bound: object) -> int:
        """Execute one statement and return how many rows it changed."""
        with self._named():
            return self._connection.execute(statement, bound).rowcount

    def run_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute one statement for every row of values."""
        with self._named():
            self._connection.executemany(statement, rows)

    def rows(
        self, types: Sequence[type], query: str, *bound: object
    ) -> list[tuple[Any, ...]]:
        """Return all rows of a query, whose columns are of these types."""
        with self._named():
            found = self._connection.execute(query, bound).fetchall()
        if any(tuple(map(type, row)) != tuple(types) for row in found):
            raise LogStoreError(
                "the file is damaged",
                place=str(self.path),
                remedy="Check the disk and restore the newest backup.",
            )
        return found

    def row(
        self, types: Sequence[type], query: str, *bound: object
    ) -> tuple[Any, ...] | None:
        """Return the first row of a query, or None."""
        return next(iter(self.rows(types, query, *bound)), None)

    @contextmanager
    def transaction(self) -> Generator[None, None, None]:
        """Commit what the body runs when it ends, all or nothing.

        One within another is a part of it.
        """
        with self.lock:
            if self._writing:
                yield
                return
            self._writing = True
            self._afterwards.clear()
            self._undoing.clear()
            try:
                self.run("BEGIN IMMEDIATE")
                yield
                self.run("COMMIT")
            except BaseException:
                for undo in reversed(self._undoing):
                    undo()
                raise
            finally:
                self._writing = False
                with self._named():
                    if self._connection.in_transaction:
                        self.run("ROLLBACK")
            for work in self._afterwards:
                work()

    @contextmanager
    def snapshot(self) -> Generator[None, None, None]:
        """Let the body read one state of the file, whoever writes meanwhile."""
        with self.lock:
            self.run("BEGIN")
            try:
                yield
            finally:
                self.run("ROLLBACK")

    def once_written(self, work: Callable[[], object]) -> None:
        """Have ``work`` done, with the lock held, if this transaction succeeds."""
        if not self._writing:
            raise RuntimeError("outside of a transaction")
        self._afterwards.append(work)

    def if_undone(self, work: Callable[[], object]) -> None:
        """Have ``work`` done, with the lock held, if this transaction fails."""
        if not self._writing:
            raise RuntimeError("outside of a transaction")
        self._undoing.append(work)

    @contextmanager
    def _named(self) -> Generator[None, None, None]:
        with self.lock:
            try:
                yield
            # UnicodeDecodeError: what SQLite says of a file may quote its bytes.
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise LogStoreError(
                    f"the file cannot be used ({error})",
                    place=str(self.path),
                    remedy="Check the disk and the permissions of the file.",
                ) from error
