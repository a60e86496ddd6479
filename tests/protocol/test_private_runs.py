"""A run with noise is charged before its first sum, and nothing gives a budget back."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.protocol.score_world import START, People, world
from tests.protocol.training_scene import NOISE, TrainingScene
from veilscore.models.horizontal import accounting
from veilscore.models.horizontal.noise_shares import NoisySums
from veilscore.node.config import NodeSettings
from veilscore.node.doctor import examine
from veilscore.node.errors import (
    AwaitingApprovalError,
    BudgetSpentError,
    RefusedError,
)
from veilscore.node.log.receipts import Receipts
from veilscore.node.log.recon_state import EVENTS
from veilscore.node.operator import show_privacy, show_waiting
from veilscore.node.training import privacy_budget
from veilscore.node.training.policy import PrivacySettings, TrainingSettings
from veilscore.node.training.privacy_ledger import PrivacyLedger
from veilscore.node.training.session import RunSession
from veilscore.runtime.errors import UnreachableError
from veilscore.v1.training_pb2 import StepReport

DELTA = 1e-5
DAY_S = 86_400.0


def settings(
    delta: float = DELTA, *, rows: str = "all", approve: str = "automatic"
) -> TrainingSettings:
    return TrainingSettings.model_validate(
        {
            "approve_horizontal": approve,
            "privacy": {"epsilon": 2.0, "delta": delta, "rows": rows},
        }
    )


def spent_by(runs: int, delta: float = DELTA) -> float:
    """Return what the library says of so many runs."""
    one = [NoisySums(NOISE.count_noise, 2), NoisySums(NOISE.noise, 40)]
    return accounting.epsilon(one * runs, delta)


def run_id(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture
def scene(tmp_path: Path, people: People) -> Iterator[TrainingScene]:
    with world(tmp_path, people) as hub:
        yield TrainingScene(hub, people, tmp_path / "runs.db", settings())


@pytest.fixture
def sums(scene: TrainingScene, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let steps send sums to nobody; return the runs of which one has left.

    None leaves before the log holds what is spent with it.
    """
    left: list[str] = []

    def perform(session: RunSession, step: str, _: bytes) -> StepReport:
        assert step == "bins"
        run = session.contract.run
        told = [each.kind for each in scene.hub.events("bank", run)]
        assert told[-1] == "privacy_spent"
        left.append(run)
        return StepReport()

    monkeypatch.setattr(RunSession, "perform", perform)
    return left


def begin(scene: TrainingScene, number: int) -> None:
    """Join a run and ask for its first step with a sum."""
    scene.join(scene.contract(run_id(number)))
    scene.step("bins", run_id(number))


def killed(*_: object, **__: object) -> NoReturn:
    raise KeyboardInterrupt


def told(scene: TrainingScene) -> list[tuple[float, float]]:
    spent = [each.event for each in scene.hub.events("bank")]
    return [
        (event.privacy_spent.epsilon, event.privacy_spent.delta)
        for event in spent
        if event.HasField("privacy_spent")
    ]


def test_runs_are_charged_whole_until_the_budget_is_spent(
    scene: TrainingScene, sums: list[str]
) -> None:
    for number in (1, 2, 3):
        scene.now += DAY_S
        begin(scene, number)
        assert scene.budget.spent() == pytest.approx(spent_by(number), rel=1e-4)
        assert told(scene)[-1] == (scene.budget.spent(), DELTA)
    scene.now += DAY_S
    with pytest.raises(BudgetSpentError, match="than is left") as caught:
        begin(scene, 4)
    assert "epsilon: 2, with this run 2.25" in caught.value.place
    assert (len(sums), len(told(scene))) == (3, 3)
    decided = scene.hub.events("bank", run_id(4))[-1].event.run_decided
    assert not decided.approved
    assert decided.reason == caught.value.what  # in public: no figure, no place


def test_what_a_run_would_spend_is_shown_before_it_is_approved(
    scene: TrainingScene, sums: list[str]
) -> None:
    begin(scene, 1)
    scene.restart(settings(approve="manual"))
    with pytest.raises(AwaitingApprovalError):
        scene.join(scene.contract(run_id(2)))
    (waiting,) = scene.desk.approvals.waiting()
    shown = show_waiting(waiting, scene.budget)
    assert shown.privacy
    assert shown.privacy.epsilon == pytest.approx(spent_by(1), rel=1e-4)
    assert shown.privacy.spent == pytest.approx(spent_by(2), rel=1e-4)
    assert shown.work_ms > 0
    state = show_privacy(scene.budget)
    assert state
    assert (state.rows, state.allowed, state.delta) == ("all", 2.0, DELTA)
    assert state.spent == pytest.approx(spent_by(1), rel=1e-4)
    assert not state.is_low
    assert sums == [run_id(1)]


