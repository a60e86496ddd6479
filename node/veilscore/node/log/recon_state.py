"""What this node's last reconciliation found, in the file of its events.

It is on disk with the event that tells everybody, or not at all.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from veilscore.keys.documents import Fields
from veilscore.keys.errors import KeysError, LogStoreError
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import read_event
from veilscore.keys.tlog.recon.mark import Mark

EVENTS: Final = "events.db"  # the file, in the node's state
_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
_SCHEMA: Final = """CREATE TABLE IF NOT EXISTS recon (
    id INTEGER PRIMARY KEY CHECK (id = 1), at_ms INTEGER NOT NULL,
    found TEXT NOT NULL, mark TEXT NOT NULL
) STRICT"""
_PLACE: Final = "the last reconciliation"
_LEAST_S: Final = 60.0  # however often: a comparison takes its time, too


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference; ``event`` is the number of this node's event, 0 of another's."""

    kind: str
    event: int
    what: str
    correlation: str = ""


@dataclass(frozen=True, slots=True)
class ReconState:
    """When the last one was (ms since 1970; 0: never), and what it found.

    ``differences`` are the first of ``found``.
    """

    at_ms: int = 0
    entries: int = 0  # of the log of all
    found: int = 0
    differences: tuple[Difference, ...] = ()

    @staticmethod
    def prepare(database: Database) -> None:
        """Make the table."""
        database.run(_SCHEMA)

    @classmethod
    def read(cls, database: Database) -> "ReconState":
        """Return the last one; raises LogStoreError."""
        row = database.row((int, str), "SELECT at_ms, found FROM recon")
        if row is None:
            return cls()
        at_ms, text = row
        try:
            fields = Fields(json.loads(text), _PLACE)
            state = cls(
                at_ms=at_ms,
                entries=fields.number("entries"),
                found=fields.number("found"),
                differences=tuple(
                    _read(each) for each in fields.objects("differences")
                ),
            )
            fields.end()
        except (ValueError, RecursionError, KeysError) as error:
            raise LogStoreError(
                "the file is damaged",
                place=f"{database.path}, {_PLACE}",
                remedy="Check the disk and restore the newest backup.",
            ) from error
        return state

    @classmethod
    def peek(cls, file: Path) -> tuple["ReconState", float]:
        """Return the last one in a node's file of events, and ``waited_since`` of it.

        Raises LogStoreError.
        """
        database = Database(file, read_only=True)
        try:
            has = [database.row((int,), _TABLE, name) for name in ("recon", "entry")]
            state = cls.read(database) if has[0] else cls()
            return state, waited_since(database) if all(has) else state.at_ms / 1000
        finally:
            database.close()

    @staticmethod
    def mark(database: Database) -> Mark:
        """Return how far the last one came; raises LogStoreError."""
        row = database.row((str,), "SELECT mark FROM recon")
        return Mark.read(row[0]) if row else Mark()

    def write(self, database: Database, mark: Mark) -> None:
        """Keep this as the last one; within a transaction, or as one of its own."""
        found = {
            "entries": self.entries,
            "found": self.found,
            "differences": [asdict(each) for each in self.differences],
        }
        database.run(
            "INSERT OR REPLACE INTO recon VALUES (1, ?, ?, ?)",
            self.at_ms,
            json.dumps(found),
            mark.text,
        )


def waited_since(database: Database) -> float:
    """Return when the last one was or, if there was none, our first event.

    In seconds since 1970, 0 without either; raises LogStoreError.
    """
    if at_ms := ReconState.read(database).at_ms:
        return at_ms / 1000
    row = database.row((bytes,), "SELECT leaf FROM entry WHERE idx = 0")
    return read_event(row[0]).event.time_ms / 1000 if row else 0.0


def is_overdue(since: float, now: float, every_s: float) -> bool:
    """Say whether there should have been one since; two may fail."""
    return since > 0 and now - since > max(2 * every_s, _LEAST_S)


def _read(fields: Fields) -> Difference:
    difference = Difference(
        fields.text("kind"),
        fields.number("event"),
        fields.text("what"),
        fields.text("correlation"),
    )
    fields.end()
    return difference
