"""The descriptions of both interfaces hold together and name every code."""

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.unit.tlog.sample_log import SampleLog
from tests.unit.web.sample_coordinator import SampleCoordinator, sample_coordinator_app
from tests.unit.web.sample_node import SampleNode, sample_node_app
from veilscore.node.errors import (
    NoModelError,
    ScoringError,
    UnknownModelError,
    WhichHolderError,
)
from veilscore.node.scoring.refusals import (
    OF_HOSTED,
    OF_JOINT,
    TRANSIENT,
    Reason,
)

PROBLEM = "#/components/schemas/Problem"


@pytest.fixture(params=["node", "coordinator"])
def document(request: pytest.FixtureRequest, log: SampleLog) -> dict[str, Any]:
    if request.param == "node":
        return sample_node_app(SampleNode()).openapi()
    return sample_coordinator_app(log, SampleCoordinator(log)).openapi()


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        found = cast("dict[str, object]", node)
        if "$ref" in found:
            yield str(found["$ref"])
        for value in found.values():
            yield from references(value)
    if isinstance(node, list):
        for value in cast("list[object]", node):
            yield from references(value)


def resolve(document: dict[str, Any], reference: str) -> dict[str, Any]:
    root, *path = reference.split("/")
    assert root == "#", reference
    node = document
    for part in path:
        assert part in node, reference
        node = node[part]
    return node


def refusals(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the refusals of every call, by method and path."""
    return {
        (method, path): {
            status: response
            for status, response in call["responses"].items()
            if status >= "4"
        }
        for path, methods in document["paths"].items()
        for method, call in methods.items()
    }


def test_every_reference_leads_to_a_schema(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert PROBLEM in found
    for reference in found:
        assert resolve(document, reference)["type"] in {"object", "string"}


def test_every_refusal_is_described_as_the_problem_it_is(
    document: dict[str, Any],
) -> None:
    for call, responses in refusals(document).items():
        assert "401" in responses, call
        for response in responses.values():
            content = {"application/problem+json": {"schema": {"$ref": PROBLEM}}}
            assert response["content"] == content, call
            assert re.search(r"[a-z]+(-[a-z]+)*: ", response["description"]), call


def test_a_problem_has_what_a_client_prints(document: dict[str, Any]) -> None:
    problem = resolve(document, PROBLEM)["properties"]
    assert {"detail", "code", "party", "place", "remedy", "errors"} <= set(problem)
    flaw = resolve(document, problem["errors"]["items"]["$ref"])
    assert set(flaw["properties"]) == {"pointer", "detail"}


def kinds_of(kind: type[ScoringError]) -> Iterator[type[ScoringError]]:
    yield kind
    for kinds in kind.__subclasses__():
        yield from kinds_of(kinds)


@pytest.mark.parametrize(
    ("path", "apart", "never"),
    [
        ("/v1/scores", OF_HOSTED, set[str]()),
        (
            "/v1/hosted-scores",
            OF_JOINT,
            {NoModelError.code, UnknownModelError.code, WhichHolderError.code},
        ),
    ],
)
def test_every_code_of_a_score_request_is_described(
    path: str, apart: frozenset[Reason], never: set[str]
) -> None:
    document = sample_node_app(SampleNode()).openapi()
    responses = refusals(document)["post", path]
    texts = {status: str(each["description"]) for status, each in responses.items()}
    codes = {kind.code for kind in kinds_of(ScoringError)} - never
    assert len(codes) > 5
    for code in codes:
        assert any(f"{code}:" in text or f" {code}," in text for text in texts.values())
    for reason in Reason:
        status = "503" if reason in TRANSIENT else "403"
        named = re.findall(r"holder-[a-z-]+", texts[status])
        assert (f"holder-{reason}" in named) is (reason not in apart)


def test_the_reasons_of_a_refusal_are_listed() -> None:
    document = sample_node_app(SampleNode()).openapi()
    call = document["paths"]["/v1/runs/{run}/refuse"]["post"]
    assert set(call["responses"]) == {"204", "400", "401", "404", "409", "422"}
    body = call["requestBody"]["content"]["application/json"]["schema"]
    reason = resolve(document, body["$ref"])["properties"]["reason"]
    assert reason["enum"] == ["parties", "clauses", "source", "time"]
    assert reason["default"] == "time"
    assert "not those that were agreed" in reason["description"]