def test_a_kill_between_charge_and_sum_leaves_the_run_charged(
    scene: TrainingScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RunSession, "perform", killed)
        with pytest.raises(KeyboardInterrupt):
            begin(scene, 1)
    scene.restart()
    assert scene.budget.spent() == pytest.approx(spent_by(1), rel=1e-4)
    with pytest.raises(RefusedError, match="not joined"):
        scene.step("bins", run_id(1))
    with pytest.raises(RefusedError, match="run before"):
        scene.join(scene.contract(run_id(1)))
    assert scene.budget.spent() == pytest.approx(spent_by(1), rel=1e-4)


@pytest.mark.parametrize("place", ["write", "prove"])
def test_a_kill_within_the_charge_sends_nothing(
    scene: TrainingScene,
    sums: list[str],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    """Charge and event are on disk together or not at all."""
    scene.join(scene.contract(run_id(1)))
    with monkeypatch.context() as patch:
        patch.setattr(Receipts, place, killed)
        with pytest.raises(KeyboardInterrupt):
            scene.step("bins", run_id(1))
    scene.restart()
    scene.node.receipts.catch_up()
    charged = len(told(scene))
    assert charged == (place == "prove")
    assert scene.budget.spent() == pytest.approx(spent_by(1) * charged, rel=1e-4)
    assert sums == []
    begin(scene, 2)
    assert scene.budget.spent() == pytest.approx(spent_by(charged + 1), rel=1e-4)


def test_nothing_leaves_while_the_log_does_not_hold_the_charge(
    scene: TrainingScene, sums: list[str]
) -> None:
    scene.join(scene.contract(run_id(1)))
    scene.hub.log_down = True
    with pytest.raises(UnreachableError):
        scene.step("bins", run_id(1))
    scene.hub.log_down = False
    with pytest.raises(RefusedError, match="over at this node"):
        scene.step("bins", run_id(1))
    assert sums == []
    assert scene.budget.spent() == pytest.approx(spent_by(1), rel=1e-4)


@pytest.mark.parametrize("ahead_s", [-3 * 365 * DAY_S, 30 * 365 * DAY_S])
def test_no_clock_gives_a_budget_back(
    scene: TrainingScene, sums: list[str], ahead_s: float
) -> None:
    for number, ahead in ((1, 0.0), (2, ahead_s), (3, 0.0)):
        scene.now = START + ahead + number * DAY_S
        scene.hub.ahead["bank"] = ahead
        scene.restart()
        begin(scene, number)
    for ahead in (ahead_s, 0.0):
        scene.now = START + ahead + 9 * DAY_S
        scene.hub.ahead["bank"] = ahead
        scene.restart()
        with pytest.raises(BudgetSpentError):
            begin(scene, 4)
    assert len(sums) == 3
    assert scene.budget.spent() == pytest.approx(spent_by(3), rel=1e-4)


def test_a_step_that_is_asked_for_twice_is_charged_once(
    scene: TrainingScene, sums: list[str]
) -> None:
    begin(scene, 1)
    with pytest.raises(RefusedError, match="spent of the privacy budget before"):
        scene.step("bins", run_id(1))
    assert (len(sums), len(told(scene))) == (1, 1)


def test_a_run_that_is_over_is_not_charged(
    scene: TrainingScene, sums: list[str]
) -> None:
    scene.join(scene.contract(run_id(1)))
    scene.desk.on_run_ended(run_id(1))
    with pytest.raises(RefusedError, match="over at this node"):
        scene.step("bins", run_id(1))
    for step in ("rows", "round-1"):
        scene.join(scene.contract(run_id(len(step))))
        with pytest.raises(AssertionError):  # of the steps here, which send nothing
            scene.step(step, run_id(len(step)))
    assert (sums, told(scene)) == ([], [])
    assert scene.budget.spent() == 0


def test_two_processes_on_one_disk_share_the_rest(
    scene: TrainingScene, sums: list[str]
) -> None:
    """Both joined while one more run fitted; the second to begin finds it gone."""
    begin(scene, 1)
    begin(scene, 2)
    other = TrainingScene.__new__(TrainingScene)
    other.__dict__.update(scene.__dict__)
    other.open()
    scene.now = other.now = START + 2 * DAY_S
    scene.join(scene.contract(run_id(3)))
    other.join(other.contract(run_id(4)))
    scene.step("bins", run_id(3))
    with pytest.raises(BudgetSpentError):
        other.step("bins", run_id(4))
    assert sums == [run_id(number) for number in (1, 2, 3)]
    other.ledger.close()


def test_another_delta_is_of_all_runs_and_other_rows_of_none(
    scene: TrainingScene, sums: list[str]
) -> None:
    begin(scene, 1)
    scene.restart(settings(1e-9))
    strict = pytest.approx(spent_by(1, 1e-9), rel=1e-4)
    assert scene.budget.spent() == strict
    with pytest.raises(BudgetSpentError):  # two runs are over 2 at this delta
        begin(scene, 2)
    scene.restart(settings(1e-9, rows="loans of 2026"))
    assert scene.budget.spent() == 0
    begin(scene, 3)
    assert scene.budget.spent() == strict
    scene.restart(settings(1e-3))
    assert scene.budget.spent() == pytest.approx(spent_by(1, 1e-3), rel=1e-4)
    assert len(sums) == 2


def without(privacy: PrivacySettings | None) -> TrainingSettings:
    return TrainingSettings(approve_horizontal="automatic", privacy=privacy)


def test_a_node_without_a_budget_refuses_runs_with_noise(scene: TrainingScene) -> None:
    scene.restart(without(None))
    with pytest.raises(RefusedError, match="no privacy budget") as caught:
        scene.join(scene.contract(run_id(1)))
    assert caught.value.place == "[training.privacy] of node.toml"
    assert "`epsilon` and `delta`" in caught.value.remedy
    assert show_privacy(scene.budget) is None
    scene.join(scene.contract(run_id(2), privacy=None))
    assert scene.desk.progress()


def test_an_operator_may_want_noise_in_every_run(scene: TrainingScene) -> None:
    scene.restart(without(PrivacySettings(epsilon=2, delta=DELTA, required=True)))
    with pytest.raises(RefusedError, match="without noise is not allowed"):
        scene.join(scene.contract(run_id(1), privacy=None))
    scene.join(scene.contract(run_id(2)))
    assert scene.desk.progress()


def test_a_node_without_the_accountant_says_what_to_install(
    scene: TrainingScene, sums: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(scene, 1)
    forget: Callable[[], None] = privacy_budget._of_one.cache_clear  # pyright: ignore[reportPrivateUsage]
    with monkeypatch.context() as patch:
        name = "veilscore.models.horizontal.accounting"
        patch.setitem(sys.modules, name, None)
        patch.delattr(sys.modules["veilscore.models.horizontal"], "accounting")
        forget()
        with pytest.raises(RefusedError, match="cannot reckon") as caught:
            scene.join(scene.contract(run_id(2)))
        state = show_privacy(scene.budget)
    assert "veilscore[dp]" in caught.value.remedy
    assert state
    assert "cannot reckon" in state.fault
    forget()
    assert scene.budget.spent() == pytest.approx(spent_by(1), rel=1e-4)
    assert sums == [run_id(1)]


def test_doctor_reads_the_ledger_of_a_node_that_runs(
    scene: TrainingScene, sums: list[str]
) -> None:
    begin(scene, 1)
    found = PrivacyLedger.peek(scene.node.events, "all")
    assert found == [NoisySums(12.0, 2), NoisySums(25.0, 40)]
    assert sums


def test_doctor_warns_when_next_to_nothing_is_left(
    scene: TrainingScene, sums: list[str], tmp_path: Path
) -> None:
    def said(budget: TrainingSettings) -> tuple[bool, str]:
        (scene.hub.folder / "bank" / EVENTS).unlink(missing_ok=True)
        (scene.hub.folder / "bank" / EVENTS).symlink_to(scene.node.events)
        settings = NodeSettings.model_validate(
            {
                "party": "bank",
                "state": scene.hub.folder / "bank",
                "passphrase_file": tmp_path / "passphrase",
                "keystore": tmp_path / "keystore",
                "kit": tmp_path / "kit.json",
                "coordinator_fingerprint_file": tmp_path / "print",
                "web": {"token_file": tmp_path / "token"},
                "log": {"policy": tmp_path / "policy"},
                "training": budget,
            }
        )
        found = {each.check: each for each in examine(settings)}["privacy budget"]
        return found.fault is not None, str(found.fault or found.found)

    assert said(settings()) == (
        False,
        "epsilon 0 of 2 spent at delta 1e-05 on rows `all`",
    )
    for number in (1, 2):
        begin(scene, number)
    assert said(settings())[0] is False
    begin(scene, 3)
    warned, what = said(settings())
    assert warned
    assert "epsilon 1.92 of 2 spent" in what
    assert "name them by `rows`" in what
    assert said(settings(rows="2027"))[0] is False
    assert said(without(None)) == (False, "none: runs with noise are refused")
    assert len(sums) == 3


def test_a_horizontal_run_has_no_label_holder(scene: TrainingScene) -> None:
    made = scene.contract(run_id(1))
    made.label_holder = "bank"
    with pytest.raises(RefusedError, match="roster is not in order"):
        scene.join(made)


def test_automatic_approval_of_vertical_runs_is_none_of_horizontal_ones(
    scene: TrainingScene,
) -> None:
    scene.restart(TrainingSettings(approve="automatic"))
    with pytest.raises(AwaitingApprovalError):
        scene.join(scene.contract(run_id(1), privacy=None))
    scene.desk.approvals.decide(run_id(1), approved=True)
    scene.join(scene.contract(run_id(1), privacy=None))
    assert scene.desk.progress()
