"""The node's pages: what its operator sees and decides."""

import html
import re
from dataclasses import replace

import httpx
import pytest

from tests.unit.web.sample_node import (
    NOW_MS,
    RUN,
    TOKEN,
    SampleNode,
    disagreeing,
    empty_status,
)
from veilscore.node.web.face import (
    REFUSAL_REASONS,
    Reconciled,
    RunFailure,
    Unready,
)

PENDING = "c1d2e3f4a5b60718293a4b5c6d7e8f90"
FAILURE = RunFailure(
    run=RUN,
    step="polish-2",
    what="did not send <counts> within 900 s",
    party="market-office",
    place="loans.csv, column income",
    remedy="Look at that node's status page.",
    at_ms=NOW_MS - 60_000,
)


@pytest.fixture
def operator(node_client: httpx.Client) -> httpx.Client:
    origin = str(node_client.base_url).rstrip("/")
    node_client.headers["Origin"] = origin
    node_client.post("/login", data={"token": TOKEN})
    node_client.get("/?lang=en")
    return node_client


def found_in(page: str, pattern: str) -> str:
    found = re.search(pattern, page)
    assert found, pattern
    return html.unescape(found[1])


def decide(client: httpx.Client, **form: str) -> httpx.Response:
    page = client.get(f"/runs/{PENDING}").text
    csrf = found_in(page, r'name="csrf" value="([^"]+)"')
    return client.post(f"/runs/{PENDING}", data={"csrf": csrf, **form})


def test_the_first_page_shows_the_node_in_order(operator: httpx.Client) -> None:
    page = operator.get("/").text
    for text in (
        "bank-yuzhong",
        ">Ready<",
        "128,450 rows",
        "61 days",
        "for 3 hours",
        "0.7769",
        '<td class="number">0.5538</td>',  # Gini
        '<td class="number">0.1371</td>',  # Brier
        "calibration: slope 1.0415, intercept -0.0312",
        "Only the label holder can judge a model",
        "Only a member with goods and bads among its rows can judge a model",
        "42%",
        "Polish 2",
        '<td class="number">4711</td>',
        "to be sent",
        f'href="/runs/{PENDING}"',
        "Agrees with this node&#39;s own",
        "4,712 entries",
    ):
        assert text in page
    assert page.count('class="done"') == 3
    assert 'aria-current="step">Moments<' in page
    assert "Attention" not in page


def test_the_first_page_shows_what_requesters_got_of_hosted_cards(
    node: SampleNode, operator: httpx.Client
) -> None:
    page = operator.get("/").text
    assert page.count("<td>farm-credit</td>") == 2
    for figure in ("48,012", "60,000", "2,431"):
        assert f'<td class="number">{figure}' in page
    # Only the one that was charged as many bits as the card has.
    assert page.count(">may be known<") == 1
    assert "已用比特" in operator.get("/?lang=zh-CN").text
    node.current = replace(node.current, hosted=())
    assert "Hosted cards" not in operator.get("/?lang=en").text


def test_the_first_page_shows_what_is_wrong_and_what_to_do(
    node: SampleNode, operator: httpx.Client
) -> None:
    node.current = empty_status()
    node.reasons = [Unready.NOT_CONNECTED, Unready.LOG_WAITS]
    page = operator.get("/").text
    assert page.count('class="state bad"') == 5
    for text in (
        Unready.NOT_CONNECTED,
        "for 1 minute",
        '<p lang="en">the certificate has expired</p>',
        "Renew it to connect again",
        "Name one in the node&#39;s configuration",
        "No model yet.",
        "Nothing yet.",
    ):
        assert text in page
    chinese = operator.get("/?lang=zh-CN").text
    assert "节点未连接到协调方" in chinese
    assert "尚无模型" in chinese


def test_the_first_page_shows_where_the_log_and_the_own_do_not_agree(
    node: SampleNode, operator: httpx.Client
) -> None:
    node.current = replace(node.current, reconciled=disagreeing())
    page = operator.get("/").text
    assert page.count("Attention") == 1
    for text in (
        "2 differences",
        "No decision",
        "agri-bureau did not decide",
        ">4650<",
    ):
        assert text in page
    found = replace(disagreeing(), incidents=1, fault="the hub does not answer")
    node.current = replace(node.current, reconciled=found)
    node.reasons = [Unready.LOG_CONTRADICTED]
    page = operator.get("/").text
    for text in ("1 incident<", "state/incidents, and move", "the hub does not answer"):
        assert text in page
    chinese = operator.get("/?lang=zh-CN").text
    assert "审计日志与本节点所掌握的情况相矛盾" in chinese
    assert "1 起异常" in chinese
    assert "分叉" in chinese
    node.current = replace(node.current, reconciled=Reconciled())
    assert "Not compared yet" in operator.get("/?lang=en").text


def test_the_first_page_says_why_the_last_run_stopped(
    node: SampleNode, operator: httpx.Client
) -> None:
    assert "The last training run stopped" not in operator.get("/").text
    node.current = replace(node.current, run=None, failure=FAILURE)
    page = operator.get("/").text
    assert "The last training run stopped" in page
    shown = page.partition("The last training run stopped")[2].partition("</section>")[
        0
    ]
    for text in (
        f'title="{RUN}"',
        '<p class="notice bad" lang="en">did not send &lt;counts&gt; within 900 s</p>',
        "<dd>Polish 2</dd>",
        "<dd>market-office</dd>",
        "<dd>loans.csv, column income</dd>",
        '<dd lang="en">Look at that node&#39;s status page.</dd>',
        "<time datetime=",
    ):
        assert text in shown
    node.current = replace(
        node.current, failure=replace(FAILURE, party="", place="", remedy="")
    )
    bare = operator.get("/").text
    assert "What to do" not in bare
    assert "Place" not in bare
    chinese = operator.get("/?lang=zh-CN").text
    assert "最近一次训练任务已中止" in chinese


