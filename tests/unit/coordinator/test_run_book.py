"""The book of runs and what it leaves in the log."""

import hashlib
import itertools

import pytest

from tests.unit.coordinator.staged_run import contract
from tests.unit.tlog.sample_log import NOW_MS, Parties, SampleLog
from veilscore.coordinator.errors import RunError
from veilscore.coordinator.runs import NO_MODEL, RESTARTED, RunBook
from veilscore.coordinator.web.face import Decision, RunKind, RunParty, RunPhase
from veilscore.keys.errors import LogStoreError
from veilscore.v1.audit_pb2 import (
    Event,
    ModelRegistered,
    RunClosed,
    RunDecided,
    RunOpened,
)
from veilscore.v1.training_pb2 import RunContract

RUNS = ["0a" * 16, "0b" * 16, "0c" * 16]


def agreed(parties: Parties, run: str = RUNS[0]) -> RunContract:
    found = contract(parties)
    found.run = run
    return found


def book_of(log: SampleLog) -> RunBook:
    ticks = itertools.count(NOW_MS + log.service.size)
    return RunBook(log.service, lambda: next(ticks))


def events(log: SampleLog, run: str = RUNS[0]) -> list[Event]:
    found = log.service.events(correlation=run, limit=100)
    return [entry.opened.event for entry in reversed(found)]


def test_a_run_from_its_proposal_to_its_model(log: SampleLog, parties: Parties) -> None:
    book = book_of(log)
    proposed = agreed(parties)
    book.open(proposed)
    view = book.view(RUNS[0])
    body = proposed.SerializeToString(deterministic=True)
    digest = hashlib.sha256(body).digest()
    assert (view.phase, view.step, view.label_holder) == ("proposed", "", "bank")
    assert view.contract == digest.hex()
    assert {each.decision for each in view.parties} == {Decision.WAITING}

    book.step(RUNS[0], "join")
    assert book.view(RUNS[0]).phase == RunPhase.PROPOSED
    book.decide(RUNS[0], "bureau", Decision.APPROVED)
    assert RunParty("bureau", Decision.APPROVED) in book.view(RUNS[0]).parties
    book.step(RUNS[0], "rows")
    assert (book.view(RUNS[0]).phase, book.view(RUNS[0]).step) == ("running", "rows")

    book.complete(RUNS[0], b"manifest")
    view = book.view(RUNS[0])
    assert (view.phase, view.step, view.reason) == ("completed", "", "")
    assert view.model == hashlib.sha256(b"manifest").hexdigest()
    opened, closed = events(log)
    assert opened.run_opened == RunOpened(contract=digest, contract_body=body)
    assert closed.run_closed == RunClosed(completed=True)
    assert (view.proposed_ms, view.ended_ms) == (opened.time_ms, closed.time_ms)


def test_the_log_gets_the_fixed_sentence_only(log: SampleLog, parties: Parties) -> None:
    book = book_of(log)
    book.open(agreed(parties))
    book.step(RUNS[0], "counts")
    what = "step counts: something of the node"
    book.stop(RUNS[0], party="market", what=what, logged="data in step counts")
    view = book.view(RUNS[0])
    assert (view.phase, view.step) == ("stopped", "counts")
    assert (view.stopped_by, view.reason) == ("market", what)
    closed = events(log)[-1].run_closed
    assert closed == RunClosed(party="market", reason="data in step counts")


