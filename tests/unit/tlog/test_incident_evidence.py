"""Evidence of what is never honest is kept whatever is told, and no flood hides it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.tlog.recon_desk import Desk
from tests.unit.tlog.reconciling_node import DAY_S, Node
from tests.unit.tlog.sample_log import Parties
from tests.unit.tlog.witnessed_log import witnessed_log
from veilscore.node.log.incidents import MOST_A_DAY, MOST_KEPT, REPLAY
from veilscore.node.log.recon_state import ReconState
from veilscore.v1.audit_pb2 import Started


@pytest.fixture
def node(tmp_path: Path, parties: Parties) -> Iterator[Node]:
    with witnessed_log(tmp_path, parties) as log:
        desk = Desk(tmp_path, log)
        desk.say(Started(version="1"))
        yield Node(tmp_path, desk)
        desk.database.close()


def test_incidents_do_not_flood_the_log_and_all_evidence_is_kept(node: Node) -> None:
    node.recon.reconcile()
    checkpoints: list[str] = []
    for _ in range(MOST_A_DAY + 4):
        checkpoints.append(node.desk.log.store.checkpoint())
        node.desk.others_say("market", Started(version="1"))
        node.desk.cosign()
    node.recon.reconcile()
    node.away = True
    for node.shown in checkpoints:
        node.now += 1
        node.recon.reconcile()
    assert len(node.told("incident")) == MOST_A_DAY
    assert len([*node.folder.iterdir()]) == MOST_A_DAY + 4
    hashes = {_digest(file) for file in node.folder.iterdir()}
    told = {each.event.incident.evidence for each in node.told("incident")}
    assert told < hashes
    node.recon = node.made()  # a restart gives no new number
    node.recon.reconcile()
    assert len(node.told("incident")) == MOST_A_DAY
    node.now += DAY_S
    node.recon.reconcile()
    assert len(node.told("incident")) == MOST_A_DAY + 1


def test_a_flood_of_old_envelopes_hides_no_conviction(node: Node) -> None:
    """Whoever is about to be convicted of a lie can send as many as it likes."""
    node.recon.reconcile()
    node.copy_says()
    for number in range(MOST_A_DAY + 4):
        node.incidents.replayed(b"envelope %d" % number)
    node.recon.reconcile()
    kinds = [each.event.incident.kind for each in node.told("incident")]
    assert kinds == [REPLAY] * MOST_A_DAY + ["different"]
    assert len([*node.folder.glob("different-*.json")]) == node.recon.incidents == 1


def test_the_newest_evidence_of_each_kind_stays(node: Node) -> None:
    node.recon.reconcile()
    node.copy_says()
    node.recon.reconcile()
    days = MOST_KEPT // MOST_A_DAY + 1
    for day in range(days):
        node.now += DAY_S
        for number in range(MOST_A_DAY):
            assert node.incidents.replayed(b"envelope %d of day %d" % (number, day))
    kept = {file.read_bytes() for file in node.folder.glob("*.envelope")}
    assert len(kept) == MOST_KEPT
    assert b"envelope 0 of day 1" in kept
    assert b"envelope 15 of day 0" not in kept
    assert len([*node.folder.glob("unknown-*.json")]) == 1


def test_a_kill_after_the_evidence_leaves_no_second_file(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.recon.reconcile()
    node.copy_says()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ReconState, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            node.recon.reconcile()
    assert (node.recon.incidents, node.told("incident")) == (1, [])
    node.desk.others_say("market", Started(version="1"))  # the log goes on meanwhile
    node.desk.cosign()
    node.now += 1
    node.recon = node.made()
    node.recon.reconcile()
    (file,) = node.folder.iterdir()
    (incident,) = node.told("incident")
    assert incident.event.incident.evidence == _digest(file)


def _digest(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest()
