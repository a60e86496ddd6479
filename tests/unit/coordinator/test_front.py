"""What the operator's interface is told, without a hub or Flower."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.coordinator.staged_run import Stage
from tests.unit.tlog.sample_log import NOW_MS, Parties, SampleLog
from veilscore.coordinator.desk import Flower, TrainingDesk
from veilscore.coordinator.errors import ContractError, RunError
from veilscore.coordinator.front import Front
from veilscore.coordinator.members import Members
from veilscore.coordinator.runs import RunBook
from veilscore.runtime.flower.control import RunStatus

CONTRACT = 'label_holder = "bank"\nfeature_holders = ["bureau", "market"]\n'

Make = Callable[..., Front]


@pytest.fixture
def make(tmp_path: Path, log: SampleLog, stage: Stage, parties: Parties) -> Make:
    registry = tmp_path / "registry.json"
    registry.write_bytes(parties.registry_file)
    book = RunBook(log.service, lambda: NOW_MS)
    desk = TrainingDesk(  # not started: what is proposed waits
        book,
        Flower(lambda _: 1, lambda _: RunStatus("", "", "")),
        lambda: stage.around,
        lambda _run, _party: None,
    )

    def front(*reasons: str) -> Front:
        return Front(
            Members(registry, parties.signers["hub"].verify_key),
            book,
            desk,
            reasons=lambda: reasons,
            warnings=lambda: ["a witness does not cosign: auditor"],
            version="1.2",
        )

    return front


def test_a_proposal_is_queued_logged_and_leaves_no_file(
    make: Make, log: SampleLog, tmp_path: Path
) -> None:
    front = make()
    before = set(tmp_path.iterdir())
    first, second = front.propose(CONTRACT), front.propose(CONTRACT)
    assert len(first) == 32
    assert first != second
    assert [view.run for view in front.runs()] == [second, first]
    assert front.run(first).label_holder == "bank"
    assert len(log.service.events(kind="run_opened")) == 2
    assert set(tmp_path.iterdir()) == before
    front.stop(first)
    assert front.run(first).phase == "stopped"
    with pytest.raises(RunError, match="no such run"):
        front.stop("0e" * 16)


def test_a_bad_contract_names_keys_but_no_file(make: Make, log: SampleLog) -> None:
    with pytest.raises(ContractError, match="`ridge`") as caught:
        make().propose(CONTRACT + "ridge = 0\n")
    assert caught.value.place == ""
    assert log.service.size == 0


def test_nothing_is_proposed_while_no_run_can_start(make: Make, log: SampleLog) -> None:
    front = make("the SuperLink is not up")
    assert front.status().reasons == ("the SuperLink is not up",)
    assert front.status().warnings == ("a witness does not cosign: auditor",)
    with pytest.raises(RunError, match="SuperLink is not up") as caught:
        front.propose(CONTRACT)
    assert caught.value.remedy
    assert log.service.size == 0


def test_nodes_are_shown_as_they_come_and_go(make: Make, parties: Parties) -> None:
    front = make()
    front.note("bank", attached=True)
    front.note("market", attached=True)
    front.note("market", attached=False)
    status = front.status()
    assert (status.party, status.version) == ("hub", "1.2")
    nodes = {node.party: node for node in status.nodes}
    assert {name: node.attached for name, node in nodes.items()} == {
        "bank": True,
        "bureau": False,
        "market": False,
    }
    assert nodes["bureau"].since_ms is None
    assert (nodes["market"].since_ms or 0) > NOW_MS
    assert front.registry_file() == parties.registry_file
