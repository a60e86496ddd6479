"""The desk: one run at a time, from the queue to the book."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.unit.coordinator.staged_run import Stage, failed
from tests.unit.tlog.sample_log import NOW_MS, SampleLog
from veilscore.coordinator import server_app
from veilscore.coordinator.desk import Flower, TrainingDesk
from veilscore.coordinator.errors import RunError
from veilscore.coordinator.runs import RunBook
from veilscore.coordinator.web.face import RunPhase
from veilscore.fault import Fault
from veilscore.runtime.errors import UnreachableError
from veilscore.runtime.flower.control import RunStatus
from veilscore.v1.training_pb2 import RunContract

RUNS = ["5f" * 16, "0b" * 16, "0c" * 16]


@dataclass
class StagedFlower:
    """Gives a run the thread that the ServerApp would give it."""

    stage: Stage
    started: list[str] = field(default_factory=list[str])
    at_once: int = 0
    most_at_once: int = 0
    refusal: Exception | None = None
    lost: bool = False  # takes runs and begins none
    status: str = "running"

    def start(self, run: str) -> int:
        if self.refusal is not None:
            raise self.refusal
        self.started.append(run)
        if not self.lost:
            threading.Thread(target=self._lead, args=(run,)).start()
        return len(self.started)

    def _lead(self, run: str) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        director = server_app.DIRECTORS.pop(run)
        with contextlib.suppress(Fault):  # Flower marks such a run as failed
            director(self.stage.fleet)  # type: ignore[arg-type] # all it needs
        self.at_once -= 1


@dataclass
class Scene:
    """A desk between a staged run and a log."""

    stage: Stage
    flower: StagedFlower
    book: RunBook
    desk: TrainingDesk
    told: list[tuple[str, str]]

    def propose(self, run: str = RUNS[0]) -> RunContract:
        contract = RunContract()
        contract.CopyFrom(self.stage.director.contract)
        contract.run = run
        self.desk.propose(contract)
        return contract

    def ended(self, run: str = RUNS[0]) -> RunPhase:
        eventually(lambda: self.book.view(run).ended_ms is not None)
        return self.book.view(run).phase


def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)


@pytest.fixture
def scene(stage: Stage, log: SampleLog) -> Iterator[Scene]:
    flower, told = StagedFlower(stage), list[tuple[str, str]]()
    book = RunBook(log.service, lambda: NOW_MS)
    desk = TrainingDesk(
        book,
        Flower(flower.start, lambda _: RunStatus(flower.status, "", "")),
        lambda: stage.around,
        lambda run, party: told.append((run, party)),
    )
    desk.start()
    yield Scene(stage, flower, book, desk, told)
    desk.close()
    stage.released.set()
    server_app.DIRECTORS.clear()


def follow(scene: Scene) -> None:
    """Let what nodes send reach the run that the desk leads, not the stage's own."""
    for node in scene.stage.nodes.values():
        node.deliver = scene.desk.on_envelope


def test_a_run_that_completes_is_told_to_everybody(
    scene: Scene, log: SampleLog
) -> None:
    follow(scene)
    scene.propose()
    assert scene.ended() == RunPhase.COMPLETED
    assert len(scene.book.view(RUNS[0]).model) == 64
    assert sorted(scene.told) == [(RUNS[0], name) for name in sorted(scene.stage.nodes)]
    kinds = [entry.opened.kind for entry in log.service.events(correlation=RUNS[0])]
    assert kinds == ["run_closed", "run_opened"]


def test_runs_wait_for_each_other_in_order(scene: Scene) -> None:
    scene.stage.hang("bank", "join")
    for run in RUNS:
        scene.propose(run)
    eventually(lambda: scene.book.view(RUNS[0]).step == "join")
    assert scene.flower.started == RUNS[:1]
    assert scene.book.view(RUNS[1]).phase == RunPhase.PROPOSED
    scene.stage.released.set()
    for run in RUNS:
        scene.ended(run)
    assert scene.flower.started == RUNS
    assert scene.flower.most_at_once == 1


def test_a_failed_run_is_told_and_logged_by_its_code(
    scene: Scene, log: SampleLog
) -> None:
    follow(scene)
    scene.stage.nodes["market"].scripted["moments"] = [lambda: failed("market", "data")]
    scene.propose()
    assert scene.ended() == RunPhase.STOPPED
    view = scene.book.view(RUNS[0])
    assert (view.stopped_by, view.reason) == ("market", "step moments: data")
    closed = log.service.events(kind="run_closed")[0].opened.event.run_closed
    assert (closed.party, closed.reason) == ("market", "data in step moments")
    assert len(scene.told) == 3


def test_a_loss_ends_the_run_and_the_next_one_begins(scene: Scene) -> None:
    scene.stage.hang("bureau", "join")
    scene.propose(RUNS[0])
    scene.propose(RUNS[1])
    eventually(lambda: scene.book.view(RUNS[0]).step == "join")
    lost = time.monotonic()
    scene.desk.on_lost("cooperative", "not in the run")
    scene.desk.on_lost("bureau", "it has left")
    scene.ended(RUNS[0])
    assert time.monotonic() - lost < 1
    view = scene.book.view(RUNS[0])
    assert view.stopped_by == "bureau"
    assert "it has left" in view.reason
    assert "when that node is back" in view.remedy
    eventually(lambda: RUNS[1] in scene.flower.started)


