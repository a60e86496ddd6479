"""What ``veilscore train`` shows while a run is under way."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from veilscore.coordinator import progress
from veilscore.coordinator.web.face import Decision, RunParty, RunPhase, RunView

NAMES = ("join", "rows", "solve")
PROPOSED = RunView(
    run="5f" * 16,
    contract="00" * 32,
    phase=RunPhase.PROPOSED,
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
) -> list[str]:
    monkeypatch.setattr(progress, "_POLL_S", 0.0)
    seen = iter(views)
    progress.follow(lambda: next(seen), NAMES, quiet=False)
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


def test_an_estimate_that_one_party_does_not_give_is_not_made_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    after = running("rows", bank=40, tax=0)
    ended = replace(after, phase=RunPhase.STOPPED, ended_ms=2)
    lines = shown([PROPOSED, after, ended], monkeypatch, capsys)
    assert [line.split()[1] for line in lines] == ["join"]
