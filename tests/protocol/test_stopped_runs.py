"""A node's operator decides about runs, and learns at the node why one stopped."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.protocol.score_cards import ROWS, columns
from tests.protocol.score_world import START, People, World, world
from tests.sample_contract import sample_contract
from tests.unit.tlog.sample_log import own_word
from veilscore.fault import Fault
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.node.errors import (
    AlreadyDecidedError,
    AwaitingApprovalError,
    RefusedError,
    TrainingError,
    UnknownRunError,
)
from veilscore.node.log.receipts import Receipts
from veilscore.node.operator import show_failure
from veilscore.node.training.desk import StoppedRun, TrainingDesk
from veilscore.node.training.host_speed import HostSpeed
from veilscore.node.training.ledger import RunLedger
from veilscore.node.training.policy import TrainingSettings
from veilscore.node.training.privacy_budget import PrivacyBudget
from veilscore.node.training.surroundings import Surroundings
from veilscore.node.web.face import RunFailure
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.training_pb2 import RunContract, StepRequest

RUN, OTHER = "5f" * 16, "0b" * 16
PARTIES = ("bank", "bureau", "market")
SPEED = HostSpeed(1e-4, 1e-3, 1e-2, 1e-5)


@dataclass
class Scene:
    """The bank's training desk with real keys, log and policy, and no peers."""

    hub: World
    people: People
    runs: Path
    desk: TrainingDesk = field(init=False)
    now: float = START
    keys: list[SignedKey] = field(default_factory=list[SignedKey])
    broken: Exception | None = None  # raised where the directory is asked

    def open(self, approve: str) -> None:
        node = self.hub.node("bank")
        settings = TrainingSettings.model_validate({"approve": approve})
        self.desk = TrainingDesk(
            settings,
            lambda: self.surroundings(node.workers),
            node.shelf,
            RunLedger(self.runs, settings.runs_a_day),
            Receipts(
                node.chain, self.hub.append, own_word(self.hub.log_key), self.clock
            ),
            lambda _kind, _run, _step: None,
            lambda: SPEED,
            PrivacyBudget("bank", settings.privacy, node.database, node.receipts),
            node.incidents,
            self.clock,
        )

    def surroundings(self, workers: PaillierWorkers) -> Surroundings:
        return Surroundings(
            party="bank",
            coordinator="hub",
            signer=self.people.signers["bank"],
            registry=self.people.registry,
            private_key=self.people.paillier["bank"],
            workers=workers,
            source=columns(ROWS["bank"]),
            send=lambda _party, _data: None,
            publish=self.keys.append,
            directory=self.directory,
            clock=self.clock,
            step_timeout_s=1.0,
            min_rows=1,
        )

    def directory(self, purpose: str) -> list[SignedKey]:
        assert purpose.startswith("run:")
        if self.broken:
            raise self.broken
        return self.keys

    def clock(self) -> float:
        return self.now

    def step(self, name: str, run: str = RUN, contract: bytes = b"") -> None:
        request = StepRequest(contract=contract)
        self.desk.handle(run, name, request.SerializeToString(), "message")

    def join(self, run: str = RUN, **clauses: bool) -> bytes:
        body = self.contract(run, **clauses).SerializeToString(deterministic=True)
        self.step("join", run, body)
        return body

    def contract(self, run: str, **clauses: bool) -> RunContract:
        prints = self.people.registry.fingerprints()
        return sample_contract(PARTIES, prints, run=run, **clauses)

    def stopped(self) -> StoppedRun:
        stopped = self.desk.stopped()
        assert stopped
        return stopped

    def is_finished(self) -> bool:
        progress = self.desk.progress()
        assert progress
        return progress.finished


@pytest.fixture
def scene(tmp_path: Path, people: People) -> Iterator[Scene]:
    with world(tmp_path, people) as hub:
        yield Scene(hub, people, tmp_path / "runs.db")


def test_a_node_that_is_asked_again_has_joined_once(scene: Scene) -> None:
    """Its answer was lost on the way; nothing is drawn, said or counted twice."""
    scene.open("automatic")
    body = scene.join()
    said = len(scene.hub.events("bank"))
    scene.step("join", contract=body)
    assert (len(scene.keys), len(scene.hub.events("bank"))) == (1, said)
    with pytest.raises(TrainingError, match="published no key"):
        scene.step("rows")  # the contract's next step, as if asked once
    with pytest.raises(RefusedError, match="run before"):
        scene.step("join", contract=body)


def test_a_failed_step_is_kept_with_place_and_time(scene: Scene) -> None:
    scene.open("automatic")
    scene.join()
    assert scene.desk.stopped() is None
    assert not scene.is_finished()
    scene.now += 60
    with pytest.raises(TrainingError, match="published no key"):
        scene.step("rows")
    stopped = scene.stopped()
    assert (stopped.run, stopped.step, stopped.at) == (RUN, "rows", START + 60)
    assert stopped.fault.party == "bureau, hub, market"
    assert stopped.fault.remedy
    assert scene.is_finished()
    scene.desk.on_run_ended(RUN)  # as the coordinator tells everybody then
    assert scene.stopped() is stopped


def test_an_error_nobody_foresaw_is_kept_without_its_text(scene: Scene) -> None:
    scene.open("automatic")
    scene.join()
    scene.broken = KeyError("11010519491231002X")
    with pytest.raises(KeyError):
        scene.step("rows")
    fault = scene.stopped().fault
    assert "KeyError" in fault.what
    assert "110105" not in str(fault)
    assert scene.is_finished()


