"""A reconciliation goes on from the one before: reads what is new, forgets nothing."""

import random
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.tlog.evidence_story import HOLDERS, MODEL, QUERY
from tests.unit.tlog.published_log import MemoryExport
from tests.unit.tlog.recon_desk import Days, Desk, recon_desk
from tests.unit.tlog.sample_log import NOW_MS, Parties
from tests.unit.tlog.witnessed_log import witnessed_log
from veilscore.keys.errors import LogStoreError, ProofError
from veilscore.keys.tlog.events import read_event
from veilscore.keys.tlog.evidence.contradiction import Contradiction
from veilscore.keys.tlog.recon.comparison import OPEN_MS
from veilscore.keys.tlog.recon.finding import Finding, Kind
from veilscore.keys.tlog.recon.mark import Mark
from veilscore.v1.audit_pb2 import (
    LogReconciled,
    ScoreAnswered,
    ScoreDecided,
    ScoreRequested,
    Started,
)

ASKED = ScoreRequested(model=MODEL, purpose="pre_loan", holders=HOLDERS)
ALLOWED = ScoreDecided(allowed=True, model=MODEL)
ANSWER = ScoreAnswered(commitment=bytes(32), ciphertexts=1, paillier_bits=3072)
LATER_MS = NOW_MS + OPEN_MS


@pytest.fixture
def days(tmp_path: Path, parties: Parties) -> Iterator[Days]:
    with recon_desk(tmp_path, parties) as desk:
        yield Days(desk)


def test_only_what_is_new_is_read(days: Days) -> None:
    days.desk.log.fill(600, "market")
    report = days.recon()
    assert (report.own, report.entries, report.kinds) == (1, 601, {"started": 1})
    assert days.bundles == {
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/89",
    }
    days.desk.say(Started(version="2"))
    report = days.recon()
    assert (report.own, report.entries, report.is_clean) == (1, 602, True)
    assert days.bundles == {"tile/entries/002.p/90"}
    assert days.recon().own == 0
    assert days.bundles == {"tile/entries/002.p/90"}


def test_the_first_begins_with_the_own_first_event(
    tmp_path: Path, parties: Parties
) -> None:
    with witnessed_log(tmp_path, parties) as log:
        log.fill(600, "market")
        days = Days(Desk(tmp_path, log))
        days.desk.say(Started(version="1"))
        assert days.recon().is_clean
        assert days.bundles == {"tile/entries/002.p/89"}
        days.desk.database.close()


def test_a_first_event_without_a_receipt_is_sought_from_the_beginning(
    tmp_path: Path, parties: Parties
) -> None:
    """As while its receipt is caught up with: a later one may have come before it."""
    with witnessed_log(tmp_path, parties) as log:
        log.fill(300, "market")
        days = Days(Desk(tmp_path, log))
        (first,) = days.desk.chain.extend([Started(version="1")], "", NOW_MS)
        log.service.append([first])
        days.desk.say(Started(version="2"))
        assert days.recon().is_clean
        days.desk.prove(first)
        assert days.recon().is_clean
        assert days.mark.unsettled == ()
        days.desk.database.close()


def test_a_late_receipt_is_compared_with_what_was_read(
    days: Days, parties: Parties, tmp_path: Path
) -> None:
    """Of a log that ends with a full bundle: there is nothing more to read."""
    (late,) = days.desk.chain.extend([Started(version="2")], "", NOW_MS)
    days.desk.log.service.append([late])
    days.desk.log.fill(254, "market")
    days.recon()
    assert (days.mark.size, days.mark.unsettled) == (256, (2,))
    (tmp_path / "fork").mkdir()
    with witnessed_log(tmp_path / "fork", parties) as fork:
        fork.fill(255, "market")
        events = [read_event(each.leaf) for each in days.desk.chain.after(0)]
        fork.store.append(events[:1])
        (proof,) = fork.service.append([events[0].leaf])
    days.desk.chain.confirm([(late, proof)])
    assert days.kinds() == [(Kind.FORK, 2)]


