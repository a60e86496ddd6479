"""``veilscore node form`` and ``veilscore hosted-score``: what they ask and write."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.protocol.hosted_cards import LINEAR, SCORECARD
from tests.unit.hosting.test_hosted_files import CARD
from tests.unit.web.command_desk import (
    CommandDesk,
    rows,
    running_node,
    write_folder,
)
from tests.unit.web.sample_node import SampleNode, request_id
from veilscore.keys import files
from veilscore.models.binning import CategoricalBins
from veilscore.models.hosted import Form, OneHot
from veilscore.node.errors import HolderRefusedError
from veilscore.node.hosting.form_file import decode, digest, encode


class Desk(CommandDesk):
    def score(self, text: str | bytes, *options: str, form: Form | None = None) -> int:
        """Score a file with this text; return the exit code."""
        path = self.folder / "applicants.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        form_file = self.folder / "form.json"
        form_file.write_bytes(encode(form or SCORECARD.form))
        return self.run(
            "hosted-score",
            *("--form", str(form_file), "--csv", str(path)),
            *("--out", str(self.out), "--consent", "FORM-17", *options),
        )

    def nothing_happened(self) -> bool:
        return not self.node.asked_hosted and not self.out.exists()


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


def test_scores_and_failures_stand_in_two_private_files_by_row(desk: Desk) -> None:
    text = "name,kind,income\na,farm,12\nb,shop,x1\nc,,\nd,boat,1e301\ne,shop,-1\n"
    assert desk.score(text) == 0
    assert rows(desk.out) == [
        ["row", "score", "request"],
        ["1", "500", request_id(1)],
        ["3", "499", request_id(1)],
        ["5", "498", request_id(1)],
    ]
    assert rows(desk.errors) == [
        ["row", "reason"],
        ["2", "income: a number is expected"],
        ["4", "income: a number is expected"],
    ]
    for path in (desk.out, desk.errors):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "3 scored, 2 failed" in desk.told
    ((form, asked, purpose),) = desk.node.asked_hosted
    assert (form, purpose) == (SCORECARD.form, "pre_loan")
    assert asked == [
        [0, 0, 1, 0, 0, 1, 0, 0],
        [1, 0, 0, 0, 1, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 1, 0],
    ]
    assert desk.node.consents == ["FORM-17"]


def test_a_number_outside_its_range_is_a_failure_and_a_fraction_a_score(
    desk: Desk,
) -> None:
    text = "age,debt,assets\n20,1.5,0\n17,0,0\n20,,0\n"
    assert desk.score(text, form=LINEAR.form) == 0
    assert rows(desk.out)[1:] == [["1", "0.5", request_id(1)]]
    assert rows(desk.errors)[1:] == [
        ["2", "age: the number is not from 18 to 100"],
        ["3", "debt: a value is missing"],
    ]


def test_a_file_is_asked_about_in_batches(desk: Desk) -> None:
    text = "income,kind\n" + "1,farm\n" * 25
    assert desk.score(text, "--batch", "10", "--purpose", "audit", "--json") == 0
    assert [len(asked) for _, asked, _ in desk.node.asked_hosted] == [10, 10, 5]
    assert {purpose for _, _, purpose in desk.node.asked_hosted} == {"audit"}
    ids = [request_id(number) for number in (1, 2, 3)]
    assert [(row[0], row[2]) for row in rows(desk.out)[1:]] == [
        (str(number), ids[(number - 1) // 10]) for number in range(1, 26)
    ]
    outcome = json.loads(desk.told)
    assert outcome["requests"] == ids
    assert (outcome["scored"], outcome["failed"]) == (25, 0)


def wide(levels: int) -> Form:
    """Return a form of which only a few slots of applicants fit a request."""
    kinds = tuple(f"level {number}" for number in range(levels))
    feature = OneHot("kind", CategoricalBins(kinds, pooled=False))
    return Form("bureau", "wide", (feature,), 128)


def test_a_batch_is_no_larger_than_a_request_can_hold(desk: Desk) -> None:
    """900 ciphertexts of 768 bytes fit once; 128 bits an applicant leave 23 slots."""
    form = wide(899)
    assert desk.score("kind\n" + "level 1\n" * 50, form=form) == 0
    assert [len(asked) for _, asked, _ in desk.node.asked_hosted] == [23, 23, 4]


def test_a_form_of_which_not_one_applicant_fits_is_refused(desk: Desk) -> None:
    toml = desk.folder / "node.toml"
    toml.write_text(toml.read_text().replace("[log]", "key_bits = 8192\n[log]"))
    assert desk.score("kind\nlevel 1\n", form=wide(899)) == 1
    assert "more than a request can hold" in desk.told
    assert desk.nothing_happened()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("income\n1\n", "column `kind`: no such column"),
        ("income,kind,kind\n1,farm,farm\n", "the column is there twice"),
        ("", "the file is empty"),
        (b"income,kind\n1,\xb2\xb9\n", "--encoding"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_before_anything_is_asked(
    desk: Desk, text: str | bytes, what: str
) -> None:
    assert desk.score(text) == 5
    assert "applicants.csv" in desk.told
    assert what in desk.told
    assert desk.nothing_happened()


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_asked(
    desk: Desk,
) -> None:
    desk.out.mkdir()
    assert desk.score("income,kind\n1,farm\n") == 2
    assert "--out" in desk.told
    assert not desk.node.asked_hosted


def test_no_score_at_all_is_no_success(desk: Desk) -> None:
    assert desk.score("income,kind\nx,farm\n") == 5
    assert "no row could be scored" in desk.told
    assert desk.score("income,kind\nx,farm\n", "--json") == 5
    assert json.loads(desk.told)["failed"] == 1
    assert not desk.node.asked_hosted


def test_a_refusal_leaves_no_file_and_keeps_who_refused(desk: Desk) -> None:
    desk.node.fault = HolderRefusedError(
        "the budget is used up", reason="budget-spent", party="bureau"
    )
    assert desk.score("income,kind\n1,farm\n") == 6
    assert "bureau: the budget is used up. Remedy: Ask" in desk.told
    assert desk.nothing_happened()


def test_what_is_no_form_is_named(desk: Desk) -> None:
    form = desk.folder / "none.json"
    form.write_text("{}")
    source = desk.folder / "applicants.csv"
    source.write_text("income,kind\n1,farm\n")
    words = ("--form", str(form), "--csv", str(source), "--out", str(desk.out))
    assert desk.run("hosted-score", *words, "--consent", "FORM-17") == 2
    assert "none.json" in desk.told
    assert desk.nothing_happened()


def test_a_holder_writes_its_form_and_hears_what_the_card_has(desk: Desk) -> None:
    card, out = desk.folder / "card.toml", desk.folder / "form.json"
    files.create(card, CARD.encode())
    assert desk.run("node", "form", str(card), "--out", str(out)) == 0
    form = decode(out.read_bytes())
    assert (form.holder, form.card, form.inputs) == ("bank", "farm", 9)
    assert "charged 13 bits an applicant, the card has 56" in desk.told
    assert digest(form).hex() in desk.told
    card.chmod(0o644)
    assert desk.run("node", "form", str(card), "--out", str(out)) == 2
    assert "chmod 600" in desk.told
