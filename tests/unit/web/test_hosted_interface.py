"""``POST /v1/hosted-scores``: what it takes, gives, and refuses."""

from typing import Final

import httpx
import pytest

from tests.protocol.hosted_cards import LINEAR, SCORECARD
from tests.unit.web.sample_node import TOKEN, SampleNode, request_id
from tests.unit.web.serving import bearer
from veilscore.node.errors import HolderRefusedError
from veilscore.node.hosting.form_file import LONGEST, digest, encode

FORM: Final = encode(SCORECARD.form).decode()
ASK: Final[dict[str, object]] = {
    "form": FORM,
    "applicants": [
        {"income": 12, "kind": "farm"},
        {"income": None, "kind": "", "note": "of no use"},
    ],
    "purpose": "pre_loan",
    "consent": "C-2026-0917",
}


def ask(client: httpx.Client, **changes: object) -> httpx.Response:
    request = {**ASK, **changes}
    return client.post("/v1/hosted-scores", json=request, headers=bearer(TOKEN))


def test_scores_come_in_the_order_of_the_request(
    node: SampleNode, node_client: httpx.Client
) -> None:
    answer = ask(node_client)
    assert answer.status_code == 200
    assert answer.json() == {
        "request": request_id(1),
        "form": digest(SCORECARD.form).hex(),
        "scores": [500, 499],
    }
    rows = [[0, 0, 1, 0, 0, 1, 0, 0], [1, 0, 0, 0, 1, 0, 0, 0]]
    assert node.asked_hosted == [(SCORECARD.form, rows, "pre_loan")]
    assert node.consents == ["C-2026-0917"]


def test_a_score_with_decimals_stays_one(node_client: httpx.Client) -> None:
    applicant = {"age": 20, "debt": -1.5, "assets": 17}
    form = encode(LINEAR.form).decode()
    answer = ask(node_client, form=form, applicants=[applicant])
    assert answer.json()["scores"] == [0.5]


def test_every_flaw_is_listed_with_its_place_and_no_value_is_repeated(
    node: SampleNode, node_client: httpx.Client
) -> None:
    applicants: list[dict[str, object]] = [
        {"income": "4711", "kind": "farm"},
        {"income": 1, "kind": "farm"},
        {"income": 1, "kine": "secret-level"},
        {"income": 1e301, "kind": "farm"},
        {"income": 1, "kind": 3},
    ]
    answer = ask(node_client, applicants=applicants)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "bad-request"
    assert problem["detail"] == "4 of 5 applicants cannot be scored"
    assert problem["errors"] == [
        {"pointer": "/applicants/0/income", "detail": "a number is expected"},
        {
            "pointer": "/applicants/2/kind",
            "detail": "is not there, not even as missing",
        },
        {"pointer": "/applicants/3/income", "detail": "a number is expected"},
        {"pointer": "/applicants/4/kind", "detail": "a text is expected"},
    ]
    assert "4711" not in answer.text
    assert "secret-level" not in answer.text
    assert node.asked_hosted == []


@pytest.mark.parametrize(
    "change",
    [
        {"applicants": []},
        {"applicants": [{"income": 1, "kind": "farm"}] * 1001},
        {"applicants": [{"income": True, "kind": "farm"}]},
        {"applicants": [{"income": [1], "kind": "farm"}]},
        {"applicants": [["farm"]]},
        {"purpose": "curiosity"},
        {"consent": ""},
        {"form": ""},
        {"form": "x" * (LONGEST + 1)},
        {"form": {"version": 1}},
        {"model": "ab" * 32},
    ],
)
def test_what_the_interface_does_not_say_is_refused(
    node: SampleNode, node_client: httpx.Client, change: dict[str, object]
) -> None:
    answer = ask(node_client, **change)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-request")
    assert answer.json()["errors"]
    assert node.asked_hosted == []


def test_what_is_no_form_is_told_where(
    node: SampleNode, node_client: httpx.Client
) -> None:
    answer = ask(node_client, form=FORM.replace('"bits": 11', '"bits": 0'))
    assert (answer.status_code, answer.json()["code"]) == (422, "form")
    assert answer.json()["place"] == "/form"
    assert node.asked_hosted == []


def test_a_refusal_of_the_holder_keeps_its_code(
    node: SampleNode, node_client: httpx.Client
) -> None:
    node.fault = HolderRefusedError(
        "refused", reason="budget-spent", party="agri-bureau"
    )
    answer = ask(node_client)
    assert (answer.status_code, answer.json()["code"]) == (403, "holder-budget-spent")
    assert answer.json()["party"] == "agri-bureau"


def test_without_the_token_nothing_is_told(
    node: SampleNode, node_client: httpx.Client
) -> None:
    answer = node_client.post("/v1/hosted-scores", json=ASK)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert node.asked_hosted == []