def test_what_is_young_is_no_finding_yet_and_is_told_once(days: Days) -> None:
    days.desk.say(ASKED, QUERY)
    days.desk.others_say("bureau", ALLOWED, QUERY)
    (waiting,) = days.desk.chain.extend([Started(version="2")], "", NOW_MS)
    assert days.recon(LATER_MS - 1).is_clean
    assert days.kinds(LATER_MS) == [
        (Kind.WAITING, 3),
        (Kind.UNANSWERED, 2),
        (Kind.UNFINISHED, 0),
    ]
    days.desk.prove(waiting)
    assert days.recon(LATER_MS).is_clean
    assert days.mark.unsettled == ()
    assert days.mark.requests == ()


def test_an_answer_in_time_closes_what_was_open(days: Days) -> None:
    days.desk.say(ASKED, QUERY)
    assert days.recon().is_clean
    for holder in HOLDERS:
        days.desk.others_say(holder, ALLOWED, QUERY)
        days.desk.others_say(holder, ANSWER, QUERY)
    assert days.recon(LATER_MS).is_clean
    assert days.mark.requests == ()


def test_a_decision_may_stand_before_its_request(days: Days) -> None:
    """A request is logged while its holders answer."""
    for holder in HOLDERS:
        days.desk.others_say(holder, ALLOWED, QUERY)
        days.desk.others_say(holder, ANSWER, QUERY)
    assert days.recon().is_clean
    days.desk.say(ASKED, QUERY)
    assert days.recon(LATER_MS).is_clean


def test_what_comes_late_is_no_finding(days: Days) -> None:
    """The bank is asked, decides only when that was told, and refuses once more."""
    asked = ScoreRequested(model=MODEL, holders=["bank"])
    days.desk.others_say("market", asked, QUERY)
    assert days.kinds(LATER_MS) == [(Kind.UNANSWERED, 0)]
    days.desk.say(ScoreDecided(code="expired"), QUERY)
    assert days.recon(LATER_MS).is_clean
    assert days.recon(LATER_MS).is_clean
    days.desk.say(ScoreDecided(code="expired"), QUERY)
    assert days.recon(LATER_MS).is_clean
    days.desk.say(ALLOWED, "dd" * 32)  # on a request that nobody logged
    assert days.recon(NOW_MS).is_clean
    assert days.kinds(LATER_MS) == [(Kind.UNFINISHED, 4), (Kind.UNASKED, 4)][::-1]


def test_requests_of_others_are_forgotten(days: Days) -> None:
    asked = ScoreRequested(model=MODEL, holders=["bureau"])
    days.desk.others_say("market", asked, QUERY)
    assert days.recon().is_clean
    days.desk.others_say("bureau", ALLOWED, QUERY)
    assert days.recon(LATER_MS).is_clean
    assert days.mark.requests == ()


def test_a_log_that_does_not_go_on_is_a_fork(
    days: Days, parties: Parties, tmp_path: Path
) -> None:
    days.desk.say(Started(version="2"))
    days.recon()
    mark = days.mark
    (tmp_path / "fork").mkdir()
    with witnessed_log(tmp_path / "fork", parties) as fork:
        fork.fill(9, "market")
        fork.cosign(0)
        report = days.recon(files=MemoryExport(fork.files()))
    (finding,) = report.findings
    assert finding.kind is Kind.FORK
    assert "does not continue" in finding.what
    assert report.mark == days.mark == mark  # the log of before is the one that counts
    assert [each.older for each in report.exhibits] == [mark.checkpoint]


def test_a_log_that_shrank_is_a_fork(days: Days) -> None:
    older = days.desk.export()
    days.desk.say(Started(version="2"))
    days.recon()
    report = days.recon(files=older)
    assert [each.what for each in report.findings] == [
        "the log: it shrank from 2 to 1 entries: keep it as evidence"
    ]
    log = days.desk.log.store.key
    shown = Contradiction(log, report.exhibits[0].older, older["checkpoint"].decode())
    assert [each.size for each in shown.checkpoints()] == [1, 2]


def test_entries_that_lead_elsewhere_find_nothing(days: Days) -> None:
    """What the log shows is not what it signed: that convicts nobody of anything."""
    days.recon()
    days.desk.say(Started(version="2"))
    days.desk.others_say("market", Started(version="1"))
    files = days.desk.export()
    bundle = files["tile/entries/000.p/3"]
    files["tile/entries/000.p/3"] = bundle.replace(b"market", b"marked")
    with pytest.raises(ProofError, match="does not show the entries"):
        days.recon(files=files)
    assert days.mark.size == 1


