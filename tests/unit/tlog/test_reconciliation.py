"""Reconciliation: a party and the log say the same, or every difference is found."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.tlog.evidence_story import HOLDERS, MODEL, QUERY
from tests.unit.tlog.published_log import MemoryExport
from tests.unit.tlog.recon_desk import Desk, held, read_chain, recon_desk
from tests.unit.tlog.sample_log import NOW_MS, Parties
from tests.unit.tlog.witnessed_log import witnessed_log
from veilscore.keys.errors import LogStoreError, ProofError
from veilscore.keys.tlog.chain import OwnEvent
from veilscore.keys.tlog.events import read_event
from veilscore.keys.tlog.recon.comparison import ReconReport
from veilscore.keys.tlog.recon.finding import Finding, Kind
from veilscore.keys.tlog.recon.own_events import reconcile_export
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.v1.audit_pb2 import (
    ScoreAnswered,
    ScoreDecided,
    ScoreRequested,
    Started,
)


@pytest.fixture
def desk(tmp_path: Path, parties: Parties) -> Iterator[Desk]:
    with recon_desk(tmp_path, parties) as made:
        yield made


ASKED = ScoreRequested(
    terms=bytes(32), model=MODEL, purpose="pre_loan", holders=HOLDERS
)
ALLOWED = ScoreDecided(allowed=True, model=MODEL)
REFUSED = ScoreDecided(allowed=False, code="quota")
ANSWER = ScoreAnswered(commitment=bytes(32), ciphertexts=1, paillier_bits=3072)


def kinds(report: ReconReport) -> list[tuple[Kind, int]]:
    return [(each.kind, each.event) for each in report.findings]


def test_two_sides_that_agree_are_clean(desk: Desk) -> None:
    desk.say(ASKED, QUERY)
    for holder in HOLDERS:
        desk.others_say(holder, ALLOWED, QUERY)
        desk.others_say(holder, ANSWER, QUERY)
    desk.others_say("market", ScoreRequested(holders=["bureau"]), "ee" * 32)
    report = desk.recon()
    assert report.is_clean
    assert (report.party, report.own, report.entries) == ("bank", 2, 7)


def test_what_is_open_is_listed(desk: Desk) -> None:
    desk.say(ASKED, QUERY)
    desk.others_say("bureau", ALLOWED, QUERY)
    desk.others_say("bureau", ANSWER, QUERY)
    desk.others_say("bureau", REFUSED, QUERY)  # too late: it did not leave
    assert desk.recon().findings == (
        Finding(Kind.UNANSWERED, 2, "market did not decide", QUERY),
    )
    desk.others_say("market", ALLOWED, QUERY)
    assert kinds(desk.recon()) == [(Kind.UNFINISHED, 0)]
    desk.others_say("market", REFUSED, QUERY)
    assert desk.recon().is_clean


def test_what_nobody_asked_for_is_found(desk: Desk) -> None:
    desk.say(ASKED, QUERY)
    for holder in (*HOLDERS, "hub"):
        desk.others_say(holder, ANSWER, QUERY)
    found = desk.recon().findings
    assert {each.what for each in found} == {
        "hub was not asked",
        *(f"{each} answered undecided" for each in (*HOLDERS, "hub")),
    }
    desk.say(ALLOWED, "dd" * 32)  # the bank decides on a request that nobody logged
    assert (Kind.UNASKED, 3) in kinds(desk.recon())


def test_an_event_without_a_receipt_waits(desk: Desk) -> None:
    desk.chain.extend([Started(version="2")], "", NOW_MS)
    assert kinds(desk.recon()) == [(Kind.WAITING, 2)]


def test_events_that_are_proven_before_older_ones_are_in_order(desk: Desk) -> None:
    """As while the receipts of a time of grace are caught up with."""
    (waiting,) = desk.chain.extend([Started(version="2")], "", NOW_MS)
    desk.log.service.append([waiting])
    desk.say(Started(version="3"))
    assert kinds(desk.recon()) == [(Kind.WAITING, 2)]


def test_an_event_that_the_log_has_lost_is_found(desk: Desk) -> None:
    own = read_chain(desk.path)
    desk.say(Started(version="2"))
    lost = read_chain(desk.path)
    # The log of before: what the bank has a receipt for is not in it, or not there.
    older = MemoryExport(desk.log.files())
    assert reconcile_export(held(lost), older, desk.log.policy).is_clean
    proof = lost[1].proof
    assert proof is not None
    moved = [own[0], replace(lost[1], proof=replace(proof, index=0))]
    assert (Kind.MISSING, 2) in kinds(desk.recon(moved))


def test_an_event_of_ours_that_we_do_not_have_is_found(desk: Desk) -> None:
    own = read_chain(desk.path)
    desk.say(Started(version="2"))
    assert kinds(desk.recon(own)) == [(Kind.UNKNOWN, 2)]


def test_another_event_of_a_number_is_found(desk: Desk) -> None:
    desk.say(Started(version="2"))
    own = read_chain(desk.path)
    head = read_event(own[0].leaf).head
    other = desk.log.parties.event("bank", head, Started(version="other"))
    changed = [own[0], replace(own[1], leaf=other.leaf)]
    assert kinds(desk.recon(changed)) == [(Kind.DIFFERENT, 2)]
    assert kinds(desk.recon(own[1:]))[0] == (Kind.CHAIN, 2)


@pytest.mark.parametrize("count", [1, 2])
def test_a_receipt_of_another_log_is_a_fork(
    desk: Desk, parties: Parties, tmp_path: Path, count: int
) -> None:
    """The log showed the bank one history, and shows its auditors another."""
    own = read_chain(desk.path)
    (tmp_path / "fork").mkdir()
    with witnessed_log(tmp_path / "fork", parties) as fork:
        fork.fill(count, "market")
        fork.cosign(0)
        report = reconcile_export(
            held(own), MemoryExport(fork.files()), desk.log.policy
        )
    assert (Kind.FORK, 1) in kinds(report)
    assert (Kind.MISSING, 1) in kinds(report)


def test_a_receipt_that_the_policy_does_not_believe_is_found(desk: Desk) -> None:
    (first,) = read_chain(desk.path)
    stranger = OwnEvent(first.leaf, TlogProof(0, (), "stranger.example\n1\n\n\n\n"))
    assert (Kind.FORK, 1) in kinds(desk.recon([stranger]))


def test_a_party_without_events_or_file_is_named(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(ProofError, match="no events yet"):
        desk.recon([])
    with pytest.raises(LogStoreError, match="no events of a party"):
        read_chain(tmp_path / "none.db")


def test_the_file_is_only_read(desk: Desk) -> None:
    desk.chain.extend([Started(version="2")], "", NOW_MS)
    before = _rows(desk.path)
    assert len(read_chain(desk.path)) == 2
    assert _rows(desk.path) == before


def _rows(path: Path) -> list[object]:
    connection = sqlite3.connect(path)
    rows: list[object] = []
    for table in ("entry", "awaited", "receipt", "checkpoint"):
        rows += connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - names above
    connection.close()
    return rows
