"""What a terminal shows, on standard error, while a run is under way."""

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from veilscore.coordinator.web.face import RunKind, RunView

_POLL_S: Final = 0.3


def follow(
    look: Callable[[], RunView], names: Sequence[str], *, quiet: bool
) -> RunView:
    """Show a line for every step that is done, and return the run that has ended.

    Steps that differ in nothing but their number have one line together.
    """
    console = Console(stderr=True, quiet=quiet, highlight=False)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("")
        lines = _lines(names)
        done, began = 0, time.monotonic()
        told: dict[str, str] = {}
        while True:
            view = look()
            for party, why in _left(view).items() - told.items():
                told[party] = why
                line = f"  goes on without {party}: {why}"
                console.print(line, markup=False, soft_wrap=True)
            reached = _reached(view, names, done)
            for line, after in lines:
                if not done < after <= reached:
                    continue
                console.print(f"[green]✓[/] {line}  {time.monotonic() - began:.1f} s")
                if line == "join" and (expected := _expected(view)):
                    console.print(expected, markup=False, soft_wrap=True)
                bar.reset(task)
                began = time.monotonic()
            done = reached
            spent = time.monotonic() - began
            bar.update(task, description=_under_way(view, names, spent))
            if view.ended_ms is not None:
                return view
            time.sleep(_POLL_S)


def _lines(names: Sequence[str]) -> list[tuple[str, int]]:
    """Return what each line says, and after how many steps."""
    lines: list[tuple[str, int]] = []
    after = 0
    for kind, group in groupby(names, _kind):
        steps = list(group)
        after += len(steps)
        said = steps[0] if len(steps) == 1 else f"{kind} 1 to {len(steps)}"
        lines.append((said, after))
    return lines


def _left(view: RunView) -> dict[str, str]:
    """Return whom the run goes on without, and why."""
    return {each.party: each.left for each in view.parties if each.left}


def _kind(name: str) -> str:
    return name.partition("-")[0]


def _reached(view: RunView, names: Sequence[str], done: int) -> int:
    """Return how many steps are done."""
    if view.phase == "completed":
        return len(names)
    return names.index(view.step) if view.step in names else done


def _under_way(view: RunView, names: Sequence[str], spent: float) -> str:
    """Say what the run does; ``spent``: seconds since the last line."""
    waiting = [each.party for each in view.parties if each.decision == "waiting"]
    if view.step == "join" and waiting:
        return f"join: {', '.join(waiting)} must approve"
    alike = [name for name in names if _kind(name) == _kind(view.step)]
    if view.step not in alike or len(alike) == 1:
        return view.step or "waiting for the run before"
    past = alike.index(view.step)
    text = f"{_kind(view.step)} {past + 1} of {len(alike)}"
    if not past:
        return text
    return f"{text}, about {_long(round(spent / past * (len(alike) - past)))} more"


def _expected(view: RunView) -> str:
    """Say how long the run may take: some work is at the same time, some in turn.

    Members of a horizontal run all work at the same time, and tell what the most rows
    that the contract allows them would take.
    """
    parts = {each.party: each.estimated_s for each in view.parties}
    if not all(parts.values()):
        return ""
    longest, total = max(parts.values()), sum(parts.values())
    work = ", ".join(f"{party} {_long(seconds)}" for party, seconds in parts.items())
    if view.kind is RunKind.HORIZONTAL:
        return f"  expected: up to {_long(longest)} (with `max_rows` rows: {work})"
    span = f"{_long(longest)} to {_long(total)}"
    return f"  expected: {span}, more if tables differ in size (work of {work})"


def _long(seconds: int) -> str:
    for unit, name in ((1, "s"), (60, "min")):
        if seconds < 100 * unit:
            return f"{round(seconds / unit)} {name}"
    return f"{round(seconds / 3600):,} h"