def test_an_event_that_a_copy_of_the_node_made_is_shown(
    days: Days, parties: Parties
) -> None:
    days.recon()
    (first,) = days.desk.chain.after(0)
    head = days.desk.log.store.head("bank")
    stranger = parties.event("bank", head, Started(version="copy"))
    days.desk.log.service.append([stranger.leaf])
    report = days.recon()
    assert [(each.kind, each.event) for each in report.findings] == [(Kind.UNKNOWN, 2)]
    (exhibit,) = report.exhibits
    assert exhibit.leaf == stranger.leaf != first.leaf
    assert exhibit.proof is not None
    exhibit.proof.verify(exhibit.leaf, days.desk.log.store.key)
    assert days.recon().is_clean  # told once


def test_a_log_that_left_an_event_out_has_a_gap(days: Days, parties: Parties) -> None:
    """A log that checks nothing: it takes an event without the one before."""
    days.recon()
    leaves = days.desk.chain.extend([Started(version=v) for v in "23"], "", NOW_MS)
    market = parties.events("market", 1)
    store = days.desk.log.store
    taken = [market[0], *(read_event(leaf) for leaf in leaves[1:])]
    left_out = read_event(leaves[0]).head.digest
    connection = sqlite3.connect(days.desk.log.path)
    connection.execute("UPDATE actor SET seq = 2, digest = ?", (left_out,))
    connection.commit()
    connection.close()
    store.append(taken)
    report = days.recon(LATER_MS)
    assert [(each.kind, each.event) for each in report.findings] == [
        (Kind.WAITING, 2),
        (Kind.WAITING, 3),
        (Kind.GAP, 3),
    ]


def test_an_own_log_that_is_not_what_was_said_of_it_is_found(days: Days) -> None:
    size, root = days.desk.chain.head()
    days.desk.say(LogReconciled(own_size=size, own_root=root))
    days.desk.say(LogReconciled(own_size=size, own_root=root))  # another size by now
    days.desk.say(LogReconciled(own_size=3, own_root=bytes(32)))
    days.desk.say(LogReconciled(own_size=4000, own_root=root))
    found = [(Kind.REWRITTEN, seq) for seq in (3, 4, 5)]
    assert days.kinds() == found
    assert [(each.kind, each.event) for each in days.desk.recon().findings] == found


@pytest.mark.parametrize("seed", range(5))
def test_in_parts_or_at_once_the_same_is_found(days: Days, seed: int) -> None:
    """Of requests in any order, cut anywhere; all is young until the end."""
    draw = random.Random(seed)
    said: list[tuple[str, ScoreRequested | ScoreDecided | ScoreAnswered, str]] = []
    for number in range(12):
        request = f"{number:064x}"
        asker = draw.choice(["bank", "market"])
        holders = draw.sample(["bank", "bureau", "market"], draw.randint(1, 2))
        said.append((asker, ScoreRequested(holders=holders), request))
        for actor in ("bank", "bureau", "market"):
            if draw.random() < 0.5:
                said.append((actor, ALLOWED, request))
            if draw.random() < 0.5:
                said.append((actor, ANSWER, request))
    draw.shuffle(said)
    found: set[Finding] = set()
    for actor, detail, request in said:
        if actor == "bank":
            days.desk.say(detail, request)
        else:
            days.desk.others_say(actor, detail, request)
        if draw.random() < 0.2:
            assert days.recon().is_clean
    found = {*days.recon(LATER_MS).findings}
    assert {(f.kind, f.what, f.correlation) for f in found} == {
        (f.kind, f.what, f.correlation) for f in days.desk.recon().findings
    }
    assert found


def test_a_mark_is_read_as_it_was_written(days: Days) -> None:
    days.desk.say(ASKED, QUERY)
    days.desk.others_say("bureau", ALLOWED, QUERY)
    days.desk.chain.extend([Started(version="2")], "", NOW_MS)
    days.recon()
    mark = days.mark
    assert mark.unsettled == (3,)
    assert len(mark.requests) == 1
    assert Mark.read(mark.text) == mark
    for text in ("", "{}", "[]", mark.text[:-1], replace(mark, size=-1).text[:40]):
        with pytest.raises(LogStoreError, match="damaged"):
            Mark.read(text)
    with pytest.raises(LogStoreError, match="format 1"):
        Mark.read(mark.text.replace('"format":1', '"format":2'))