def test_a_run_that_others_ended_does_not_stay_under_way(scene: Scene) -> None:
    scene.open("automatic")
    scene.join()
    scene.desk.on_run_ended(OTHER)
    assert scene.desk.stopped() is None
    scene.desk.on_run_ended(RUN)
    stopped = scene.stopped()
    assert (stopped.fault.party, stopped.step) == ("hub", "join")
    assert "audit log" in stopped.fault.remedy
    assert scene.is_finished()


def test_a_hub_that_forgot_the_run_ends_it(scene: Scene) -> None:
    """A step that waits for what was under way would keep the next run waiting."""
    scene.open("automatic")
    scene.join()
    scene.desk.on_lost("bureau", "it has left")
    assert not scene.is_finished()  # the coordinator ends such a run
    scene.desk.on_lost("hub", "its hub started a new session")
    stopped = scene.stopped()
    assert (stopped.fault.party, stopped.step) == ("hub", "join")
    assert "new session" in stopped.fault.what
    assert scene.is_finished()
    scene.join(OTHER)


def test_a_refused_run_does_not_end_the_one_under_way(scene: Scene) -> None:
    scene.open("automatic")
    scene.join()
    with pytest.raises(RefusedError, match="exact training"):
        scene.join(OTHER, exact=True)
    assert (scene.stopped().run, scene.stopped().step) == (OTHER, "join")
    assert not scene.is_finished()


def test_the_next_run_begins_with_a_clean_page(scene: Scene) -> None:
    scene.open("automatic")
    scene.join()
    scene.desk.on_run_ended(RUN)
    scene.join(OTHER)
    assert scene.desk.stopped() is None


def test_the_operator_sees_all_of_it() -> None:
    fault = Fault("is absent", party="bank", place="loans.csv", remedy="Restore it.")
    assert show_failure(StoppedRun(RUN, "rows", fault, 1.5)) == RunFailure(
        run=RUN,
        step="rows",
        what="is absent",
        party="bank",
        place="loans.csv",
        remedy="Restore it.",
        at_ms=1500,
    )
    assert show_failure(None) is None


def test_a_run_is_decided_about_once_and_only_if_it_waits(scene: Scene) -> None:
    scene.open("manual")
    with pytest.raises(UnknownRunError):
        scene.desk.approvals.decide(RUN, approved=True)
    with pytest.raises(AwaitingApprovalError):
        scene.join()
    (waiting,) = scene.desk.approvals.waiting()
    body = scene.contract(RUN).SerializeToString(deterministic=True)
    assert waiting.digest == hashlib.sha256(body).digest()
    scene.desk.approvals.decide(RUN, approved=True)
    assert scene.desk.approvals.waiting() == []
    with pytest.raises(AlreadyDecidedError, match="was approved before"):
        scene.desk.approvals.decide(RUN, approved=False, reason="Not at this time")
    scene.join()  # the first decision stands
    assert scene.desk.progress() is not None


def test_a_refusal_is_kept_too(scene: Scene) -> None:
    scene.open("manual")
    with pytest.raises(AwaitingApprovalError):
        scene.join()
    assert scene.desk.stopped() is None  # it waits
    scene.desk.approvals.decide(RUN, approved=False, reason="Not at this time")
    with pytest.raises(AlreadyDecidedError, match="was refused before"):
        scene.desk.approvals.decide(RUN, approved=True)
    with pytest.raises(RefusedError, match="Not at this time"):
        scene.join()
    assert scene.stopped().run == RUN


def test_a_run_that_ended_waits_for_nobody(scene: Scene) -> None:
    scene.open("manual")
    with pytest.raises(AwaitingApprovalError):
        scene.join()
    scene.desk.on_run_ended(RUN)
    assert scene.desk.approvals.waiting() == []
    with pytest.raises(UnknownRunError):
        scene.desk.approvals.decide(RUN, approved=True)


def test_only_the_contract_that_was_shown_is_approved(scene: Scene) -> None:
    scene.open("manual")
    with pytest.raises(AwaitingApprovalError):
        scene.join()
    with pytest.raises(RefusedError, match="another contract of this run waits"):
        scene.join(allow_two_party=True)
    (waiting,) = scene.desk.approvals.waiting()
    assert not waiting.contract.allow_two_party
    scene.desk.approvals.decide(RUN, approved=True)
    with pytest.raises(RefusedError, match="not the contract that the operator"):
        scene.join(allow_two_party=True)
    scene.join()


@pytest.mark.parametrize("approve", ["automatic", "manual"])
def test_a_run_is_joined_once(scene: Scene, approve: str) -> None:
    scene.open(approve)
    if approve == "manual":
        with pytest.raises(AwaitingApprovalError):
            scene.join()
        scene.desk.approvals.decide(RUN, approved=True)
    scene.join()
    scene.desk.on_run_ended(RUN)
    with pytest.raises(RefusedError, match="joined the run before"):
        scene.join()


def test_nobody_floods_the_operator_with_runs(scene: Scene) -> None:
    scene.open("manual")
    for number in range(64):
        with pytest.raises(AwaitingApprovalError):
            scene.join(f"{number:032x}")
    with pytest.raises(RefusedError, match="too many runs wait"):
        scene.join(OTHER)
    with pytest.raises(AwaitingApprovalError):
        scene.join(f"{7:032x}")
    assert len(scene.desk.approvals.waiting()) == 64
