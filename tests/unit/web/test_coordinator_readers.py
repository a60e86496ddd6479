"""Who may read and who may change what, on a site for parties and auditors."""

from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from fastapi.routing import APIRoute

from tests.unit.tlog.sample_log import SampleLog
from tests.unit.web.closed_site import Certifier, ClosedSite, closed_site
from tests.unit.web.sample_coordinator import (
    TOKEN,
    SampleCoordinator,
    sample_coordinator_app,
)
from tests.unit.web.serving import bearer
from tests.unit.web.test_every_action_is_logged import routes_of

CONTRACT: Final = 'label_holder = "bank"\n'
OPEN: Final = {"/livez", "/readyz", "/favicon.ico", "/api"}
WATCHED: Final = {"/v1/runs", "/v1/runs/{run}", "/v1/status"}
FILLED: Final = {
    "{index}": "3",
    "{run}": "0" * 32,
    "{path:path}": "000.p/42",
    "/v1/proof/inclusion": "/v1/proof/inclusion?index=3",
    "/v1/proof/consistency": "/v1/proof/consistency?old=1&new=2",
}
HTML: Final = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def site(log: SampleLog) -> Iterator[ClosedSite]:
    with closed_site(log) as site:
        yield site


@pytest.fixture(autouse=True)
def one_run(site: ClosedSite) -> None:
    site.coordinator.reset()
    assert site.coordinator.propose(CONTRACT) == "0" * 32


@pytest.fixture(scope="module")
def routes(log: SampleLog) -> list[APIRoute]:
    app = sample_coordinator_app(log, SampleCoordinator(log))
    return list(routes_of(app.routes))


def addresses(log: SampleLog, routes: list[APIRoute]) -> dict[str, str]:
    """Return an address of every route that is read, by the path of the route."""
    found: dict[str, str] = {}
    for route in routes:
        if "GET" in (route.methods or ()):
            address = route.path
            for placeholder, value in FILLED.items():
                address = address.replace(placeholder, value)
            found[route.path] = address.replace(".p/42", f".p/{log.store.size}")
    found["/tile/{path:path}"] = f"/tile/0/000.p/{log.store.size}"
    return found


def test_an_auditor_reads_everything(
    site: ClosedSite, log: SampleLog, routes: list[APIRoute]
) -> None:
    with site.client("auditor-1") as client:
        for path, address in addresses(log, routes).items():
            assert client.get(address).status_code == 200, path


@pytest.mark.parametrize("party", ["bank", "bureau", "hub"])
def test_a_party_reads_the_log_and_no_runs_of_others(
    site: ClosedSite, log: SampleLog, routes: list[APIRoute], party: str
) -> None:
    with site.client(party) as client:
        for path, address in addresses(log, routes).items():
            answer = client.get(address)
            if path in WATCHED:
                assert answer.status_code == 403, path
                assert "for auditors and the operator" in answer.json()["detail"]
            else:
                assert answer.status_code == 200, path


def test_who_shows_nothing_reads_nothing(
    site: ClosedSite, log: SampleLog, routes: list[APIRoute]
) -> None:
    with site.client() as client:
        for path, address in addresses(log, routes).items():
            answer = client.get(address)
            if path in OPEN:
                assert answer.status_code == 200, path
                continue
            assert answer.status_code == 401, path
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert problem["code"] == "unauthorized"
            assert "certificate" in problem["remedy"]
        assert client.get("/openapi.json").status_code == 200
        assert client.get("/static/base.css").status_code == 200


@pytest.mark.parametrize(
    ("party", "why"),
    [
        ("gone", "the party gone was expelled and has no role any more"),
        ("stranger", "the party stranger is not registered"),
    ],
)
def test_the_expelled_and_the_unknown_read_nothing(
    site: ClosedSite, log: SampleLog, routes: list[APIRoute], party: str, why: str
) -> None:
    with site.client(party) as client:
        for path, address in addresses(log, routes).items():
            if path not in OPEN:
                answer = client.get(address)
                assert answer.status_code == 403, path
                assert answer.json()["code"] == "access"
                assert answer.json()["detail"] == why


def test_a_party_that_is_expelled_is_refused_at_its_next_request(
    site: ClosedSite,
) -> None:
    """Also on the connection that it has."""
    registry = site.access.registry
    with site.client("auditor-1") as client:
        assert client.get("/checkpoint").status_code == 200
        try:
            site.access.denied_parties = frozenset({"auditor-1"})
            assert client.get("/checkpoint").status_code == 403
        finally:
            site.access.denied_parties = frozenset()
        assert client.get("/checkpoint").status_code == 200
    assert site.access.registry is registry


def test_a_certificate_of_another_authority_does_not_get_through(
    site: ClosedSite,
) -> None:
    with (
        site.client("auditor-1", by=Certifier()) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.get("/checkpoint")


@pytest.mark.parametrize("party", ["auditor-1", "bank", "hub"])
def test_nobody_but_the_operator_changes_anything(
    site: ClosedSite, routes: list[APIRoute], party: str
) -> None:
    changing = [
        (method, route.path.replace("{run}", "0" * 32))
        for route in routes
        for method in {*(route.methods or ())} - {"GET", "HEAD"}
    ]
    assert changing
    roles = site.access.registry.party(party).roles
    with site.client(party) as client, site.client() as nobody:
        for method, path in changing:
            answer = client.request(method, path, content=CONTRACT)
            assert answer.status_code == 403, path
            assert answer.json()["code"] == "access"
            assert answer.json()["detail"] == (
                f"the party {party} may only read here, as "
                f"{', '.join(sorted(roles))}: this is for the operator"
            )
            assert nobody.request(method, path, content=CONTRACT).status_code == 401
    assert [run.phase for run in site.coordinator.runs()] == ["proposed"]


def test_the_operator_needs_the_token_and_no_certificate(site: ClosedSite) -> None:
    for party in ("", "auditor-1", "gone"):
        with site.client(party) as client:
            client.headers.update(bearer(TOKEN))
            assert client.get("/checkpoint").status_code == 200
            assert client.get("/v1/status").status_code == 200
            proposed = client.post("/v1/runs", content=CONTRACT)
            assert proposed.status_code == 201
            stopped = client.delete(proposed.headers["Location"])
            assert stopped.json()["phase"] == "stopped"
    with site.client("auditor-1") as client:
        client.headers.update(bearer("wrong" * 10))
        assert client.get("/checkpoint").status_code == 401


@pytest.mark.parametrize(("party", "status"), [("", 401), ("gone", 403)])
def test_a_browser_gets_a_page_in_its_language(
    site: ClosedSite, party: str, status: int
) -> None:
    with site.client(party) as client:
        chinese = client.get("/", headers={**HTML, "Accept-Language": "zh"})
        english = client.get("/", headers={**HTML, "Accept-Language": "en"})
        assert (chinese.status_code, english.status_code) == (status, status)
        assert "只供已登记的参与方和审计方查看" in chinese.text
        assert "for registered parties and auditors" in english.text
        for page in (chinese, english):
            assert page.headers["content-security-policy"]
            assert "<table" not in page.text


def test_where_everybody_reads_nobody_is_asked_for_a_certificate(
    coordinator_client: httpx.Client,
) -> None:
    assert coordinator_client.get("/checkpoint").status_code == 200
    assert coordinator_client.get("/v1/entries").status_code == 200
    for method, path in (("GET", "/v1/runs"), ("POST", "/v1/runs")):
        answer = coordinator_client.request(method, path)
        assert answer.status_code == 401
        assert "token" in answer.json()["detail"]
