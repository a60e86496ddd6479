"""Entries and proofs over REST: what is given verifies, what is not there is said."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.unit.tlog.sample_log import NOW_MS, SampleLog
from tests.unit.web.sample_coordinator import QUERY
from tests.unit.web.sample_node import RUN
from veilscore.coordinator.web import evidence
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.proof import verify_consistency, verify_inclusion
from veilscore.keys.tlog.store import LogStore
from veilscore.keys.tlog.tlog_proof import TlogProof


def page(client: httpx.Client, **query: str | int) -> dict[str, Any]:
    answer = client.get("/v1/entries", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def pages(client: httpx.Client, **query: str | int) -> list[list[dict[str, Any]]]:
    """Follow ``next`` to the end."""
    found = [page(client, **query)]
    while found[-1]["next"] is not None:
        found.append(page(client, **query, before=found[-1]["next"]))
    return [each["entries"] for each in found]


def when(after_ms: int) -> str:
    return datetime.fromtimestamp((NOW_MS + after_ms) / 1000, UTC).isoformat()


def test_all_entries_come_page_by_page(
    log: SampleLog, coordinator_client: httpx.Client
) -> None:
    found = pages(coordinator_client, limit=10)
    assert [len(each) for each in found[:-1]] == [10] * (len(found) - 1)
    entries = [entry for each in found for entry in each]
    assert [entry["index"] for entry in entries] == [*range(log.store.size)][::-1]
    first = entries[-1]
    opened = log.store.entry(0).opened
    assert (first["actor"], first["type"]) == ("hub", opened.kind)
    assert len(page(coordinator_client)["entries"]) == min(50, log.store.size)


def test_entries_are_sought_by_type_actor_and_correlation(
    log: SampleLog, coordinator_client: httpx.Client
) -> None:
    about = page(coordinator_client, correlation=QUERY)
    assert {entry["correlation"] for entry in about["entries"]} == {QUERY}
    assert [entry["type"] for entry in about["entries"]] == [
        *("score_answered", "score_decided") * 2,
        "score_requested",
    ]
    assert about["next"] is None
    of_bank = page(coordinator_client, correlation=RUN, actor="bank", type="step_done")
    assert len(of_bank["entries"]) == 5
    assert page(coordinator_client, type="no_such_type")["entries"] == []
    assert log.store.size > 0


def test_entries_are_sought_by_time(
    log: SampleLog,
    coordinator_client: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = [
        log.store.entry(index).opened.event.time_ms for index in range(log.store.size)
    ]
    since, until = 20_000, 40_000
    fits = [
        index
        for index, time in enumerate(times)
        if NOW_MS + since <= time < NOW_MS + until
    ]
    assert 5 < len(fits) < log.store.size
    query = {"from": when(since), "to": when(until)}

    def indices(**more: int) -> list[int]:
        found = pages(coordinator_client, **query, **more)
        return [entry["index"] for each in found for entry in each]

    assert indices() == fits[::-1]
    assert indices(limit=2) == fits[::-1]
    # Few are read in one request: pages come empty, and lead on.
    monkeypatch.setattr(evidence, "_MOST", 3)
    monkeypatch.setattr(evidence, "_LOOKED_AT", 6)
    assert indices() == fits[::-1]
    assert [] in pages(coordinator_client, **query)
    exact = pages(coordinator_client, **{"from": when(times[fits[0]] - NOW_MS)})
    assert fits[0] in [entry["index"] for each in exact for entry in each]


def test_an_inclusion_proof_verifies(
    log: SampleLog, coordinator_client: httpx.Client
) -> None:
    key = log.store.key
    for entry in page(coordinator_client)["entries"]:
        by_index = coordinator_client.get(
            "/v1/proof/inclusion", params={"index": entry["index"]}
        )
        told = by_index.json()
        by_leaf = coordinator_client.get(
            "/v1/proof/inclusion", params={"leaf": entry["leaf"]}
        )
        assert by_leaf.json() == told
        head = open_checkpoint(told["checkpoint"], key)
        path = [bytes.fromhex(node) for node in told["path"]]
        leaf = bytes.fromhex(told["leaf"])
        verify_inclusion(leaf, told["index"], head.size, path, head.root)
        bytes_of_it = coordinator_client.get(f"/events/{entry['index']}/entry").content
        assert TlogProof.parse(told["proof"]).verify(bytes_of_it, key) == head


def test_one_hash_is_sought_at_a_time(
    log: SampleLog,
    coordinator_client: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeking, go_on = threading.Event(), threading.Event()
    original = LogStore.find_leaf

    def slow(store: LogStore, digest: bytes) -> int:
        seeking.set()
        assert go_on.wait(30)
        return original(store, digest)

    monkeypatch.setattr(LogStore, "find_leaf", slow)
    entry = page(coordinator_client, limit=1)["entries"][0]
    path = "/v1/proof/inclusion"
    with ThreadPoolExecutor(1) as others:
        by_leaf = {"leaf": entry["leaf"]}
        first = others.submit(coordinator_client.get, path, params=by_leaf)
        assert seeking.wait(30)
        second = coordinator_client.get(path, params={"leaf": "ab" * 32})
        by_index = coordinator_client.get(path, params={"index": entry["index"]})
        go_on.set()
    assert second.status_code == 503
    assert second.json()["code"] == "busy"
    assert second.headers["retry-after"] == "1"
    assert by_index.status_code == 200
    assert first.result().json()["index"] == entry["index"] == log.store.size - 1


def test_a_consistency_proof_verifies(
    log: SampleLog, coordinator_client: httpx.Client
) -> None:
    sizes = [1, 2, 7, log.store.size - 1, log.store.size, log.store.size]
    for old, new in pairwise(sizes):
        told = coordinator_client.get(
            "/v1/proof/consistency", params={"old": old, "new": new}
        ).json()
        path = [bytes.fromhex(node) for node in told["path"]]
        roots = bytes.fromhex(told["old_root"]), bytes.fromhex(told["new_root"])
        verify_consistency(old, new, path, *roots)
        assert roots == (log.store.root(old), log.store.root(new))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/proof/inclusion", 422),
        ("/v1/proof/inclusion?index=1&leaf=" + "ab" * 32, 422),
        ("/v1/proof/inclusion?index=-1", 422),
        ("/v1/proof/inclusion?index=x", 422),
        ("/v1/proof/inclusion?index=" + "9" * 30, 422),
        ("/v1/proof/inclusion?leaf=AB", 422),
        ("/v1/proof/inclusion?index=100000", 404),
        ("/v1/proof/inclusion?leaf=" + "ab" * 32, 404),
        ("/v1/proof/consistency", 422),
        ("/v1/proof/consistency?old=0&new=1", 422),
        ("/v1/proof/consistency?old=3&new=2", 404),
        ("/v1/proof/consistency?old=1&new=100000", 404),
        ("/v1/entries?limit=0", 422),
        ("/v1/entries?limit=501", 422),
        ("/v1/entries?before=-1", 422),
        ("/v1/entries?from=yesterday", 422),
        ("/v1/entries?to=2026-03-01T00:00:00", 422),
        ("/v1/entries?actor=" + "a" * 201, 422),
    ],
)
def test_what_cannot_be_answered_is_a_problem(
    coordinator_client: httpx.Client, path: str, status: int
) -> None:
    answer = coordinator_client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["code"] == ("bad-proof" if status == 404 else "bad-request")
    assert problem["detail"]
