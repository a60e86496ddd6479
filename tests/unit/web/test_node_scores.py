"""The node's REST interface: what it takes, gives, and refuses."""

import hashlib
from dataclasses import asdict, replace

import httpx
import pytest

from tests.unit.web.sample_node import (
    FIRMS,
    NOW_MS,
    RUN,
    TOKEN,
    SampleNode,
    digest,
    request_id,
)
from tests.unit.web.serving import bearer
from veilscore.fault import Fault
from veilscore.keys.entity_ids import EntityKind
from veilscore.node.errors import (
    AlreadyDecidedError,
    ManifestError,
    UnknownRunError,
    WhichHolderError,
)
from veilscore.node.web.face import RunFailure, Unready

ASK = {
    "entities": [{"type": "uscc", "id": firm} for firm in FIRMS],
    "purpose": "pre_loan",
    "consent": "C-2026-0917",
}


def ask(client: httpx.Client, **changes: object) -> httpx.Response:
    return client.post("/v1/scores", json={**ASK, **changes}, headers=bearer(TOKEN))


def test_scores_come_in_the_order_of_the_request(
    node: SampleNode, node_client: httpx.Client
) -> None:
    answer = ask(node_client, model="ab" * 32)
    assert answer.status_code == 200
    assert answer.json() == {
        "request": request_id(1),
        "model": "ab" * 32,
        "at_home": False,
        "scores": [
            {
                "type": "uscc",
                "id": firm,
                "score": 612 - at,
                "probability_of_default": 0.031 + at / 100,
                "known": at % 2 == 0,
            }
            for at, firm in enumerate(FIRMS)
        ],
    }
    entities = [(EntityKind.USCC, firm) for firm in FIRMS]
    assert node.asked == [(entities, bytes.fromhex("ab" * 32), "pre_loan")]
    assert node.consents == ["C-2026-0917"]


def test_without_a_model_the_newest_is_asked(
    node: SampleNode, node_client: httpx.Client
) -> None:
    assert ask(node_client).json()["model"] == digest("joint").hex()
    assert node.asked[0][1] is None


def test_the_status_says_of_whom_a_model_is_asked(
    node: SampleNode, node_client: httpx.Client
) -> None:
    part, *_ = node.current.models
    whole = replace(part, holders=("bank-fuling", "bank-yuzhong"), whole=True)
    node.current = replace(node.current, models=(whole, part))
    status = node_client.get("/v1/status", headers=bearer(TOKEN)).json()
    assert [(model["holders"], model["whole"]) for model in status["models"]] == [
        (["bank-fuling", "bank-yuzhong"], True),
        ([], False),
    ]


def test_a_holder_is_passed_on_and_the_answer_says_what_was_scored_at_home(
    node: SampleNode, node_client: httpx.Client
) -> None:
    assert ask(node_client, holder="bank-fuling").json()["at_home"] is False
    node.at_home = True
    answer = ask(node_client).json()
    assert (answer["at_home"], answer["request"]) == (True, "")
    assert len(answer["scores"]) == len(FIRMS)
    assert node.holders == ["bank-fuling", None]
    assert ask(node_client, holder="").status_code == 422


def test_a_choice_of_holders_is_a_problem_of_the_request(
    node: SampleNode, node_client: httpx.Client
) -> None:
    node.fault = WhichHolderError("none is named", remedy="Name one holder of: a, b.")
    answer = ask(node_client)
    assert (answer.status_code, answer.json()["code"]) == (422, "which-holder")
    assert answer.json()["remedy"] == "Name one holder of: a, b."


def test_a_manifest_is_taken_in(node: SampleNode, node_client: httpx.Client) -> None:
    answer = node_client.post(
        "/v1/models", json={"manifest": "0a01ff"}, headers=bearer(TOKEN)
    )
    assert answer.status_code == 200
    assert node.manifests == [b"\x0a\x01\xff"]
    assert answer.json() == {
        "model": hashlib.sha256(b"\x0a\x01\xff").hexdigest(),
        "run": RUN,
        "holders": ["bank-fuling", "bank-wanzhou"],
        "whole": True,
    }