def test_an_open_page_is_renewed_when_more_than_progress_changes(
    node: SampleNode, operator: httpx.Client
) -> None:
    shown = found_in(operator.get("/").text, r'data-page="(\w+)"')
    news = operator.get("/live").json()
    assert news == {"page": shown, "show": {"fraction": 0.42, "percent": "42%"}}
    run = node.current.run
    assert run
    node.current = replace(node.current, run=replace(run, fraction=0.5))
    later = operator.get("/live").json()
    assert later == {"page": shown, "show": {"fraction": 0.5, "percent": "50%"}}
    changes = (
        replace(node.current, run=replace(run, step="cross")),
        replace(node.current, run=None),
        replace(node.current, pending=()),
        replace(node.current, supernode_online=False),
        replace(node.current, events=node.current.events[:2]),
        replace(node.current, run=None, failure=FAILURE),
    )
    for changed in changes:
        node.current = changed
        assert operator.get("/live").json()["page"] != shown


def test_a_run_is_shown_with_everything_that_is_decided_about(
    node: SampleNode, operator: httpx.Client
) -> None:
    page = operator.get(f"/runs/{PENDING}").text
    pending = node.current.pending[0]
    for entry in pending.contract.roster:
        fingerprint = entry.fingerprint.hex()
        assert entry.party in page
        assert f"{fingerprint[:32]}<wbr>{fingerprint[32:]}" in page
    assert pending.digest.hex() in page
    assert "all, the whole union" in page
    assert "2 polish steps show the label holder a noisy joint predictor" in page
    assert "Feature holders learn the good and bad counts" in page
    assert "About 13 minutes of computing, and about 1.3 GB to send." in page


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (0, "0.1 MB"),
        (52_340_000, "52.3 MB"),
        (999_999_999, "1,000 MB"),
        (123_400_000_000, "123.4 GB"),
    ],
)
def test_what_a_run_sends_is_in_a_unit_that_can_be_read(
    node: SampleNode, operator: httpx.Client, sent: int, said: str
) -> None:
    pending = replace(node.current.pending[0], sent_bytes=sent)
    node.current = replace(node.current, pending=(pending,))
    assert f"about {said} to send" in operator.get(f"/runs/{PENDING}").text
    chinese = operator.get(f"/runs/{PENDING}", params={"lang": "zh-CN"}).text
    assert f"\u7ea6\u9700\u53d1\u9001 {said}" in chinese


def test_a_feature_holder_is_warned_of_what_it_gives_away(
    node: SampleNode, operator: httpx.Client
) -> None:
    node.current = replace(node.current, party="market-office")
    node.current.pending[0].contract.exact = True
    node.current.pending[0].contract.allow_two_party = True
    page = operator.get(f"/runs/{PENDING}").text
    assert "bank-yuzhong learns the exact good and bad counts of every bin" in page
    assert "carry noise" not in page  # counts do so for feature holders only
    assert "rows of the run are disclosed to the label holder" in page
    assert "everything joint is its own by subtraction" in page


def test_a_run_is_approved_once_the_fingerprints_were_compared(
    node: SampleNode, operator: httpx.Client
) -> None:
    assert decide(operator, decision="approve").status_code == 422
    assert node.decisions == []
    answer = decide(operator, decision="approve", compared="yes")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert node.decisions == [("approve", PENDING)]
    assert "waits for your decision" not in operator.get("/").text
    assert operator.get(f"/runs/{PENDING}").status_code == 404


@pytest.mark.parametrize("reason", REFUSAL_REASONS)
def test_a_run_is_refused_for_a_reason_that_may_be_public(
    node: SampleNode, operator: httpx.Client, reason: str
) -> None:
    page = operator.get(f"/runs/{PENDING}").text
    assert f'<option value="{reason}">' in page
    assert decide(operator, decision="refuse", reason=reason).status_code == 303
    assert node.decisions == [("refuse", PENDING, reason)]


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"decision": "refuse"},
        {"decision": "refuse", "reason": ""},
        {"decision": "refuse", "reason": "Zhang San of Dazu county is a bad debtor"},
        {"decision": "postpone", "compared": "yes"},
    ],
)
def test_an_incomplete_decision_is_none(
    node: SampleNode, operator: httpx.Client, form: dict[str, str]
) -> None:
    answer = decide(operator, **form)
    assert answer.status_code == 422
    assert "remedy" in answer.json()
    assert node.decisions == []


def test_only_a_pending_run_is_decided_about(
    node: SampleNode, operator: httpx.Client
) -> None:
    csrf = found_in(operator.get("/").text, r'name="csrf" value="([^"]+)"')
    form = {"csrf": csrf, "decision": "approve", "compared": "yes"}
    assert operator.post(f"/runs/{RUN}", data=form).status_code == 404
    assert node.decisions == []


def test_what_the_node_says_of_others_is_escaped(
    node: SampleNode, operator: httpx.Client
) -> None:
    attack = '<script>alert("x")</script>'
    node.current = replace(
        node.current,
        link=replace(node.current.link, connected=False, detail=attack),
        events=tuple(replace(e, correlation=attack) for e in node.current.events),
    )
    page = operator.get("/").text
    assert attack not in page
    assert html.escape(attack).replace("&quot;", "&#34;") in page
