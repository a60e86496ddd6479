"""The pages in a real browser: policy, accessibility, languages, keyboard, no script.

Needs a Chromium of the distribution; skipped without one.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.unit.tlog.sample_log import Parties, SampleLog
from tests.unit.web.closed_site import closed_site
from tests.unit.web.sample_coordinator import (
    SampleCoordinator,
    fill_log,
    sample_coordinator_app,
)
from tests.unit.web.sample_node import (
    TOKEN,
    SampleNode,
    empty_status,
    horizontal_contract,
    sample_node_app,
)
from tests.unit.web.serving import serving
from veilscore.node.web.face import REFUSAL_REASONS, Unready
from veilscore.runtime.web.server import WebServer
from veilscore.v1.audit_pb2 import Event

MAX_PAGE_BYTES = 150_000
PENDING = "/runs/c1d2e3f4a5b60718293a4b5c6d7e8f90"
COORDINATOR_PATHS = ("/", "/?kind=step_done", "/?actor=nobody", "/parties", "/api")
TRANSLATED = "h1, h2, th[scope=col], dt, label, button, .state, summary"
NODE_PATHS = ("/", PENDING, "/api", "/login")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@dataclass
class Sites:
    node: SampleNode
    node_address: str
    coordinator_address: str
    events: list[int]

    @property
    def coordinator_pages(self) -> list[str]:
        paths = [*COORDINATOR_PATHS, *(f"/events/{at}" for at in self.events)]
        return [self.coordinator_address + path for path in paths]

    @property
    def node_pages(self) -> list[str]:
        return [self.node_address + path for path in NODE_PATHS]


@dataclass
class Watched:
    """A page, and everything it asked for or complained of."""

    page: Page
    language: str
    requests: list[Request] = field(default_factory=list[Request])
    finished: list[Request] = field(default_factory=list[Request])
    complaints: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.page.on("request", self._ask)
        self.page.on("requestfinished", self._finish)
        self.page.on("console", self._complain)
        self.page.on("pageerror", self._fail)

    def _ask(self, request: Request) -> None:
        self.requests.append(request)

    def _finish(self, request: Request) -> None:
        self.finished.append(request)

    def _complain(self, message: ConsoleMessage) -> None:
        self.complaints.append(message.text)

    def _fail(self, error: Error) -> None:
        self.complaints.append(error.message)

    def open(self, address: str) -> int:
        """Open a page and return how many bytes it and all it needs took."""
        self.requests.clear()
        self.finished.clear()
        self.page.goto(address, wait_until="load")
        return sum(request.sizes()["responseBodySize"] for request in self.finished)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("NO CHROMIUM FOUND: install the distribution's package `chromium`")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleLog]:
    log = SampleLog(tmp_path_factory.mktemp("log"), Parties.generate())
    fill_log(log)
    log.fill(20, "bank", "bureau")
    yield log
    log.store.close()


@pytest.fixture(scope="module")
def all_sites(log: SampleLog) -> Iterator[Sites]:
    node, coordinator = SampleNode(), SampleCoordinator(log)
    with ExitStack() as stack:
        node_address = stack.enter_context(serving(sample_node_app(node)))
        coordinator_address = stack.enter_context(
            serving(sample_coordinator_app(log, coordinator))
        )
        kinds = [field.name for field in Event.DESCRIPTOR.oneofs[0].fields]
        newest = [log.service.events(kind=kind, limit=1)[0].index for kind in kinds]
        yield Sites(node, node_address, coordinator_address, newest)


@pytest.fixture
def sites(all_sites: Sites) -> Sites:
    all_sites.node.reset()
    return all_sites


@pytest.fixture(params=[("zh-CN", "light"), ("en", "dark")])
def watched(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Watched]:
    language, scheme = request.param
    context = browser.new_context(locale=language, color_scheme=scheme)
    yield Watched(context.new_page(), language)
    context.close()


def sign_in(page: Page, sites: Sites) -> None:
    page.goto(f"{sites.node_address}/")
    page.locator("input[name=token]").fill(TOKEN)
    page.locator("main button").click()
    expect(page.locator("h1")).to_have_text("bank-yuzhong")


def accessibility_flaws(page: Page) -> list[str]:
    script = files("axe_playwright_python") / "axe.min.js"
    page.evaluate(script.read_text())
    found = page.evaluate(
        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})"
    )
    return [
        f"{page.url}: {flaw['id']}: {node['html']}"
        for flaw in found["violations"]
        for node in flaw["nodes"]
    ]


def check_pages(watched: Watched, addresses: list[str]) -> None:
    for address in addresses:
        size = watched.open(address)
        assert size < MAX_PAGE_BYTES, address
        hosts = {urlsplit(request.url).hostname for request in watched.requests}
        assert hosts == {"127.0.0.1"}
        assert watched.complaints == [], address
        assert watched.page.locator("html").get_attribute("lang") == watched.language
        assert accessibility_flaws(watched.page) == []


def test_every_page_of_the_coordinator(watched: Watched, sites: Sites) -> None:
    check_pages(watched, sites.coordinator_pages)


def test_every_page_of_the_node(watched: Watched, sites: Sites) -> None:
    sign_in(watched.page, sites)
    check_pages(watched, sites.node_pages)
    joint = replace(sites.node.current.pending[0], contract=horizontal_contract())
    sites.node.current = replace(sites.node.current, pending=(joint,))
    check_pages(watched, [f"{sites.node_address}/runs/{joint.contract.run}"])
    sites.node.current = empty_status()
    sites.node.reasons = list(Unready)
    check_pages(watched, [f"{sites.node_address}/"])


@pytest.mark.parametrize("party", ["", "gone", "auditor-1"])
def test_a_closed_log_in_a_browser(
    browser: Browser, log: SampleLog, party: str
) -> None:
    """The browser shows the certificate that was loaded into it."""
    language = "zh-CN"
    with closed_site(log) as closed:
        shown = closed.certifier.identity(party) if party else None
        context = browser.new_context(
            locale=language,
            ignore_https_errors=True,  # its authority is none that browsers know
            client_certificates=[
                {"origin": closed.address, "cert": shown.certificate, "key": shown.key}
            ]
            if shown
            else [],
        )
        watched = Watched(context.new_page(), language)
        if party == "auditor-1":
            check_pages(watched, [closed.address + path for path in COORDINATOR_PATHS])
            expect(watched.page.locator("h1")).to_be_visible()
        else:
            watched.open(closed.address)
            expect(watched.page.locator("h1")).to_have_text(
                "不允许此操作" if party else "请证明您的身份"
            )
            assert accessibility_flaws(watched.page) == []
        context.close()


def test_the_watch_sees_what_the_policy_forbids(browser: Browser, sites: Sites) -> None:
    context = browser.new_context(locale="en")
    watched = Watched(context.new_page(), "en")
    watched.open(sites.coordinator_address)
    watched.page.evaluate(
        """() => {
          document.body.insertAdjacentHTML("beforeend",
            "<p style='color: red' onclick='x()'>x</p><img src='http://192.0.2.1/x'>");
          return fetch("http://192.0.2.1/y").catch(() => 0);
        }"""
    )
    said = " ".join(watched.complaints)
    for directive in ("style-src", "img-src", "connect-src"):
        assert directive in said
    assert accessibility_flaws(watched.page)  # an image without a text
    context.close()


def test_no_chinese_page_shows_an_english_label(browser: Browser, sites: Sites) -> None:
    """Names, codes and sentences of faults stay; every other text is Chinese."""
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()
    sign_in(page, sites)
    labels: list[str] = []
    for address in [*sites.node_pages, *sites.coordinator_pages]:
        page.goto(address)
        labels += page.locator(TRANSLATED).all_inner_texts()
    names = {"Veilscore", "bank-yuzhong"}
    english = {
        label
        for label in labels
        if label.strip() not in names
        and not any("\u4e00" <= symbol <= "\u9fff" for symbol in label)
        and not label.startswith(("GET", "POST", "DELETE"))
    }
    assert english == set()
    context.close()


def test_everything_works_without_scripts(browser: Browser, sites: Sites) -> None:
    context = browser.new_context(locale="en", java_script_enabled=False)
    page = context.new_page()
    sign_in(page, sites)
    expect(page.locator("progress")).to_be_visible()
    page.get_by_role("link", name="Review and decide").click()
    page.get_by_label("Reason").select_option(REFUSAL_REASONS[2])
    page.get_by_role("button", name="Refuse the run").click()
    expect(page.locator("h1")).to_have_text("bank-yuzhong")
    run = PENDING.removeprefix("/runs/")
    assert sites.node.decisions == [("refuse", run, REFUSAL_REASONS[2])]
    page.get_by_role("link", name="中文").click()
    expect(page.get_by_role("button", name="退出登录")).to_be_visible()
    page.get_by_role("button", name="退出登录").click()
    expect(page.locator("h1")).to_have_text("登录")

    page.goto(f"{sites.coordinator_address}/?lang=en")
    page.get_by_role("combobox", name="Event").select_option("run_opened")
    page.get_by_role("button", name="Filter").click()
    page.locator("tbody a").first.click()
    expect(page.get_by_text("Verified", exact=True)).to_be_visible()
    page.get_by_text("hashes on the way").click()
    expect(page.locator(".path li").first).to_be_visible()
    context.close()


def test_a_run_is_approved_with_the_keyboard_alone(
    browser: Browser, sites: Sites
) -> None:
    context = browser.new_context(locale="en")
    page = context.new_page()

    def reach(selector: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.locator(f"{selector}:focus").count():
                return
        raise AssertionError(selector)

    page.goto(f"{sites.node_address}/")
    reach("input[name=token]")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-live]")
    reach(f"a[href='{PENDING}']")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{PENDING}")
    reach("input[name=compared]")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{sites.node_address}/")
    assert sites.node.decisions == [("approve", PENDING.removeprefix("/runs/"))]
    context.close()


def test_an_approval_without_comparing_is_not_sent(
    browser: Browser, sites: Sites
) -> None:
    context = browser.new_context(locale="en")
    page = context.new_page()
    sign_in(page, sites)
    page.goto(sites.node_address + PENDING)
    page.get_by_role("button", name="Approve the run").click()
    assert page.url.endswith(PENDING)
    assert sites.node.decisions == []
    context.close()


def test_an_open_page_follows_the_node_and_says_when_it_cannot(
    browser: Browser,
) -> None:
    node = SampleNode()
    server = WebServer(sample_node_app(node), "127.0.0.1", 0)
    address = server.start()
    context = browser.new_context(locale="en")
    page = context.new_page()
    sign_in(page, Sites(node, address, "", []))
    run = node.current.run
    assert run
    node.current = replace(node.current, run=replace(run, fraction=0.77))
    expect(page.locator("[data-show=percent]")).to_have_text("77%", timeout=8000)
    assert page.locator("progress").get_attribute("value") == "0.77"
    node.current = replace(node.current, run=None)
    expect(page.locator("progress")).to_have_count(0, timeout=8000)
    server.stop()
    expect(page.locator("[data-lost]")).to_be_visible(timeout=8000)
    context.close()


def test_a_form_of_another_site_is_refused(
    browser: Browser, sites: Sites, tmp_path: Path
) -> None:
    context = browser.new_context(locale="en")
    page = context.new_page()
    sign_in(page, sites)
    foreign = tmp_path / "attack.html"
    foreign.write_text(
        f'<form method="post" action="{sites.node_address}{PENDING}">'
        '<input name="decision" value="approve"><input name="compared" value="yes">'
        "<button>x</button></form>"
    )
    page.goto(foreign.as_uri())
    page.get_by_role("button").click()
    expect(page.locator("h1")).to_have_text("This is not allowed")
    assert sites.node.decisions == []
    context.close()