def test_after_a_restart_the_book_says_what_the_log_says(
    log: SampleLog, parties: Parties
) -> None:
    book = book_of(log)
    first, second, third = (agreed(parties, run) for run in RUNS)
    for each in (first, second, third):
        book.open(each)
    head = log.store.head("bank")
    for detail in (
        RunDecided(approved=True),
        ModelRegistered(model=hashlib.sha256(b"manifest").digest()),
    ):
        signed = parties.event("bank", head, detail, correlation=RUNS[0])
        log.service.append([signed.leaf])
        head = signed.head
    refused = RunDecided(approved=False, reason="not approved")
    signed = parties.event(
        "market", log.store.head("market"), refused, correlation=RUNS[1]
    )
    log.service.append([signed.leaf])
    book.complete(RUNS[0], b"manifest")
    book.stop(RUNS[1], party="market", what="refused", logged="refused")
    before = {view.run: view for view in book.views()}

    log.reopen()
    book = book_of(log)
    book.restore()
    assert [view.run for view in book.views()] == RUNS[::-1]
    found = {view.run: view for view in book.views()}
    for run in RUNS[:2]:  # the book never heard of decisions, the log did
        assert found[run].model == before[run].model
        assert found[run].ended_ms == before[run].ended_ms
        assert found[run].stopped_by == before[run].stopped_by
        assert found[run].phase == before[run].phase
    assert RunParty("bank", Decision.APPROVED) in found[RUNS[0]].parties
    assert RunParty("market", Decision.REFUSED) in found[RUNS[1]].parties
    assert (found[RUNS[2]].phase, found[RUNS[2]].reason) == ("stopped", RESTARTED)
    assert events(log, RUNS[2])[-1].run_closed == RunClosed(reason=RESTARTED)

    size = log.service.size
    again = book_of(log)
    again.restore()
    assert log.service.size == size  # closed once
    assert again.views() == book.views()


def test_a_party_cannot_close_or_open_runs_in_the_book(
    log: SampleLog, parties: Parties
) -> None:
    book_of(log).open(agreed(parties))
    forged = RunClosed(completed=True)
    signed = parties.event(
        "market", log.store.head("market"), forged, correlation=RUNS[0]
    )
    log.service.append([signed.leaf])
    book = book_of(log)
    book.restore()
    assert book.view(RUNS[0]).reason == RESTARTED


def test_a_run_that_cannot_be_logged_is_not_opened_but_ends(
    log: SampleLog, parties: Parties
) -> None:
    book = book_of(log)
    book.open(agreed(parties, RUNS[0]))
    log.store.close()
    with pytest.raises(LogStoreError):
        book.open(agreed(parties, RUNS[1]))
    assert [view.run for view in book.views()] == RUNS[:1]
    with pytest.raises(LogStoreError):
        book.stop(RUNS[0], party="", what="a full disk", logged="log-store")
    assert book.view(RUNS[0]).ended_ms is not None  # nobody waits for it
    log.reopen()
    book = book_of(log)
    book.restore()
    assert book.view(RUNS[0]).reason == RESTARTED


def test_an_unknown_run_is_an_error_with_a_remedy(log: SampleLog) -> None:
    with pytest.raises(RunError, match="no such run") as caught:
        book_of(log).view("0d" * 200)
    assert caught.value.remedy
    assert len(caught.value.place) <= 64


def test_a_horizontal_run_is_read_back_with_its_model_and_who_left(
    log: SampleLog, parties: Parties
) -> None:
    book = book_of(log)
    shared = agreed(parties)
    shared.label_holder = ""
    shared.horizontal.rounds = 3
    book.open(shared)
    view = book.view(RUNS[0])
    assert (view.kind, view.label_holder) == (RunKind.HORIZONTAL, "")
    book.step(RUNS[0], "round-1")
    book.leave(RUNS[0], "bureau", "was lost during the run")
    left = {each.party: each.left for each in book.view(RUNS[0]).parties}
    assert left == {"bank": "", "bureau": "was lost during the run", "market": ""}

    model = hashlib.sha256(b"manifest").digest()
    for name in ("bank", "market"):
        head = log.store.head(name)
        detail = ModelRegistered(model=model)
        signed = parties.event(name, head, detail, correlation=RUNS[0])
        log.service.append([signed.leaf])
    book.complete(RUNS[0], b"manifest")
    log.reopen()
    book = book_of(log)
    book.restore()
    view = book.view(RUNS[0])
    assert (view.phase, view.kind, view.model) == (
        RunPhase.COMPLETED,
        RunKind.HORIZONTAL,
        model.hex(),
    )
    left = {each.party: each.left for each in view.parties}
    assert left == {"bank": "", "bureau": NO_MODEL, "market": ""}
