"""The pages for auditors: finding events, and verifying one."""

import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.tlog.sample_log import Parties, SampleLog
from tests.unit.web.sample_coordinator import (
    QUERY,
    SampleCoordinator,
    sample_coordinator_app,
)
from tests.unit.web.sample_node import RUN
from tests.unit.web.serving import client_of
from veilscore.coordinator.web.decoding import ShownField, spread_detail
from veilscore.coordinator.web.verifying import climb, verify_entry
from veilscore.keys.errors import LogStoreError, ProofError
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.events import OpenedEvent, read_event
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.v1.audit_pb2 import Event, RunOpened, ScoreDecided, Started


def indices(page: str) -> list[int]:
    return [int(index) for index in re.findall(r'href="/events/(\d+)"', page)]


def test_pages_of_the_log_follow_each_other_without_a_gap(
    own_log: SampleLog, own_client: httpx.Client
) -> None:
    own_log.fill(60, "bank", "bureau")
    seen: list[int] = []
    address = "/?lang=en"
    while True:
        page = own_client.get(address).text
        seen += indices(page)
        older = re.search(r'href="(/\?[^"]*before=\d+[^"]*)">Older', page)
        if not older:
            break
        address = older[1].replace("&amp;", "&")
    assert seen == list(reversed(range(own_log.store.size)))


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("actor=market", 12),
        ("kind=step_done", 16),
        ("kind=step_done&actor=bank", 6),
        (f"correlation={RUN}", 23),
        (f"correlation={QUERY}&kind=score_answered", 2),
        ("actor=nobody", 0),
    ],
)
def test_filters_and_exports_give_the_same_events(
    coordinator_client: httpx.Client, query: str, count: int
) -> None:
    shown = indices(coordinator_client.get(f"/?{query}").text)
    table = coordinator_client.get(f"/events.csv?{query}")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    exported = coordinator_client.get(f"/events.json?{query}").json()
    assert len(shown) == count
    assert [int(row["index"]) for row in rows] == shown
    assert [{**row, "index": str(row["index"])} for row in exported] == [
        {**row, "seq": int(row["seq"])} for row in rows
    ]


def test_an_export_is_longer_than_a_page(
    own_log: SampleLog, own_client: httpx.Client
) -> None:
    own_log.fill(560, "bank")
    exported = own_client.get("/events.json").json()
    assert [row["index"] for row in exported] == list(
        reversed(range(own_log.store.size))
    )
    assert exported[-1]["time"] == "2026-09-21T14:13:20.000+00:00"


def test_a_text_of_a_party_is_no_formula_and_no_markup(
    own_log: SampleLog, own_client: httpx.Client
) -> None:
    attack = '=cmd|"/c calc"!A1<script>'
    event = own_log.parties.event(
        "bank", own_log.store.head("bank"), Started(version=attack), correlation=attack
    )
    own_log.service.append([event.leaf])
    table = own_client.get("/events.csv").text
    assert next(csv.DictReader(io.StringIO(table)))["correlation"] == f"'{attack}"
    last = own_log.store.size - 1
    for address in ("/", f"/events/{last}", f"/?correlation={quote(attack)}"):
        page = own_client.get(address).text
        assert "<script>" not in page.replace('<script src="/static/live.js"', "")
        assert last in indices(page) or address.startswith("/events/")


def test_an_empty_search_says_so(coordinator_client: httpx.Client) -> None:
    page = coordinator_client.get("/?lang=en&actor=nobody").text
    assert "No event fits." in page
    assert coordinator_client.get("/?before=x").status_code == 422
    assert coordinator_client.get(f"/?actor={'x' * 201}").status_code == 422


def test_every_event_is_shown_field_by_field_and_verified(
    log: SampleLog, coordinator_client: httpx.Client
) -> None:
    for index in range(log.store.size):
        page = coordinator_client.get(f"/events/{index}?lang=en").text
        opened = log.service.event(index).opened
        assert ">Verified<" in page
        assert page.count(": passed<") == 4
        digest = opened.head.digest.hex()
        assert f"{digest[:32]}<wbr>{digest[32:]}" in page
        assert opened.event.actor in page


def test_the_contract_in_an_event_is_spelled_out(
    log: SampleLog, coordinator_client: httpx.Client
) -> None:
    horizontal, vertical = log.service.events(kind="run_opened")  # newest first
    page = coordinator_client.get(f"/events/{vertical.index}?lang=en").text
    for text in ("Noise of polish steps", "0.25", "200,000", "bank-yuzhong"):
        assert text in page
    assert "Rounds of training" not in page
    page = coordinator_client.get(f"/events/{horizontal.index}?lang=en").text
    for text in ("annual_income", "farming, trade, services", "9.833", "0.0001"):
        assert text in page


def test_the_downloaded_proof_is_checked_without_the_coordinator(
    log: SampleLog, coordinator_client: httpx.Client
) -> None:
    leaf = coordinator_client.get("/events/7/entry").content
    answer = coordinator_client.get("/events/7/proof")
    assert 'filename="7.tlog-proof"' in answer.headers["content-disposition"]
    head = TlogProof.parse(answer.text).verify(leaf, log.store.key)
    assert head.size == log.store.size


