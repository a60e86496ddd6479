"""What ``veilscore train`` shows while a run is under way."""

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest
from rich.console import Console

from veilscore.coordinator import progress
from veilscore.coordinator.web.face import (
    Decision,
    RunKind,
    RunParty,
    RunPhase,
    RunView,
)

NAMES = ("join", "rows", "solve")
PROPOSED = RunView(
    run="5f" * 16,
    contract="00" * 32,
    phase=RunPhase.PROPOSED,
    kind=RunKind.VERTICAL,
    label_holder="bank",
    parties=(RunParty("bank", Decision.WAITING), RunParty("tax", Decision.WAITING)),
    step="join",
    proposed_ms=1,
)


def running(step: str, **estimates: int) -> RunView:
    parties = tuple(
        RunParty(name, Decision.APPROVED, seconds)
        for name, seconds in estimates.items()
    )
    return replace(PROPOSED, phase=RunPhase.RUNNING, step=step, parties=parties)


def shown(
    views: Iterable[RunView],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    names: Sequence[str] = NAMES,
) -> list[str]:
    monkeypatch.setattr(progress, "_POLL_S", 0.0)
    seen = iter(views)
    progress.follow(lambda: next(seen), names, quiet=False)
    return [line.rstrip() for line in capsys.readouterr().err.splitlines() if line]


@pytest.mark.parametrize(
    ("seconds", "span", "work"),
    [
        ((40, 59), "59 s to 99 s", "bank 40 s, tax 59 s"),
        ((61, 1500), "25 min to 26 min", "bank 61 s, tax 25 min"),
        ((6000, 30_000), "8 h to 10 h", "bank 2 h, tax 8 h"),
    ],
)
def test_once_all_have_joined_it_says_how_long_the_run_may_take(
    seconds: tuple[int, int],
    span: str,
    work: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bank, tax = seconds
    steps = [running(step, bank=bank, tax=tax) for step in ("join", "rows", "solve")]
    ended = replace(steps[-1], phase=RunPhase.COMPLETED, step="", ended_ms=2)
    lines = shown([PROPOSED, *steps, ended], monkeypatch, capsys)
    assert [line.split()[1] for line in lines if line.startswith("\u2713")] == [*NAMES]
    rest = f"more if tables differ in size (work of {work})"
    assert lines[1] == f"  expected: {span}, {rest}"


def test_members_of_a_horizontal_run_work_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    began = replace(running("bins", bank=40, tax=59), kind=RunKind.HORIZONTAL)
    ended = replace(began, phase=RunPhase.COMPLETED, step="", ended_ms=2)
    lines = shown([PROPOSED, began, ended], monkeypatch, capsys, ("join", "bins"))
    assert lines[1] == (
        "  expected: up to 59 s (with `max_rows` rows: bank 40 s, tax 59 s)"
    )


def test_an_estimate_that_one_party_does_not_give_is_not_made_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    after = running("rows", bank=40, tax=0)
    ended = replace(after, phase=RunPhase.STOPPED, ended_ms=2)
    lines = shown([PROPOSED, after, ended], monkeypatch, capsys)
    assert [line.split()[1] for line in lines] == ["join"]


ROUNDS = ("join", "bins", *(f"round-{at}" for at in range(1, 41)), "evaluate")


def test_rounds_have_one_line_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    views = [PROPOSED, *(running(step, bank=40, tax=0) for step in ROUNDS)]
    ended = replace(views[-1], phase=RunPhase.COMPLETED, step="", ended_ms=2)
    lines = shown([*views, ended], monkeypatch, capsys, ROUNDS)
    told = [re.sub(r"  \d+\.\d s$", "", line) for line in lines]
    assert told == ["✓ join", "✓ bins", "✓ round 1 to 40", "✓ evaluate"]


def test_rounds_that_no_look_sees_are_counted_as_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    third, last = (running(step, bank=1, tax=0) for step in ("round-3", "evaluate"))
    stopped = replace(last, phase=RunPhase.STOPPED, ended_ms=2)
    assert len(shown([third, last, stopped], monkeypatch, capsys, ROUNDS)) == 3
    # A run that stops among its rounds has no line for them.
    stopped = replace(third, phase=RunPhase.STOPPED, ended_ms=2)
    assert len(shown([third, stopped], monkeypatch, capsys, ROUNDS)) == 2


def test_at_a_terminal_it_says_which_round_it_is_and_how_long_the_rest_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = map(float, count(0, 30))
    time = SimpleNamespace(monotonic=lambda: next(clock), sleep=list[float]().append)
    screen = io.StringIO()
    terminal = partial(Console, file=screen, force_terminal=True, width=80)
    monkeypatch.setattr(progress, "Console", terminal)
    monkeypatch.setattr(progress, "time", time)
    views = [running(f"round-{at}", bank=1, tax=1) for at in (1, 11)]
    ended = replace(views[-1], phase=RunPhase.STOPPED, ended_ms=2)
    seen = iter([*views, ended])
    progress.follow(lambda: next(seen), ROUNDS, quiet=False)
    assert "round 11 of 40, about 4 min more" in screen.getvalue()


def test_who_the_run_goes_on_without_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = running("rows", bank=40, tax=0)
    bank, tax = before.parties
    gone = (bank, replace(tax, left="was lost during the run"))
    after = replace(before, parties=gone)
    ended = replace(after, phase=RunPhase.COMPLETED, ended_ms=2)
    lines = shown([PROPOSED, before, after, after, ended], monkeypatch, capsys)
    told = "  goes on without tax: was lost during the run"
    assert [line for line in lines if "tax" in line] == [told]
