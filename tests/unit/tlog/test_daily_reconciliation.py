"""A node compares both logs by itself, says what it found, and keeps what shows it."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.tlog.recon_desk import Desk
from tests.unit.tlog.reconciling_node import DAY_S, Node
from tests.unit.tlog.sample_log import NOW_MS, Parties
from tests.unit.tlog.witnessed_log import witnessed_log
from veilscore.keys.errors import LogStoreError, ProofError, QuorumError
from veilscore.keys.tlog.evidence.contradiction import Evidence
from veilscore.keys.tlog.evidence.event import EventEvidence, is_about_event
from veilscore.keys.tlog.recon.comparison import OPEN_MS
from veilscore.node.log.receipts import SOON_S
from veilscore.node.log.recon_state import ReconState
from veilscore.node.log.reconciliation import AGAIN_S, FIRST_S
from veilscore.runtime.errors import UnreachableError
from veilscore.v1.audit_pb2 import Started


@pytest.fixture
def node(tmp_path: Path, parties: Parties) -> Iterator[Node]:
    with witnessed_log(tmp_path, parties) as log:
        desk = Desk(tmp_path, log)
        desk.say(Started(version="1"))
        yield Node(tmp_path, desk)
        desk.database.close()


def test_what_was_compared_is_told_to_everybody(node: Node) -> None:
    node.desk.log.fill(20, "market")
    node.desk.cosign()
    size, root = node.desk.chain.head()
    head = node.desk.log.policy.open(node.desk.log.store.checkpoint())
    node.recon.reconcile()
    (event,) = node.told("log_reconciled")
    told = event.event.log_reconciled
    assert (told.own_size, told.own_root) == (size, root) == (event.event.seq - 1, root)
    assert (told.first_seq, told.last_seq) == (1, 1)
    assert [(each.type, each.count) for each in told.events] == [("started", 1)]
    assert (told.log_size, told.log_root) == (head.size, head.root)
    assert not told.findings
    (entry,) = node.desk.log.service.events(kind="log_reconciled")
    assert entry.opened.leaf == event.leaf
    state = node.recon.state()
    assert (state.at_ms, state.entries, state.found) == (NOW_MS, 21, 0)
    node.recon.reconcile()
    again = node.told("log_reconciled")[1].event.log_reconciled
    assert (again.first_seq, again.last_seq, again.own_size) == (2, 2, 2)
    assert [(each.type, each.count) for each in again.events] == [("log_reconciled", 1)]
    assert node.desk.recon().is_clean


def test_it_is_due_once_a_day_also_over_a_restart(node: Node) -> None:
    assert not node.recon.is_due()  # what a start brings comes first
    node.now += FIRST_S
    assert node.recon.is_due()
    node.recon.reconcile()
    node.now += DAY_S - 1
    assert not node.recon.is_due()
    node.recon = node.made()
    node.now += 1
    assert not node.recon.is_due()
    node.now += FIRST_S
    assert node.recon.is_due()
    node.recon.reconcile()
    node.recon = node.made()
    node.now += FIRST_S
    assert not node.recon.is_due()
    node.now -= 2 * DAY_S  # a clock that was ahead, and is right now
    node.recon = node.made()
    node.now += FIRST_S
    assert node.recon.is_due()


def test_an_event_that_is_not_ours_is_an_incident_with_what_shows_it(
    node: Node,
) -> None:
    node.recon.reconcile()
    event = node.copy_says()
    node.recon.reconcile()
    (file,) = node.folder.iterdir()
    data = file.read_bytes()
    (incident,) = node.told("incident")
    assert incident.event.incident.kind == "unknown"
    assert incident.event.incident.evidence == hashlib.sha256(data).digest()
    assert file.name.startswith("unknown-3-")
    assert file.stat().st_mode & 0o777 == 0o600
    assert is_about_event(data)
    shown = EventEvidence.load(data)
    assert (shown.opened.leaf, shown.log) == (event.leaf, node.desk.log.store.key)
    bank = node.desk.log.parties.signers["bank"].verify_key
    assert (shown.finder, shown.key, shown.is_signed) == ("bank", bank, True)
    told = node.told("log_reconciled")[-1].event
    assert [(each.type, each.count) for each in told.log_reconciled.findings] == [
        ("unknown", 1)
    ]
    assert told.log_reconciled.own_size == told.seq - 1  # the incident is among them
    state = node.recon.state()
    assert (state.found, state.differences[0].kind) == (1, "unknown")
    assert node.recon.incidents == 1
    file.rename(file.with_suffix(".seen"))
    assert node.recon.incidents == 0


def test_an_incident_stays_in_the_own_log_if_the_log_refuses_it(node: Node) -> None:
    node.recon.reconcile()
    node.copy_says()  # under the number that the incident will have
    node.recon.reconcile()
    (incident,) = node.told("incident")
    assert incident.leaf in node.desk.chain.pending()
    assert not node.desk.log.service.events(kind="incident")


def test_a_log_that_is_shown_cut_off_is_a_fork(node: Node) -> None:
    older = node.desk.log.store.checkpoint()
    node.recon.reconcile()
    node.desk.say(Started(version="2"))
    node.recon.reconcile()
    newer = ReconState.mark(node.desk.database).checkpoint
    node.shown = older
    node.recon.reconcile()
    (file,) = node.folder.glob("fork-*.json")
    found = Evidence.load(file.read_bytes())
    assert (found.finder, found.found_s) == ("bank", NOW_MS // 1000)
    assert [found.contradiction.first, found.contradiction.second] == [newer, older]
    assert ReconState.mark(node.desk.database).checkpoint == newer


def test_a_log_that_is_shown_as_it_was_is_stale(node: Node) -> None:
    older = node.desk.log.store.checkpoint()
    node.recon.reconcile()
    node.desk.say(Started(version="2"))
    newer = node.desk.log.store.checkpoint()
    node.now += OPEN_MS / 1000
    node.shown = ReconState.mark(node.desk.database).checkpoint
    assert node.shown == older
    node.recon.reconcile()
    assert [each.kind for each in node.recon.state().differences] == ["stale"]
    (file,) = node.folder.glob("stale-*.json")
    found = Evidence.load(file.read_bytes())
    first, second = found.contradiction.first, found.contradiction.second
    assert second == older
    assert first != newer  # the first event that the log does not show
    (incident,) = node.told("incident")
    assert incident.event.incident.kind == "stale"


def test_a_receipt_that_comes_meanwhile_makes_nothing_stale(node: Node) -> None:
    node.recon.reconcile()
    node.away = True
    node.desk.chain.extend([Started(version="2")], "", NOW_MS)
    (waiting,) = node.desk.chain.pending()
    node.now += OPEN_MS / 1000
    node.afterwards = lambda: node.desk.prove(waiting)
    node.away = False
    report = node.recon.reconcile()
    assert report.is_clean
    assert not node.folder.exists()


def test_a_tile_that_the_log_keeps_back_is_no_fork(node: Node) -> None:
    """It is a fault: nothing was compared, and nobody is accused."""
    node.recon.reconcile()
    mark = ReconState.mark(node.desk.database)
    node.desk.say(Started(version="2"))
    node.refused = {"tile/0/000.p/3"}
    with pytest.raises(ProofError, match="no such file"):
        node.recon.reconcile()
    assert len(node.told("log_reconciled")) == 1
    assert not node.told("incident")
    assert ReconState.mark(node.desk.database) == mark


def test_a_log_that_is_kept_back_does_not_stay_unnoticed(node: Node) -> None:
    node.refused = {"checkpoint"}
    for _ in range(2):
        node.now += DAY_S
        assert not node.recon.is_overdue()
    node.now += 1
    assert node.recon.is_overdue()
    node.recon = node.made()  # a new process has a try
    assert not node.recon.is_overdue()
    node.now += FIRST_S + AGAIN_S
    assert node.recon.is_overdue()
    node.refused = set()
    node.recon.reconcile()
    assert not node.recon.is_overdue()
    node.now += 2 * DAY_S + 1
    assert node.recon.is_overdue()


def test_an_event_that_nobody_waits_for_is_no_fault_at_once(node: Node) -> None:
    """Whoever sends an old envelope again does not make a node not ready."""
    node.incidents.replayed(b"envelope")
    assert not node.receipts.waits()
    node.now += SOON_S
    assert node.receipts.waits()
    node.receipts.catch_up()
    assert not node.receipts.waits()


def test_what_cannot_be_compared_is_put_off_and_said(node: Node) -> None:
    node.now += FIRST_S
    node.away = True
    with pytest.raises(UnreachableError):
        node.recon.reconcile()
    assert node.recon.state() == ReconState()
    assert not node.told("log_reconciled")
    node.away = False
    node.desk.log.store.append(node.desk.log.parties.events("market", 1))
    node.shown = node.desk.log.store.signed()
    with pytest.raises(QuorumError):
        node.recon.reconcile()


def test_it_runs_by_itself_and_goes_on_after_a_fault(
    tmp_path: Path, parties: Parties
) -> None:
    with witnessed_log(tmp_path, parties) as log:
        desk = Desk(tmp_path, log)
        desk.say(Started(version="1"))
        node = Node(tmp_path, desk, every_s=5)
        node.away = True
        node.recon.start()
        node.now += 5
        _until(lambda: node.recon.fault)
        assert "does not answer" in node.recon.fault
        node.away = False
        node.now += min(AGAIN_S, 5)
        _until(lambda: not node.recon.fault)
        assert node.recon.state().at_ms
        node.recon.close()
        assert "recon" not in {thread.name for thread in threading.enumerate()}
        desk.database.close()


def test_what_is_kept_of_the_last_one_must_be_whole(node: Node) -> None:
    node.recon.reconcile()
    for text in ("{}", "7", "", '{"entries":1,"found":0,"differences":[{}]}'):
        node.desk.database.run("UPDATE recon SET found = ?", text)
        with pytest.raises(LogStoreError, match="damaged"):
            node.recon.state()


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.05)
