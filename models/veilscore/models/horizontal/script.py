"""A member's part of horizontal training, as a generator without I/O.

A script yields a :class:`Contribution` and is sent the sum of all members'
contributions under the same label; :func:`drive` runs it to its end. Every sum carries
how many members are in it, which is checked before anything else of it is believed.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from veilscore.models.errors import ProtocolError
from veilscore.models.horizontal.ports import Sum, Words
from veilscore.models.horizontal.terms import Members

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """One member's summand; ``label`` names the sum within the run."""

    label: str
    words: Words


Script: TypeAlias = Generator[Contribution, Words, Result]


@dataclass(frozen=True, slots=True, eq=False)
class Total:
    """A sum over ``members`` members."""

    members: int
    words: Words


def total(label: str, words: Words, members: Members) -> Script[Total]:
    """Add ``words`` up over all members.

    Raises ``ProtocolError`` if the sum has another length, or is of fewer or more
    members than the contract allows.
    """
    one = np.ones(1, np.uint64)
    summed = yield Contribution(label, np.concatenate([one, words]))
    if summed.dtype != np.uint64 or summed.shape != (words.size + 1,):
        raise ProtocolError(
            f"sum {label!r} is no vector of {words.size + 1} words",
            remedy="Let all members use the same release and start the run again",
        )
    counted = int(summed[0])
    if not members.least <= counted <= members.most:
        raise ProtocolError(
            f"sum {label!r} is of {counted} members, the contract allows "
            f"{members.least} to {members.most}",
            remedy="Start the run again once enough members are there",
        )
    return Total(counted, summed[1:])


def drive(script: Script[Result], add: Sum) -> Result:
    """Run a script to its end and return its result; raises what it or ``add`` does."""
    try:
        contribution = next(script)
        while True:
            words = add(contribution.label, contribution.words)
            contribution = script.send(words)
    except StopIteration as stop:
        result: Result = stop.value
        return result
