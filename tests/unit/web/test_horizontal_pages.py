"""What an operator of a node sees of a horizontal run, before it and during it."""

import re
from dataclasses import replace

import httpx
import pytest

from tests.unit.web.sample_node import (
    NOW_MS,
    TOKEN,
    SampleNode,
    contract,
    horizontal_contract,
)
from veilscore.models.steps import steps
from veilscore.node.web.contract_terms import stages
from veilscore.node.web.face import RunState
from veilscore.v1.training_pb2 import RunContract

NOISE = "Noise of a round"


@pytest.fixture
def operator(node_client: httpx.Client) -> httpx.Client:
    origin = str(node_client.base_url).rstrip("/")
    node_client.headers["Origin"] = origin
    node_client.post("/login", data={"token": TOKEN})
    return node_client


def review(
    node: SampleNode, operator: httpx.Client, asked: RunContract, language: str = "en"
) -> str:
    pending = replace(node.current.pending[0], contract=asked)
    node.current = replace(node.current, pending=(pending,))
    return operator.get(f"/runs/{asked.run}?lang={language}").text


def test_a_horizontal_run_is_shown_with_what_the_members_and_the_coordinator_learn(
    node: SampleNode, operator: httpx.Client
) -> None:
    page = review(node, operator, horizontal_contract(8))
    for text in (
        "Members learn sums of what all of them send",
        "the coordinator learns how long the sums are",
        "over at least 5 of the 8 members",
        "the coordinator and 1 member put together what they know",
        "the sum of the 4 or more others, and no more",
        "in 40 rounds gradients of the model",
        "logs it as epsilon before the first sum",
        "the run goes on as long as 5 are left",
        "fits the intercept to its own rows",
        "annual_income",
        "farming, trade, services",
        "Adaptive steps (FedAdam)",
        "9.833",
        "0.0001",
    ):
        assert text in page
    for vertical in ("abel holder", "eature holder", "Paillier", "polish", "Polish"):
        assert vertical not in page
    chinese = review(node, operator, horizontal_contract(8), "zh-CN")
    assert "8 个成员中的 5 个" in chinese
    assert "协调方只得知各次求和的长度与参与成员" in chinese


def test_few_members_without_noise_are_told_what_that_means(
    node: SampleNode, operator: httpx.Client
) -> None:
    asked = horizontal_contract(4)
    asked.horizontal.ClearField("privacy")
    asked.horizontal.own = "tables"
    del asked.horizontal.columns[2].levels[:]
    page = review(node, operator, asked)
    for text in (
        "over all 4 members",
        "No noise is added: the sums are exact",
        "If one member is lost the run ends without a model.",
        "fits all points to its own rows",
        "the members find out which are common",
    ):
        assert text in page
    assert "they find out the sum of the 3 or more others" in page
    assert NOISE not in page


def test_the_first_page_names_a_horizontal_run_by_its_members(
    node: SampleNode, operator: httpx.Client
) -> None:
    review(node, operator, horizontal_contract(8))
    assert "horizontal, 8 members" in operator.get("/?lang=en").text
    chinese = operator.get("/?lang=zh-CN").text
    assert "横向训练" in chinese
    assert "8 个成员" in chinese


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        ("bins", ["+Join", "*Bins", " Round 1\u201340", " Evaluate", " Register"]),
        ("round-1", ["+Join", "+Bins", "*Round 1 / 40", " Evaluate", " Register"]),
        ("round-40", ["+Join", "+Bins", "*Round 40 / 40", " Evaluate", " Register"]),
        ("register", ["+Join", "+Bins", "+Round 1\u201340", "+Evaluate", "*Register"]),
        ("", [" Join", " Bins", " Round 1\u201340", " Evaluate", " Register"]),
    ],
)
def test_rounds_are_one_of_the_steps_that_are_listed(
    node: SampleNode, operator: httpx.Client, step: str, shown: list[str]
) -> None:
    names = tuple(steps(horizontal_contract()))
    run = RunState("9b" * 16, names, step, fraction=0.5, started_ms=NOW_MS)
    node.current = replace(node.current, run=run)
    page = operator.get("/?lang=en").text
    (listed,) = re.findall(r'<ol class="steps">(.*?)</ol>', page, re.DOTALL)
    marks = {' class="done"': "+", ' aria-current="step"': "*", "": " "}
    found = re.findall(r"<li([^>]*)>(.*?)</li>", listed, re.DOTALL)
    assert [marks[mark] + " ".join(text.split()) for mark, text in found] == shown


def test_a_few_numbered_steps_are_listed_one_by_one() -> None:
    names = tuple(steps(contract()))
    assert [stage.name for stage in stages(names, "polish-1")] == list(names)