@pytest.mark.parametrize("index", [-1, 99999, 10**31])
def test_there_is_no_page_beyond_the_end(
    coordinator_client: httpx.Client, index: int
) -> None:
    for suffix in ("", "/entry", "/proof"):
        assert coordinator_client.get(f"/events/{index}{suffix}").status_code == 404


def failed_step(log: SampleLog, index: int, leaf: bytes, proof: TlogProof) -> str:
    entry = replace(log.service.event(index), opened=read_event(leaf))
    checks = verify_entry(entry, log.service, log.store.key, proof)
    assert [check.failed for check in checks[:-1]] == [False] * (len(checks) - 1)
    return checks[-1].title if checks[-1].failed else ""


def test_the_step_that_fails_is_the_one_that_was_tampered_with(
    log: SampleLog,
) -> None:
    index = 10
    opened = log.service.event(index).opened
    proof = log.service.inclusion(index)
    assert failed_step(log, index, opened.leaf, proof) == ""
    other_path = replace(proof, path=(bytes(32), *proof.path[1:]))
    assert "audit path" in failed_step(log, index, opened.leaf, other_path)
    other_key = replace(proof, checkpoint=proof.checkpoint.replace("hub", "pub"))
    assert "checkpoint" in failed_step(log, index, opened.leaf, other_key)
    resigned = log.parties.event("hub", log.store.head("hub"), opened.event.run_opened)
    assert "chain" in failed_step(log, index, resigned.leaf, proof)
    forged = OpenedEvent(opened.leaf, opened.signed, opened.event).signed
    forged.signature = bytes(64)
    assert "signed" in failed_step(log, index, forged.SerializeToString(), proof)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_no_changed_bit_of_an_entry_is_verified(
    log: SampleLog, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, log.store.size - 1))
    leaf = bytearray(log.service.event(index).opened.leaf)
    bit = data.draw(st.integers(0, 8 * len(leaf) - 1))
    leaf[bit // 8] ^= 1 << bit % 8
    try:
        failed = failed_step(log, index, bytes(leaf), log.service.inclusion(index))
    except ProofError:
        return  # not even an event
    assert failed


def test_the_way_up_ends_at_the_root(own_log: SampleLog) -> None:
    for count in (1, 2, 5, 23):
        own_log.fill(count, "bank")
        for index in (0, 1, own_log.store.size // 2, own_log.store.size - 1):
            proof = own_log.service.inclusion(index)
            head = open_checkpoint(proof.checkpoint, own_log.store.key)
            leaf = own_log.service.event(index).opened.leaf
            steps = climb(leaf, index, head.size, proof.path)
            assert steps[-1].node == head.root.hex()
            assert [step.sibling for step in steps] == [h.hex() for h in proof.path]


@given(st.binary(max_size=80))
def test_bytes_that_are_no_contract_are_shown_as_bytes(body: bytes) -> None:
    event = Event(run_opened=RunOpened(contract_body=body))
    hashed, shown = spread_detail(event)
    assert hashed == ShownField("contract", "", is_hex=True)
    assert shown.name == "contract_body"
    assert shown.inner or (shown.value == body.hex() and shown.is_hex)


def test_empty_fields_are_shown_too() -> None:
    shown = spread_detail(Event(score_decided=ScoreDecided(allowed=False)))
    names = ["allowed", "code", "model", "terms", "entities"]
    assert [field.name for field in shown] == names
    assert shown[0].value is False


def test_the_parties_are_listed_with_key_and_last_event(
    log: SampleLog, coordinator_client: httpx.Client
) -> None:
    page = coordinator_client.get("/parties?lang=en").text
    fingerprints = {n: f.hex() for n, f in log.parties.registry.fingerprints().items()}
    for name, fingerprint in fingerprints.items():
        assert f'<th scope="row">{name}</th>' in page
        assert f"{fingerprint[:32]}<wbr>{fingerprint[32:]}" in page
    rows = list(
        csv.DictReader(io.StringIO(coordinator_client.get("/parties.csv").text))
    )
    assert {row["name"]: row["fingerprint"] for row in rows} == fingerprints
    assert coordinator_client.get("/parties.json").json() == rows
    assert rows[0]["roles"] == "data_holder requester"


def test_an_empty_log_says_what_comes_next(tmp_path: Path, parties: Parties) -> None:
    empty = SampleLog(tmp_path, parties)
    app = sample_coordinator_app(empty, SampleCoordinator(empty))
    with client_of(app) as client:
        assert "The log is empty." in client.get("/?lang=en").text
        assert client.get("/events.json").json() == []
        assert "none" in client.get("/parties?lang=en").text
    empty.store.close()


def test_a_broken_store_is_told_to_the_log_and_not_to_the_reader(
    log: SampleLog,
    coordinator_client: httpx.Client,
    coordinator: SampleCoordinator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> str:
        raise LogStoreError("disk failure at sector 7", place="/srv/log.sqlite")

    monkeypatch.setattr(log.service, "checkpoint", broken)
    answer = coordinator_client.get("/checkpoint")
    assert answer.status_code == 503
    assert answer.json()["code"] == "log-store"
    assert "sector" not in answer.text
    assert "/srv/log.sqlite" in caplog.text
    coordinator.reasons = ("The log cannot be read",)
    assert coordinator_client.get("/readyz").status_code == 503