@pytest.mark.parametrize("manifest", ["0A", "0", "zz", "00" * ((1 << 18) + 1)])
def test_what_is_no_file_of_a_manifest_is_refused(
    node: SampleNode, node_client: httpx.Client, manifest: str
) -> None:
    answer = node_client.post(
        "/v1/models", json={"manifest": manifest}, headers=bearer(TOKEN)
    )
    assert answer.status_code == 422
    assert node.manifests == []


def test_a_manifest_that_cannot_be_taken_in_is_a_problem_of_the_request(
    node: SampleNode, node_client: httpx.Client
) -> None:
    node.fault = ManifestError("the manifest is not in its canonical form")
    answer = node_client.post(
        "/v1/models", json={"manifest": "00"}, headers=bearer(TOKEN)
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "manifest")


def test_every_unusable_id_is_listed_and_none_is_asked_or_repeated(
    node: SampleNode, node_client: httpx.Client
) -> None:
    entities = [
        {"type": "uscc", "id": FIRMS[0]},
        {"type": "uscc", "id": FIRMS[1][:-1]},
        {"type": "resident", "id": "11010519491231002X"},
        {"type": "resident", "id": "110105194912310021"},
        {"type": "uscc", "id": f" {FIRMS[0].lower()}"},
    ]
    answer = ask(node_client, entities=entities)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "bad-request"
    assert problem["detail"] == "3 of 5 ids cannot be used"
    assert problem["errors"] == [
        {
            "pointer": "/entities/1/id",
            "detail": "a credit code has 18 characters, this one 17",
        },
        {
            "pointer": "/entities/3/id",
            "detail": "the resident id's check digit (the 18th) is wrong",
        },
        {
            "pointer": "/entities/4/id",
            "detail": "this is the entity of index 0 again",
        },
    ]
    assert node.asked == []
    assert not any(entity["id"] in answer.text for entity in entities)


@pytest.mark.parametrize(
    "change",
    [
        {"entities": []},
        {"entities": [{"type": "opaque", "id": str(at)} for at in range(1001)]},
        {"entities": [{"type": "uscc", "id": FIRMS[0], "name": "x"}]},
        {"entities": [{"type": "tax", "id": "1"}]},
        {"purpose": "curiosity"},
        {"consent": ""},
        {"model": "AB" * 32},
        {"limit": 3},
    ],
)
def test_what_the_interface_does_not_say_is_refused(
    node: SampleNode, node_client: httpx.Client, change: dict[str, object]
) -> None:
    answer = ask(node_client, **change)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-request")
    assert answer.json()["errors"]
    assert node.asked == []


def test_a_thousand_entities_are_taken(
    node: SampleNode, node_client: httpx.Client
) -> None:
    entities = [{"type": "opaque", "id": str(at)} for at in range(1000)]
    assert len(ask(node_client, entities=entities).json()["scores"]) == 1000
    assert len(node.asked[0][0]) == 1000


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer"}, bearer(TOKEN[:-1]), {"Authorization": TOKEN}],
)
def test_without_the_token_nothing_is_told(
    node: SampleNode, node_client: httpx.Client, headers: dict[str, str]
) -> None:
    for answer in (
        node_client.post("/v1/scores", json=ASK, headers=headers),
        node_client.get("/v1/status", headers=headers),
    ):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        problem = answer.json()
        assert problem["code"] == "unauthorized"
        assert problem["remedy"].startswith("Send the token from the file")
        assert "bank-yuzhong" not in answer.text
    assert node.asked == []


def test_the_status_says_what_the_page_shows(
    node: SampleNode, node_client: httpx.Client
) -> None:
    node.reasons = [Unready.LOG_WAITS]
    status = node_client.get("/v1/status", headers=bearer(TOKEN)).json()
    assert status["party"] == "bank-yuzhong"
    assert status["reasons"] == ["Events of this node could not be logged yet"]
    assert status["link"]["since_ms"] == NOW_MS - 3 * 3_600_000
    assert status["source"]["rows"] == 128_450
    judged = status["models"][0]["evaluation"]
    assert judged["auc"] == 0.7769
    assert judged["gini"] == pytest.approx(0.5538)
    assert (judged["brier"], judged["calibration_slope"]) == (0.1371, 1.0415)
    assert status["models"][1]["evaluation"] is None
    assert (status["run"]["run"], status["run"]["fraction"]) == (RUN, 0.42)
    assert status["failure"] is None
    assert status["pending"] == [
        {
            "run": "c1d2e3f4a5b60718293a4b5c6d7e8f90",
            "work_ms": 754_000,
            "sent_bytes": 1_340_000_000,
            "privacy": None,
            "rows": 0,
            "labelled": 0,
        }
    ]
    assert status["hosted"][0] == {
        "card": "farm-credit",
        "requester": "bank-fuling",
        "spent": 48_012,
        "allowed": 60_000,
        "entropy": 2_431,
    }
    assert status["events"][1] == {
        "index": 4711,
        "time_ms": NOW_MS - 20_000,
        "kind": "step_done",
        "correlation": RUN,
    }


