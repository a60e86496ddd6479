"""The operator's REST interface of the coordinator."""

import httpx
import pytest

from tests.unit.web.sample_coordinator import TOKEN, SampleCoordinator
from tests.unit.web.serving import bearer
from veilscore.coordinator.errors import ContractError, RunError

CONTRACT = 'label_holder = "bank"\n'


@pytest.fixture
def operator(coordinator_client: httpx.Client) -> httpx.Client:
    coordinator_client.headers.update(bearer(TOKEN))
    return coordinator_client


def test_a_run_is_proposed_read_and_stopped(operator: httpx.Client) -> None:
    proposed = operator.post("/v1/runs", content=CONTRACT.encode())
    assert proposed.status_code == 201
    run = proposed.json()["run"]
    assert proposed.headers["location"] == f"/v1/runs/{run}"
    view = operator.get(proposed.headers["location"]).json()
    assert (view["phase"], view["label_holder"]) == ("proposed", "bank")
    assert view["parties"] == [
        {"party": "bank", "decision": "waiting", "estimated_s": 0, "left": ""}
    ]
    assert operator.get("/v1/runs").json() == [view]
    stopped = operator.delete(f"/v1/runs/{run}").json()
    assert (stopped["phase"], stopped["reason"]) == (
        "stopped",
        "stopped by the operator",
    )


def test_the_newest_run_comes_first(operator: httpx.Client) -> None:
    runs = [
        operator.post("/v1/runs", content=CONTRACT.encode()).json()["run"]
        for _ in range(3)
    ]
    listed = [view["run"] for view in operator.get("/v1/runs").json()]
    assert listed == runs[::-1]


def test_a_refused_contract_is_a_problem_with_everything_in_it(
    operator: httpx.Client, coordinator: SampleCoordinator
) -> None:
    coordinator.fault = ContractError(
        "max_rows is missing", place="contract", remedy="Add `max_rows`."
    )
    answer = operator.post("/v1/runs", content=CONTRACT.encode())
    assert answer.status_code == 422
    assert answer.json() == {
        "title": "Unprocessable Entity",
        "status": 422,
        "code": "contract",
        "detail": "max_rows is missing",
        "place": "contract",
        "remedy": "Add `max_rows`.",
    }
    assert operator.post("/v1/runs", content=b"\xff").json()["code"] == "bad-request"


def test_a_run_that_cannot_start_now_is_a_conflict(
    operator: httpx.Client, coordinator: SampleCoordinator
) -> None:
    coordinator.fault = RunError("a run is under way", remedy="Wait for its end.")
    answer = operator.post("/v1/runs", content=CONTRACT.encode())
    assert (answer.status_code, answer.json()["code"]) == (409, "run")


def test_an_unknown_run_is_not_found(operator: httpx.Client) -> None:
    for method in ("GET", "DELETE"):
        answer = operator.request(method, "/v1/runs/ff")
        assert answer.status_code == 404
        assert answer.json()["code"] == "not-found"
        assert answer.json()["detail"] == "there is no such run"


@pytest.mark.parametrize("header", [{}, bearer("x" * 40), {"Authorization": TOKEN}])
def test_without_the_token_nothing_is_told_or_done(
    coordinator_client: httpx.Client,
    coordinator: SampleCoordinator,
    header: dict[str, str],
) -> None:
    for method, path in (
        ("POST", "/v1/runs"),
        ("GET", "/v1/runs"),
        ("GET", "/v1/runs/ff"),
        ("DELETE", "/v1/runs/ff"),
        ("GET", "/v1/status"),
    ):
        answer = coordinator_client.request(method, path, headers=header)
        assert answer.status_code == 401, path
        assert answer.json()["code"] == "unauthorized"
    assert coordinator.runs() == []


def test_the_state_of_nodes_is_for_the_operator(
    operator: httpx.Client, coordinator: SampleCoordinator
) -> None:
    coordinator.reasons = ("market is not attached",)
    status = operator.get("/v1/status").json()
    assert [node["attached"] for node in status["nodes"]] == [True, True, False]
    assert status["reasons"] == ["market is not attached"]
    assert operator.get("/readyz").json() == {
        "ready": False,
        "reasons": ["market is not attached"],
    }


def test_the_interface_describes_itself(coordinator_client: httpx.Client) -> None:
    document = coordinator_client.get("/openapi.json").json()
    calls = {
        (path, method)
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert calls == {
        ("/v1/runs", "post"),
        ("/v1/runs", "get"),
        ("/v1/runs/{run}", "get"),
        ("/v1/runs/{run}", "delete"),
        ("/v1/status", "get"),
        ("/v1/entries", "get"),
        ("/v1/proof/inclusion", "get"),
        ("/v1/proof/consistency", "get"),
    }
    body = document["paths"]["/v1/runs"]["post"]["requestBody"]["content"]
    assert list(body) == ["application/toml"]
    page = coordinator_client.get("/api?lang=en").text
    assert "application/toml" in page
    assert "[].parties[].decision" in page