def test_a_message_that_flower_lost_ends_the_run_that_waits_for_it(
    scene: Scene, log: SampleLog
) -> None:
    follow(scene)
    scene.stage.hang("bureau", "counts")
    scene.propose()
    eventually(lambda: scene.book.view(RUNS[0]).step == "counts")
    scene.desk.on_step_lost("bureau", RUNS[1], "counts")  # of another run
    scene.desk.on_step_lost("bureau", RUNS[0], "rows")  # not under way
    scene.desk.on_step_lost("stranger", RUNS[0], "counts")
    scene.desk.on_step_lost("bureau", RUNS[0], "counts")
    assert scene.ended() == RunPhase.STOPPED
    view = scene.book.view(RUNS[0])
    assert view.stopped_by == "bureau"
    assert view.reason == "step counts: its SuperNode lost a message of Flower"
    closed = log.service.events(kind="run_closed")[0].opened.event.run_closed
    assert (closed.party, closed.reason) == ("bureau", "supernode in step counts")


def test_whose_message_is_lost_is_asked_to_join_again(scene: Scene) -> None:
    follow(scene)
    scene.stage.hang("bureau", "join")
    scene.propose()
    eventually(lambda: scene.book.view(RUNS[0]).step == "join")
    scene.desk.on_step_lost("bureau", RUNS[0], "join")
    assert scene.ended() == RunPhase.COMPLETED


def test_what_a_party_says_it_has_done_is_expected(scene: Scene) -> None:
    scene.stage.hang("bureau", "join")
    scene.propose()
    eventually(lambda: scene.book.view(RUNS[0]).step == "join")
    scene.desk.on_step_done("bureau", RUNS[1], "join")  # of another run
    scene.desk.on_step_done("bank", RUNS[0], "rows")  # not under way
    scene.desk.on_step_done("market", RUNS[0], "join")
    assert scene.stage.fleet.done == ["market"]


def test_a_message_lost_with_the_superlink_is_no_node_s_fault(scene: Scene) -> None:
    scene.desk.on_superlink_end()  # between runs it does no harm
    scene.stage.hang("bureau", "join")
    scene.propose()
    eventually(lambda: scene.book.view(RUNS[0]).step == "join")
    scene.desk.on_superlink_end()
    assert scene.book.view(RUNS[0]).ended_ms is None
    scene.desk.on_step_lost("bureau", RUNS[0], "join")
    assert scene.ended() == RunPhase.STOPPED
    view = scene.book.view(RUNS[0])
    assert view.stopped_by == ""
    assert "the SuperLink ended during the run" in view.reason


def test_a_waiting_run_can_be_withdrawn(scene: Scene, log: SampleLog) -> None:
    scene.stage.hang("bank", "join")
    scene.propose(RUNS[0])
    scene.propose(RUNS[1])
    eventually(lambda: scene.book.view(RUNS[0]).step == "join")
    scene.desk.stop(RUNS[1])
    assert scene.ended(RUNS[1]) == RunPhase.STOPPED
    closed = log.service.events(correlation=RUNS[1])[0].opened.event.run_closed
    assert "operator" in closed.reason
    scene.stage.released.set()
    scene.ended(RUNS[0])
    assert scene.flower.started == RUNS[:1]
    with pytest.raises(RunError, match="has ended"):
        scene.desk.stop(RUNS[1])


def test_a_run_under_way_can_be_stopped(scene: Scene) -> None:
    scene.stage.hang("bank", "join")
    scene.propose()
    eventually(lambda: scene.book.view(RUNS[0]).step == "join")
    scene.desk.stop(RUNS[0])
    assert scene.ended() == RunPhase.STOPPED
    assert "operator" in scene.book.view(RUNS[0]).reason


def test_a_superlink_that_refuses_ends_the_run(scene: Scene) -> None:
    scene.flower.refusal = UnreachableError("the SuperLink did not start run")
    scene.propose()
    assert scene.ended() == RunPhase.STOPPED
    assert "SuperLink" in scene.book.view(RUNS[0]).reason
    assert server_app.DIRECTORS == {}


def test_a_run_that_flower_gives_up_is_not_waited_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veilscore.coordinator.desk._LOOK_S", 0.05)
    scene.flower.lost = True
    scene.propose()
    eventually(lambda: RUNS[0] in server_app.DIRECTORS)
    scene.flower.status = "finished"
    assert scene.ended() == RunPhase.STOPPED
    assert server_app.DIRECTORS == {}


def test_closing_stops_the_run_under_way_at_once(scene: Scene) -> None:
    scene.stage.hang("bank", "join")
    scene.propose(RUNS[0])
    scene.propose(RUNS[1])
    eventually(lambda: scene.book.view(RUNS[0]).step == "join")
    started = time.monotonic()
    scene.desk.close()
    assert time.monotonic() - started < 1
    assert scene.book.view(RUNS[0]).phase == RunPhase.STOPPED
    assert scene.book.view(RUNS[1]).phase == RunPhase.PROPOSED  # closed at the restart
