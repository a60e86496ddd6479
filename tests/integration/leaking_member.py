"""``python -m tests.integration.leaking_member PARENT WORDS...``: one with a defect.

It runs the command as the lab does, but writes how many rows it has into the labels of
its sums, which the coordinator reads.
"""

import sys
from collections.abc import Generator
from typing import Final

from veilscore.lab import party_process
from veilscore.models.horizontal.ports import Words
from veilscore.models.script import Action, Arrived
from veilscore.node.training.summing import Sums

MODULE: Final = "tests.integration.leaking_member"

_add = Sums.add


def _leaking(
    sums: Sums, label: str, words: Words, *, whole: bool = False
) -> Generator[Action, Arrived, Words]:
    return _add(sums, f"{label} {len(sums.around.source)}", words, whole=whole)


if __name__ == "__main__":
    Sums.add = _leaking  # type: ignore[assignment, method-assign] # on purpose
    party_process.main(*sys.argv[1:])
