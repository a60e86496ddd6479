"""Whose table it is and where it lies: what every complaint about it names.

No complaint repeats a cell. Rows count from 1, headers and blank lines apart.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from veilscore.node.errors import SourceError

# Cells of some rows by declared column: text from CSV, otherwise as typed by the
# source, None for NULL.
Chunk: TypeAlias = dict[str, Sequence[object]]
CHUNK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Origin:
    """A party's source, named without its secrets."""

    party: str
    name: str

    def error(
        self, what: str, remedy: str, *, column: str = "", row: int = 0
    ) -> SourceError:
        """Return the error to raise about this source."""
        place = self.place(column, row)
        return SourceError(what, party=self.party, place=place, remedy=remedy)

    def place(self, column: str = "", row: int = 0) -> str:
        """Return where in this source something is."""
        parts = [self.name]
        if column:
            parts.append(f"column `{column}`")
        if row:
            parts.append(f"data row {row}")
        return ", ".join(parts)

    def require(self, columns: Iterable[str], found: Sequence[str]) -> None:
        """Raise ``SourceError`` unless each declared column is there once."""
        for column in columns:
            if column not in found:
                likely = get_close_matches(column, found, n=1)
                hint = f" (did you mean `{likely[0]}`?)" if likely else ""
                raise self.error(
                    f"the declared column is not there{hint}",
                    "Correct its name under [source], or export it",
                    column=column,
                )
            if found.count(column) > 1:
                raise self.error(
                    "the declared column is there more than once",
                    "Rename or remove the other columns of that name",
                    column=column,
                )
