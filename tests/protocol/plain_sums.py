"""Members of horizontal training in one process, whose vectors are added in the open.

What secure aggregation does without showing the summands. ``tamper`` changes what one
member contributes, ``watch`` sees every sum.
"""

from collections.abc import Callable, Generator, Mapping
from typing import TypeVar

from veilscore.models.horizontal.ports import Words
from veilscore.models.horizontal.script import Contribution

Result = TypeVar("Result")
Script = Generator[Contribution, Words, Result]


def together(
    scripts: Mapping[str, Script[Result]],
    *,
    tamper: Callable[[str, Contribution], Words] | None = None,
    watch: Callable[[str, Words], object] | None = None,
) -> dict[str, Result]:
    """Run every member's script to its end, one sum after the other."""
    results: dict[str, Result] = {}
    answer: Words | None = None
    while True:
        given: dict[str, Contribution] = {}
        for party, script in scripts.items():
            try:
                given[party] = (
                    next(script) if answer is None else script.send(answer.copy())
                )
            except StopIteration as stop:
                results[party] = stop.value
        if results:
            assert not given, "one member ended before another"
            return results
        assert len({each.label for each in given.values()}) == 1
        words = [
            tamper(party, each) if tamper else each.words
            for party, each in given.items()
        ]
        answer = words[0].copy()
        for summand in words[1:]:
            answer += summand
        if watch:
            watch(next(iter(given.values())).label, answer)
