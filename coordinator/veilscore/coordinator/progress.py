"""What a terminal shows, on standard error, while a run is under way."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from veilscore.coordinator.web.face import RunView

_POLL_S: Final = 0.3


def follow(
    look: Callable[[], RunView], names: Sequence[str], *, quiet: bool
) -> RunView:
    """Show a line for every step that is done, and return the run that has ended."""
    console = Console(stderr=True, quiet=quiet, highlight=False)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("")
        done, began = 0, time.monotonic()
        while True:
            view = look()
            bar.update(task, description=_under_way(view))
            reached = _reached(view, names, done)
            for name in names[done:reached]:
                console.print(f"[green]✓[/] {name}  {time.monotonic() - began:.1f} s")
                if name == "join" and (line := _expected(view)):
                    console.print(line, markup=False, soft_wrap=True)
                bar.reset(task)
                began = time.monotonic()
            done = reached
            if view.ended_ms is not None:
                return view
            time.sleep(_POLL_S)


def _reached(view: RunView, names: Sequence[str], done: int) -> int:
    """Return how many steps are done."""
    if view.phase == "completed":
        return len(names)
    return names.index(view.step) if view.step in names else done


def _under_way(view: RunView) -> str:
    waiting = [each.party for each in view.parties if each.decision == "waiting"]
    if view.step == "join" and waiting:
        return f"join: {', '.join(waiting)} must approve"
    return view.step or "waiting for the run before"


def _expected(view: RunView) -> str:
    """Say how long the run may take: some work is at the same time, some in turn."""
    parts = {each.party: each.estimated_s for each in view.parties}
    if not all(parts.values()):
        return ""
    longest, total = max(parts.values()), sum(parts.values())
    work = ", ".join(f"{party} {_long(seconds)}" for party, seconds in parts.items())
    span = f"{_long(longest)} to {_long(total)}"
    return f"  expected: {span}, more if tables differ in size (work of {work})"


def _long(seconds: int) -> str:
    for unit, name in ((1, "s"), (60, "min")):
        if seconds < 100 * unit:
            return f"{round(seconds / unit)} {name}"
    return f"{round(seconds / 3600):,} h"
