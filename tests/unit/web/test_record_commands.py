"""Commands about records: what they ask of the running node, and what they tell."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.web.command_desk import CommandDesk, running_node, write_folder
from tests.unit.web.sample_node import FIRMS, SampleNode
from tests.unit.web.sample_records import REQUEST
from veilscore.node.errors import ConsentError, NoOpeningError

FIRM = f"U:{FIRMS[0]}"


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[SampleNode, str]]:
    with running_node() as site:
        yield site


@pytest.fixture
def desk(
    site: tuple[SampleNode, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> CommandDesk:
    node, address = site
    write_folder(tmp_path, address)
    return CommandDesk(tmp_path, node, capsys)


def test_an_opening_is_written_for_its_owner_only(desk: CommandDesk) -> None:
    out = desk.folder / "opening.json"
    entity = ("--entity", FIRMS[0].lower())
    assert desk.run("node", "disclose", REQUEST, *entity, "--out", str(out)) == 0
    assert desk.node.kept.calls == [("disclose", REQUEST, FIRM, 0)]
    assert out.read_bytes() == b"{}\n"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert desk.run("node", "disclose", REQUEST, "--out", str(out)) == 2  # is there


def test_a_row_is_named_by_its_number(desk: CommandDesk) -> None:
    out = str(desk.folder / "opening.json")
    assert desk.run("node", "disclose", REQUEST, "--row", "2", "--out", out) == 0
    assert desk.node.kept.calls == [("disclose", REQUEST, "", 2)]


def test_who_asked_is_listed(desk: CommandDesk) -> None:
    assert desk.run("node", "asked-about", "firm 17", "--type", "opaque") == 0
    for word in ("2026-09-21", "bank", "pre_loan", "FORM-17", "answered", REQUEST):
        assert word in desk.told
    assert desk.run("node", "asked-about", "firm 17", "--type", "opaque", "--json") == 0
    assert json.loads(desk.told)[0]["request"] == REQUEST
    assert desk.node.kept.calls == [("asked about", "X:firm 17")] * 2


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("--entity", FIRMS[0]), (FIRM, "", 0.0)),
        (("--request", REQUEST), ("", REQUEST, 0.0)),
        (("--before", "2026-01-01"), ("", "", 1_767_225_600.0)),
    ],
)
def test_one_thing_is_erased(
    desk: CommandDesk, words: tuple[str, ...], asked: tuple[object, ...]
) -> None:
    assert desk.run("node", "erase", *words) == 0
    assert desk.node.kept.calls == [("erase", *asked)]
    assert "3 openings erased" in desk.told


def test_nothing_is_erased_of_two_or_none(desk: CommandDesk) -> None:
    assert desk.run("node", "erase") == 2
    assert desk.run("node", "erase", "--request", REQUEST, "--entity", "x") == 2
    assert desk.node.kept.calls == []


def test_a_consent_is_registered_listed_and_withdrawn(desk: CommandDesk) -> None:
    document = desk.folder / "form.pdf"
    document.write_bytes(b"signed")
    words = ("--entity", FIRMS[0], "--purpose", "pre_loan", "--purpose", "in_loan")
    until = ("--until", "2027-01-01", "--document", str(document))
    assert desk.run("node", "consent", "register", "FORM-17", *words, *until) == 0
    assert "event 9" in desk.told
    end = 1_798_761_600 + 86_400 - 1  # the last second of that day
    assert desk.node.kept.calls == [
        ("register", "FORM-17", FIRM, ("pre_loan", "in_loan"), end, b"signed")
    ]
    assert desk.run("node", "consent", "withdraw", "FORM-17", *words[:2]) == 0
    assert desk.node.kept.calls[1:] == [("withdraw", "FORM-17", FIRM)]
    assert desk.run("node", "consent", "list") == 0
    assert "FORM-17  X:firm  pre_loan" in desk.told
    assert "valid" in desk.told


def test_what_is_wrong_is_told_without_the_id(desk: CommandDesk) -> None:
    assert desk.run("node", "asked-about", "not a code") == 2
    assert "not a code" not in desk.told
    desk.node.fault = NoOpeningError("of this request nothing is kept here")
    out = str(desk.folder / "opening.json")
    assert desk.run("node", "disclose", REQUEST, "--out", out) == 1
    assert "nothing is kept here" in desk.told


def test_a_refused_consent_ends_a_score_command(desk: CommandDesk) -> None:
    desk.node.fault = ConsentError("the consent was withdrawn", place="entity 1")
    path = desk.folder / "borrowers.csv"
    path.write_text(f"id\n{FIRMS[0]}\n")
    words = ("--csv", str(path), "--out", str(desk.out), "--consent", "FORM-17")
    assert desk.run("score", *words, "--type", "uscc") == 6
    assert "the consent was withdrawn" in desk.told