def test_the_status_says_why_the_last_run_stopped(
    node: SampleNode, node_client: httpx.Client
) -> None:
    failure = RunFailure(
        run=RUN,
        step="counts",
        what="the column is absent",
        party="",
        place="/srv/loans.csv, column income",
        remedy="Restore the column.",
        at_ms=NOW_MS,
    )
    node.current = replace(node.current, failure=failure)
    status = node_client.get("/v1/status", headers=bearer(TOKEN)).json()
    assert status["failure"] == asdict(failure)
    assert "income" not in node_client.get("/v1/status").text


def test_a_run_is_decided_about_by_a_command(
    node: SampleNode, node_client: httpx.Client
) -> None:
    headers = bearer(TOKEN)
    assert node_client.post("/v1/runs/aa/approve").status_code == 401
    assert node_client.post("/v1/runs/aa/approve", headers=headers).status_code == 204
    assert node_client.post("/v1/runs/bb/refuse", headers=headers).status_code == 204
    for reason in ("parties", "clauses", "source", "time"):
        said = {"reason": reason}
        node_client.post("/v1/runs/cc/refuse", headers=headers, json=said)
    odd = node_client.post("/v1/runs/dd/refuse", headers=headers, json={"reason": 0})
    assert odd.status_code == 422
    assert odd.headers["content-type"] == "application/problem+json"
    assert [flaw["pointer"] for flaw in odd.json()["errors"]] == ["/reason"]
    assert node.decisions == [
        ("approve", "aa"),
        ("refuse", "bb", "Not at this time"),
        ("refuse", "cc", "The parties are not those that were agreed"),
        ("refuse", "cc", "The clauses are not those that were agreed"),
        ("refuse", "cc", "The data source is not ready"),
        ("refuse", "cc", "Not at this time"),
    ]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (UnknownRunError("no such run waits"), 404, "unknown-run"),
        (AlreadyDecidedError("the run was approved before"), 409, "already-decided"),
    ],
)
def test_what_cannot_be_decided_about_is_told_apart(
    node: SampleNode,
    node_client: httpx.Client,
    fault: Fault,
    status: int,
    code: str,
) -> None:
    node.fault = fault
    for verb in ("approve", "refuse"):
        answer = node_client.post(f"/v1/runs/aa/{verb}", headers=bearer(TOKEN))
        assert answer.status_code == status
        assert (answer.json()["code"], answer.json()["detail"]) == (code, fault.what)


def test_readiness_follows_its_reasons(
    node: SampleNode, node_client: httpx.Client
) -> None:
    ready = node_client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    node.reasons = [Unready.NOT_CONNECTED, Unready.LOG_WAITS]
    waiting = node_client.get("/readyz")
    assert waiting.status_code == 503
    assert waiting.json()["reasons"] == list(node.reasons)
    assert node_client.get("/livez").status_code == 200


def test_the_interface_describes_itself(node_client: httpx.Client) -> None:
    document = node_client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/scores",
        "/v1/hosted-scores",
        "/v1/status",
        "/v1/models",
        "/v1/runs/{run}/approve",
        "/v1/runs/{run}/refuse",
        "/v1/openings",
        "/v1/asked-about",
        "/v1/erasures",
        "/v1/consents",
        "/v1/consents/withdraw",
    }
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    page = node_client.get("/api?lang=en").text
    assert "entities[].type" in page
    assert "scores[].probability_of_default" in page
    assert "uscc | resident | opaque" in page
    assert "parties | clauses | source | time" in page
    assert "no-model: this node has no model yet" in page
    for path in ("/docs", "/redoc"):
        assert node_client.get(path).status_code == 404
