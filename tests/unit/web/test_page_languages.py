"""Both languages are complete, and the reader gets the right one."""

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tlog.sample_log import SampleLog
from tests.unit.web.messages import (
    COORDINATOR,
    NODE,
    SHELL,
    interface_texts,
    translated_texts,
    written_texts,
)
from tests.unit.web.sample_coordinator import SampleCoordinator, sample_coordinator_app
from tests.unit.web.sample_node import (
    SampleNode,
    contract,
    horizontal_contract,
    sample_node_app,
)
from veilscore.keys.registry import Role
from veilscore.models.horizontal.run import OPTIMIZERS, OWN
from veilscore.models.steps import steps
from veilscore.runtime.web.language import choose_language, load_languages
from veilscore.runtime.web.words import word_of
from veilscore.v1.audit_pb2 import Event
from veilscore.v1.score_pb2 import CardEntry, ModelManifest
from veilscore.v1.training_pb2 import (
    HorizontalPrivacy,
    HorizontalTerms,
    JointColumn,
    RosterEntry,
    RunContract,
)

TAGS = ("zh-CN", "en")


def test_every_text_of_the_shell_is_translated_and_no_other() -> None:
    assert translated_texts(SHELL) == written_texts(SHELL)


def test_every_text_of_the_node_is_translated_and_no_other() -> None:
    needed = written_texts(NODE) | interface_texts(sample_node_app(SampleNode()))
    ours = translated_texts(NODE)
    assert needed - ours <= translated_texts(SHELL)
    assert ours <= needed


def test_every_text_of_the_coordinator_is_translated_and_no_other(
    log: SampleLog,
) -> None:
    app = sample_coordinator_app(log, SampleCoordinator(log))
    needed = written_texts(COORDINATOR) | interface_texts(app)
    ours = translated_texts(COORDINATOR)
    assert needed - ours <= translated_texts(SHELL)
    assert ours <= needed


@pytest.mark.parametrize("folder", [SHELL, NODE, COORDINATOR])
def test_a_translation_keeps_every_placeholder(folder: Path) -> None:
    chinese = load_languages([folder / "zh_CN.po"])["zh-CN"].translations
    values = (
        dict.fromkeys(
            ("count", "epsilon", "hash", "holder", "least", "members", "noise"), "1.5"
        )
        | dict.fromkeys(
            ("others", "rows", "run", "size", "time", "version", "zone"), "1.5"
        )
        | dict.fromkeys(
            ("allowed", "cost", "delta", "labelled", "left", "spent"), "1.5"
        )
    )
    for text in translated_texts(folder):
        if isinstance(text, str):
            english, translated = text, chinese.gettext(text)
        else:
            english, translated = text[1], chinese.ngettext(text[0], text[1], 2)
        assert english.count("%(") == translated.count("%(")
        if "%(" in english:
            assert "1.5" in translated % values


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (128_450, "128,450"),
        (9.8332, "9.833"),
        (0.05, "0.05"),
        (1e-5, "0.00001"),
        (0, "0"),
    ],
)
def test_a_small_number_is_not_written_as_nothing(value: float, written: str) -> None:
    for language in load_languages([SHELL / "zh_CN.po"]).values():
        assert language.number(value) == written


def test_every_name_on_the_wire_has_a_word() -> None:
    details = Event.DESCRIPTOR.oneofs_by_name["detail"].fields
    messages = [
        Event.DESCRIPTOR,
        *(field.message_type for field in details),
        RunContract.DESCRIPTOR,
        HorizontalTerms.DESCRIPTOR,
        HorizontalPrivacy.DESCRIPTOR,
        JointColumn.DESCRIPTOR,
        RosterEntry.DESCRIPTOR,
        ModelManifest.DESCRIPTOR,
        CardEntry.DESCRIPTOR,
    ]
    names = {field.name for message in messages if message for field in message.fields}
    for run in (contract(), horizontal_contract()):
        names |= {step.partition("-")[0] for step in steps(run)}
    names |= {*OPTIMIZERS, *OWN}
    names |= set(Role)
    assert [name for name in sorted(names) if word_of(name) == name] == []


@pytest.mark.parametrize(
    ("asked", "accept", "expected"),
    [
        ([], "", "zh-CN"),
        ([], "fr-FR,fr;q=0.9", "zh-CN"),
        ([], "en-GB,en;q=0.9", "en"),
        ([], "zh-TW,en;q=0.9", "zh-CN"),
        ([], "en;q=0.2, zh-Hans-CN;q=0.9", "zh-CN"),
        ([], "en;q=0", "zh-CN"),
        ([], "*", "zh-CN"),
        (["en"], "zh-CN", "en"),
        (["xx", "en"], "zh-CN", "en"),
    ],
)
def test_a_choice_counts_before_the_browser_and_chinese_is_the_default(
    asked: list[str], accept: str, expected: str
) -> None:
    assert choose_language(asked, accept, TAGS) == expected


@given(st.lists(st.text(), max_size=2), st.text())
def test_any_header_gives_a_language(asked: list[str], accept: str) -> None:
    assert choose_language(asked, accept, TAGS) in TAGS


def test_a_choice_in_the_address_is_remembered(
    coordinator_client: httpx.Client,
) -> None:
    assert '<html lang="zh-CN">' in coordinator_client.get("/").text
    english = coordinator_client.get("/parties?lang=en")
    assert '<html lang="en">' in english.text
    assert "SameSite=lax" in english.headers["set-cookie"]
    assert "Audit log" in coordinator_client.get("/").text
    coordinator_client.get("/?lang=zh-CN")
    assert "审计日志" in coordinator_client.get("/").text


def test_the_switch_keeps_what_the_reader_looked_for(
    coordinator_client: httpx.Client,
) -> None:
    page = coordinator_client.get("/?actor=bank&kind=step_done").text
    assert 'href="/?actor=bank&amp;kind=step_done&amp;lang=en"' in page
