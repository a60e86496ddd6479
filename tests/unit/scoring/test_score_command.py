"""``veilscore score``: what it asks of the running node, and what it writes."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.web.command_desk import (
    CommandDesk,
    rows,
    running_node,
    write_folder,
)
from tests.unit.web.sample_node import FIRMS, SampleNode, request_id
from veilscore.keys.entity_ids import EntityKind
from veilscore.node.errors import HolderRefusedError

LONG = "x" * 201


class Desk(CommandDesk):
    def score(self, borrowers: str | bytes, *options: str) -> int:
        """Score a file with this text; return the exit code."""
        path = self.folder / "borrowers.csv"
        data = borrowers.encode() if isinstance(borrowers, str) else borrowers
        path.write_bytes(data)
        arguments = ["--csv", str(path), "--out", str(self.out), "--consent", "FORM-17"]
        return self.run("score", *arguments, *options)

    def nothing_happened(self) -> bool:
        return not self.node.asked and not self.out.exists()


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[SampleNode, str]]:
    with running_node() as site:
        yield site


@pytest.fixture
def desk(
    site: tuple[SampleNode, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Desk:
    node, address = site
    write_folder(tmp_path, address)
    return Desk(tmp_path, node, capsys)


def test_scores_and_failures_stand_in_two_private_files(desk: Desk) -> None:
    text = "\n".join(["id", FIRMS[0], "4711", FIRMS[1], f" {FIRMS[0].lower()}", ""])
    assert desk.score(text, "--type", "uscc") == 0
    assert rows(desk.out) == [
        ["id", "score", "probability_of_default", "request"],
        [FIRMS[0], "612", "0.031", request_id(1)],
        [FIRMS[1], "611", "0.041", request_id(1)],
    ]
    assert rows(desk.errors) == [
        ["row", "reason", "request"],
        ["2", "a credit code has 18 characters, this one 4", ""],
        ["4", "the same entity stands in row 1", ""],
    ]
    for path in (desk.out, desk.errors):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "2 scored, 2 failed" in desk.told
    assert desk.node.consents == ["FORM-17"]


def test_what_the_model_does_not_score_stands_among_the_failures(desk: Desk) -> None:
    desk.node.unscored = {"a-2"}
    assert desk.score("id\na-1\na-2\na-3\n a-3\n", "--type", "opaque") == 0
    assert [row[0] for row in rows(desk.out)] == ["id", "a-1", "a-3"]
    assert rows(desk.errors) == [
        ["row", "reason", "request"],
        ["2", "a data holder of the model does not know the entity", request_id(1)],
        ["4", "the same entity stands in row 3", ""],
    ]


def test_a_column_says_the_type_row_by_row(desk: Desk) -> None:
    text = f"kind,name\nuscc,{FIRMS[0]}\ntax,1\nopaque,{LONG}\n opaque ,a-1\n"
    assert desk.score(text, "--type-column", "kind", "--id-column", "name") == 0
    asked, _, purpose = desk.node.asked[0]
    assert asked == [(EntityKind.USCC, FIRMS[0]), (EntityKind.OPAQUE, "a-1")]
    assert purpose == "pre_loan"
    reasons = {row: reason for row, reason, _ in rows(desk.errors)[1:]}
    assert reasons.keys() == {"2", "3"}
    assert "'tax' is no type of id" in reasons["2"]
    assert "over 200 characters" in reasons["3"]


def test_a_file_is_asked_about_in_batches_of_one_model(desk: Desk) -> None:
    text = "id\n" + "".join(f"a-{number}\n" for number in range(5))
    assert desk.score(text, "--type", "opaque", "--batch", "2", "--json") == 0
    assert [len(asked) for asked, _, _ in desk.node.asked] == [2, 2, 1]
    first, *others = [model for _, model, _ in desk.node.asked]
    told = json.loads(desk.told)
    assert told.pop("at_home") is False
    assert first is None
    assert {model.hex() for model in others if model} == {told.pop("model")}
    ids = [request_id(number) for number in (1, 2, 3)]
    assert [row[3] for row in rows(desk.out)[1:]] == [ids[at // 2] for at in range(5)]
    assert told == {
        "scored": 5,
        "failed": 0,
        "errors": str(desk.errors),
        "requests": ids,
    }


def test_a_terminal_shows_how_many_entities_were_asked_about(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "id\n" + "".join(f"a-{number}\n" for number in range(5))
    options = ("--type", "opaque", "--batch", "2")
    assert desk.score(text, *options) == 0
    assert "Asking" not in desk.told
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes a stream for a terminal
    assert desk.score(text, *options) == 0
    assert "Asking for scores" in desk.told
    assert "5/5" in desk.told
    assert desk.score(text, *options, "--json") == 0
    assert json.loads(desk.told)["scored"] == 5


def test_a_file_in_gb18030_is_read_if_that_is_said(desk: Desk) -> None:
    text = "编号\n甲-1\n".encode("gb18030")
    options = ("--type", "opaque", "--id-column", "编号")
    assert desk.score(text, *options) == 5
    assert "--encoding" in desk.told
    assert desk.nothing_happened()
    assert desk.score(text, *options, "--encoding", "gb18030") == 0
    assert desk.node.asked[0][0] == [(EntityKind.OPAQUE, "甲-1")]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"id,kind\n{FIRMS[0]},uscc\n{FIRMS[1]}\n", "data row 2: the row has 1 cells"),
        ("id,kind\n" + "x" * 200_000 + ",opaque\n", "field larger than field limit"),
        ('id,kind\n"a"b,opaque\n', "after data row 0 is not CSV"),
        ("name,kind\na,opaque\n", "`id`: no such column. Remedy: Name another by --id"),
        ("id,id,kind\na,b,opaque\n", "the column is there twice"),
        ("", "the file is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_before_anything_is_asked(
    desk: Desk, text: str, what: str
) -> None:
    assert desk.score(text, "--type-column", "kind") == 5
    assert "borrowers.csv" in desk.told
    assert what in desk.told
    assert "Remedy:" in desk.told
    assert desk.nothing_happened()


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_asked(
    desk: Desk,
) -> None:
    source = desk.folder / "scores.errors.csv"
    source.write_text(f"id\n{FIRMS[0]}\n")
    for out in (source, desk.out, desk.folder, desk.folder / "missing" / "s.csv"):
        arguments = ("--csv", str(source), "--out", str(out), "--consent", "FORM-17")
        assert desk.run("score", *arguments, "--type", "uscc") == 2
        assert "--out" in desk.told
    assert desk.nothing_happened()
    assert source.read_text() == f"id\n{FIRMS[0]}\n"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--type", "uscc", "--type-column", "kind"),
        ("--type", "tax"),
        ("--type", "uscc", "--purpose", "curiosity"),
        ("--type", "uscc", "--model", "zz"),
        ("--type", "uscc", "--model", "ab"),
        ("--type", "uscc", "--batch", "1001"),
        ("--type", "uscc", "--encoding", "latin-1"),
    ],
)
def test_wrong_options_are_refused(desk: Desk, options: tuple[str, ...]) -> None:
    assert desk.score(f"id\n{FIRMS[0]}\n", *options) == 2
    assert desk.nothing_happened()


def test_a_consent_must_be_named(desk: Desk) -> None:
    source = desk.folder / "borrowers.csv"
    source.write_text(f"id\n{FIRMS[0]}\n")
    arguments = ("--csv", str(source), "--out", str(desk.out), "--type", "uscc")
    assert desk.run("score", *arguments) == 2
    assert "--consent" in desk.told
    assert desk.run("score", *arguments, "--consent", "") == 2
    assert "/consent" in desk.told
    assert desk.nothing_happened()


def test_no_score_at_all_is_no_success(desk: Desk) -> None:
    assert desk.score("id\n4711\n", "--type", "uscc") == 5
    assert "no row could be scored" in desk.told
    assert len(rows(desk.errors)) == 2
    assert desk.score("id\n4711\n", "--type", "uscc", "--json") == 5
    assert json.loads(desk.told)["failed"] == 1
    assert not desk.node.asked


def test_a_refusal_leaves_no_file_and_keeps_who_refused(desk: Desk) -> None:
    desk.node.fault = HolderRefusedError(
        "the purpose is not allowed", reason="purpose-not-allowed", party="regulator"
    )
    assert desk.score(f"id\n{FIRMS[0]}\n", "--type", "uscc") == 6
    assert "regulator: the purpose is not allowed. Remedy: Ask" in desk.told
    assert desk.nothing_happened()
    assert sorted(path.name for path in desk.folder.iterdir()) == [
        "borrowers.csv",
        "node.toml",
        "web.token",
    ]


def test_a_holder_is_chosen_for_every_batch_or_for_none(desk: Desk) -> None:
    text = "id\na-1\na-2\na-3\n"
    options = ("--type", "opaque", "--batch", "2")
    assert desk.score(text, *options, "--holder", "bank-fuling") == 0
    assert desk.node.holders == ["bank-fuling"] * 2
    assert desk.score(text, *options) == 0
    assert desk.node.holders[2:] == [None, None]
    assert "nobody was asked" not in desk.told


def test_what_was_scored_at_home_says_so_and_names_no_request(desk: Desk) -> None:
    desk.node.at_home = True
    text = "id\na-1\na-2\n"
    assert desk.score(text, "--type", "opaque") == 0
    assert rows(desk.out)[1:] == [
        ["a-1", "612", "0.031", ""],
        ["a-2", "611", "0.041", ""],
    ]
    assert "2 scored, 0 failed" in desk.told
    assert "Scored here, by this node's own card; nobody was asked." in desk.told
    assert desk.score(text, "--type", "opaque", "--json") == 0
    told = json.loads(desk.told)
    assert told["at_home"] is True
    assert told["requests"] == []
