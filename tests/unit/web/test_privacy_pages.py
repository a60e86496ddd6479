"""What a node's operator sees of horizontal runs, of their budget and of misconduct."""

from dataclasses import replace

import httpx
import pytest

from tests.protocol.training_scene import MEMBERS, NOISE, horizontal_contract
from tests.unit.web.sample_node import NOW_MS, TOKEN, SampleNode, digest
from veilscore.node.web.face import PendingRun, PrivacyCost, PrivacyState, Unready
from veilscore.v1.training_pb2 import HorizontalPrivacy

RUN = "c1d2e3f4a5b60718293a4b5c6d7e8f90"
PRIVACY = PrivacyState(rows="loans of 2026", allowed=2.0, delta=1e-5, spent=1.0453)


@pytest.fixture
def operator(node: SampleNode, node_client: httpx.Client) -> httpx.Client:
    node_client.headers["Origin"] = str(node_client.base_url).rstrip("/")
    node_client.post("/login", data={"token": TOKEN})
    node_client.get("/?lang=en")
    propose(node, NOISE, PrivacyCost(epsilon=1.0453, spent=1.5321))
    return node_client


def propose(
    node: SampleNode, privacy: HorizontalPrivacy | None, cost: PrivacyCost | None
) -> None:
    """Have one run wait, at a node that has spent some of its budget."""
    contract = horizontal_contract(
        {name: digest(name) for name in MEMBERS}, RUN, privacy
    )
    contract.max_rows = 5000
    pending = PendingRun(
        contract,
        digest("pending"),
        proposed_ms=NOW_MS,
        work_ms=754_000,
        sent_bytes=1_340_000,
        privacy=cost,
        labelled=6120,
    )
    node.current = replace(
        node.current, party="bank", pending=(pending,), privacy=PRIVACY
    )


def test_a_run_is_shown_with_what_it_would_spend_and_leave(
    operator: httpx.Client,
) -> None:
    page = operator.get(f"/runs/{RUN}").text
    for text in (
        "The run spends epsilon 1.045 by itself. With it, 1.532 of 2 would be spent",
        "on the rows “loans of 2026” at delta 1e-05, and 0.468 would be left.",
        "About 13 minutes of computing, and about 1.3 MB to send.",
        "would learn from so many of its 6,120 rows",
    ):
        assert text in page
    chinese = operator.get(f"/runs/{RUN}?lang=zh-CN").text
    assert "剩余 0.468" in chinese


def test_a_run_without_noise_spends_nothing(
    node: SampleNode, operator: httpx.Client
) -> None:
    propose(node, None, None)
    page = operator.get(f"/runs/{RUN}").text
    assert "would be spent" not in page


def test_the_first_page_shows_what_is_spent(
    node: SampleNode, operator: httpx.Client
) -> None:
    page = operator.get("/").text
    assert "1.045 of 2 spent" in page
    assert "epsilon at delta 1e-05, rows “loans of 2026”" in page
    assert f"Run {RUN[:12]}…, horizontal, 3 members" in page
    assert "Attention" not in page
    node.current = replace(node.current, privacy=replace(PRIVACY, spent=1.81))
    page = operator.get("/").text
    assert page.count("Attention") == 1
    assert "1.81 of 2 spent" in page
    unknown = replace(PRIVACY, spent=0, fault="this node cannot reckon it")
    node.current = replace(node.current, privacy=unknown)
    page = operator.get("/").text
    assert page.count("Attention") == 1
    assert '<p lang="en">this node cannot reckon it</p>' in page
    assert "隐私预算" in operator.get("/?lang=zh-CN").text
    node.current = replace(node.current, privacy=None)
    assert "Privacy budget" not in operator.get("/?lang=en").text


def test_misconduct_is_on_the_first_page_and_makes_the_node_unready(
    node: SampleNode, operator: httpx.Client
) -> None:
    assert "Secure sums" not in operator.get("/").text
    node.current = replace(node.current, misconducts=2)
    node.reasons = [Unready.MISCONDUCT]
    page = operator.get("/").text
    for text in (
        "Secure sums",
        "2 incidents",
        "state/incidents, and move",
        "A party broke the rules of a horizontal run",
    ):
        assert text in page
    assert "某一方违反了横向训练的规则" in operator.get("/?lang=zh-CN").text
    assert operator.get("/readyz").status_code == 503
    assert operator.get("/readyz").json()["reasons"] == [Unready.MISCONDUCT]


def test_programs_read_the_same_figures(
    node: SampleNode, operator: httpx.Client
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    status = operator.get("/v1/status", headers=headers).json()
    assert status["pending"] == [
        {
            "run": RUN,
            "work_ms": 754_000,
            "sent_bytes": 1_340_000,
            "privacy": {"epsilon": 1.0453, "spent": 1.5321},
            "rows": 5000,
            "labelled": 6120,
        }
    ]
    assert status["privacy"] == {
        "rows": "loans of 2026",
        "allowed": 2.0,
        "delta": 1e-5,
        "spent": 1.0453,
        "fault": "",
        "left": pytest.approx(0.9547),
    }
    assert status["misconducts"] == 0
    node.current = replace(node.current, privacy=None)
    assert operator.get("/v1/status", headers=headers).json()["privacy"] is None
