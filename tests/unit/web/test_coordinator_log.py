"""The log as static files: an auditor fetches it over HTTP and verifies all of it."""

import httpx
import pytest

from tests.unit.tlog.sample_log import SampleLog
from tests.unit.web.sample_coordinator import SampleCoordinator, sample_coordinator_app
from tests.unit.web.serving import client_of
from veilscore.keys.errors import AuditError, ProofError
from veilscore.keys.tlog.audit import audit_export
from veilscore.keys.tlog.export import plan_export


class FetchedFiles:
    """An export as the coordinator serves it at this moment."""

    def __init__(self, client: httpx.Client) -> None:
        def get(name: str) -> bytes:
            answer = client.get(f"/{name}")
            assert answer.status_code == 200, name
            return answer.content

        self._files = dict(plan_export(get).files(get))

    def names(self) -> set[str]:
        return set(self._files)

    def read(self, name: str) -> bytes:
        if name not in self._files:
            raise ProofError("the file is missing", place=name)
        return self._files[name]


def test_the_served_log_passes_the_offline_audit(own_log: SampleLog) -> None:
    own_log.fill(230, "bank", "bureau")
    app = sample_coordinator_app(own_log, SampleCoordinator(own_log))
    with client_of(app) as client:
        files = FetchedFiles(client)
    rest = own_log.store.size - 256
    tiles = {"tile/0/000", f"tile/0/001.p/{rest}", f"tile/entries/001.p/{rest}"}
    assert tiles <= files.names()
    report = audit_export(files, fingerprint=own_log.parties.fingerprint)
    assert report.size == own_log.store.size
    assert report.kinds["run_opened"] == 2
    assert set(report.actors) == {"bank", "bureau", "hub", "market"}


def test_the_audit_notices_another_log_under_the_same_address(
    coordinator_client: httpx.Client,
) -> None:
    files = FetchedFiles(coordinator_client)
    with pytest.raises(AuditError):
        audit_export(files, fingerprint=bytes(32))


def test_what_never_changes_may_be_kept_for_ever(
    coordinator_client: httpx.Client, log: SampleLog
) -> None:
    width = log.store.size
    for path in (f"/tile/0/000.p/{width}", f"/tile/entries/000.p/{width}"):
        answer = coordinator_client.get(path)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"] == "application/octet-stream"
    for path in ("/checkpoint", "/log.v1.json", "/registry.json"):
        answer = coordinator_client.get(path)
        assert answer.headers["cache-control"] == "no-cache"
    checkpoint = coordinator_client.get("/checkpoint")
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
    assert checkpoint.text == log.store.checkpoint()
    registry = coordinator_client.get("/registry.json")
    assert registry.content == log.parties.registry_file


@pytest.mark.parametrize(
    "path",
    [
        "/tile/0/000",
        "/tile/0/000.p/255",
        "/tile/0/00",
        "/tile/0/999",
        "/tile/9/000",
        "/tile/entries/000",
        "/tile/entries/../0/000",
        "/tile/entries/",
        "/tile/",
    ],
)
def test_a_tile_that_is_not_there_is_not_found_nor_cached(
    coordinator_client: httpx.Client, path: str
) -> None:
    answer = coordinator_client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
