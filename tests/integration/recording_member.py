"""``python -m tests.integration.recording_member PARENT WORDS...``: a node on tap.

It runs the command as the lab does, and writes down every vector that it adds up with
others and every sum that it learns: what the coordinator must not see.
"""

import json
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

from veilscore.lab import party_process
from veilscore.models.horizontal.ports import Words
from veilscore.models.script import Action, Arrived
from veilscore.node.training.summing import Sums

MODULE: Final = "tests.integration.recording_member"
FOLDER: Final = "VEILSCORE_TEST_WORDS"  # the environment names where to write

_add = Sums.add


def read_vectors(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what was added up or learned, and its words."""
    for path in sorted(folder.iterdir()):
        for line in path.read_text(encoding="ascii").splitlines():
            what, words = json.loads(line)
            yield what, bytes.fromhex(words)


def _recorded(
    sums: Sums, label: str, words: Words, *, whole: bool = False
) -> Generator[Action, Arrived, Words]:
    _note(f"the vector of {sums.around.party} for {label}", words)
    total = yield from _add(sums, label, words, whole=whole)
    _note(f"the sum {label}", total)
    return total


def _note(what: str, words: Words) -> None:
    path = Path(os.environ[FOLDER]) / f"{os.getpid()}.jsonl"
    with path.open("a", encoding="ascii") as file:
        file.write(json.dumps([what, words.astype("<u8").tobytes().hex()]) + "\n")


if __name__ == "__main__":
    Sums.add = _recorded  # type: ignore[assignment, method-assign] # nothing else differs
    party_process.main(*sys.argv[1:])
