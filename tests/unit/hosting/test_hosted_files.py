"""The files of hosted scores: forms, cards, and which cards a node hosts."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.protocol.hosted_cards import LINEAR, SCORECARD
from veilscore.keys import files
from veilscore.keys.errors import FileError
from veilscore.models.hosted import FixedPoint, Form, HostedCard, OneHot
from veilscore.node.errors import FormError
from veilscore.node.hosting.card_file import read_card
from veilscore.node.hosting.cards import HostedCards
from veilscore.node.hosting.form_file import LONGEST, decode, digest, encode
from veilscore.node.hosting.settings import HostedCardSettings, HostingSettings
from veilscore.runtime.errors import ConfigError

CARD = """
name = "farm"
intercept = 500
denominator = 10
[[feature]]
name = "income"
edges = [10, 50.0]
missing = [-1]
points = [-20, 5, 30, 61]
[[feature]]
name = "kind"
levels = ["farm", "shop"]
pooled = true
points = [-7, 40, 0, -90]
[[feature]]
name = "age"
scale = 10
low = 18
high = 100.5
weight = -3
"""


def card_of(folder: Path, text: str = CARD, name: str = "card.toml") -> HostedCard:
    files.create(folder / name, text.encode())
    return read_card(folder / name, "bureau")


@pytest.mark.parametrize("form", [SCORECARD.form, LINEAR.form])
def test_a_form_comes_back_from_its_file(form: Form) -> None:
    assert decode(encode(form)) == form
    assert decode(encode(form).decode()) == form


def test_spelling_does_not_change_the_digest_and_content_does() -> None:
    form = SCORECARD.form
    document = json.loads(encode(form))
    compact = json.dumps(dict(reversed(document.items())), separators=(",", ":"))
    assert digest(decode(compact)) == digest(form)
    others = [
        replace(form, holder="market"),
        replace(form, card="other"),
        replace(form, bits=form.bits + 1),
        replace(form, denominator=2),
        replace(form, features=form.features[::-1]),
        replace(form, features=form.features[:1]),
    ]
    assert len({digest(each) for each in (form, *others)}) == 7


def test_a_form_holds_no_weight(tmp_path: Path) -> None:
    text = CARD.replace("61", "6113").replace("-90", "-9011").replace("-3", "-3017")
    found = encode(card_of(tmp_path, text.replace("500", "50051")).form).decode()
    assert not any(weight in found for weight in ("6113", "9011", "3017", "50051"))
    assert set(json.loads(found)) == {
        "version",
        "holder",
        "card",
        "bits",
        "denominator",
        "feature",
    }


def put(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Return what sets a key of the document, or of its first or third feature."""

    def change(document: dict[str, Any]) -> None:
        name, _, at = key.partition("#")
        (document["feature"][int(at)] if at else document)[name] = value

    return change


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "another version": (put("version", 2), "version"),
    "no holder": (put("holder", ""), "holder"),
    "a number for a name": (put("card", 4), "card"),
    "an unknown key": (put("secret", 1), "secret"),
    "an unknown key of a feature": (put("weight#0", 1), "feature.0.weight"),
    "wide slots": (put("bits", 129), "129 bits"),
    "no slots": (put("bits", 0), "0 bits"),
    "slots of a fraction": (put("bits", 11.5), "bits"),
    "a division by zero": (put("denominator", 0), "denominator"),
    "no feature": (put("feature", []), "at least one feature"),
    "a feature of two kinds": (put("levels#0", ["a"]), "exactly one of"),
    "a feature of no kind": (put("edges#0", None), "exactly one of"),
    "edges that go down": (put("edges#0", [2.0, 1.0]), "ascending"),
    "an infinite edge": (put("edges#0", [float("inf")]), "feature.0.edges"),
    "a level twice": (put("levels#1", ["a", "a"]), "stands twice"),
    "a level that is missing": (put("missing#1", ["farm"]), "stands twice"),
    "a text missing among numbers": (put("missing#0", ["NA"]), "of another kind"),
    "a number missing among texts": (put("missing#1", [1.0]), "of another kind"),
    "pooled numbers": (put(key="pooled#0", value=True), "`pooled` without"),
    "missing of a number as it is": (put("missing#2", [1.0]), "no input for"),
    "no low end": (put("low#2", None), "`low` and `high`"),
    "a high end of bins": (put("high#0", 1.0), "`low` and `high`"),
    "no scale": (put("scale#2", 0), "53 bits"),
    "an empty range": (put("high#2", 1.0), "without numbers"),
    "one name twice": (put("name#1", "income"), "no feature twice"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_form_with_a_flaw_is_refused_and_says_where(
    tmp_path: Path, name: str
) -> None:
    change, told = CHANGES[name]
    document = json.loads(encode(card_of(tmp_path).form))
    change(document)
    with pytest.raises(FormError) as caught:
        decode(json.dumps(document), "farm.json")
    assert told in caught.value.what
    assert caught.value.place == "farm.json"
    assert caught.value.remedy


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"x" * (LONGEST + 1)])
def test_what_is_no_form_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(FormError):
        decode(data)


def test_a_card_is_read_with_the_narrowest_slots(tmp_path: Path) -> None:
    card = card_of(tmp_path)
    income, kind, age = card.form.features
    assert isinstance(income, OneHot)
    assert isinstance(kind, OneHot)
    assert income.bins.labels() == ("missing", "<= 10", "(10, 50]", "> 50")
    assert kind.bins.labels() == ("missing", "= farm", "= shop", "other")
    assert age == FixedPoint("age", 10, 18.0, 100.5)
    assert card.exponents == [-20, 5, 30, 61, -7, 40, 0, -90, -3]
    assert (card.intercept, card.form.denominator) == (500, 10)
    # From 500 - 20 - 90 - 3015 to 500 + 61 + 40 - 540.
    assert card.form.bits == 13


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("weight = -3", "", "needs `weight`"),
        ("weight = -3", "weight = -3\npoints = [1]", "needs `points`"),
        ("points = [-7, 40, 0, -90]", "", "needs `points`"),
        ("points = [-7, 40, 0, -90]", "points = [1, 2]", "one weight an input"),
        ("weight = -3", "weight = -0.5", "weight"),
        ("weight = -3", f"weight = {1 << 53}", "53 bits"),
        ('name = "kind"', 'name = "income"', "no feature twice"),
        ("pooled = true", "pooled = true\nedges = [1.0]", "exactly one of"),
        ("high = 100.5", "high = nan", "high"),
        ("intercept = 500", 'intercept = "500"', "intercept"),
        ("intercept = 500", "intersept = 500", "did you mean `intercept`"),
    ],
)
def test_a_card_with_a_flaw_is_refused_by_its_file(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    assert old in CARD
    with pytest.raises(ConfigError) as caught:
        card_of(tmp_path, CARD.replace(old, new))
    assert told in str(caught.value)
    assert "card.toml" in caught.value.place
    assert caught.value.party == "bureau"
    assert caught.value.remedy


def test_a_card_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_text(CARD)
    path.chmod(0o640)
    with pytest.raises(FileError, match="other users"):
        read_card(path, "bureau")


def settings(*paths: Path) -> HostingSettings:
    return HostingSettings(
        card=tuple(HostedCardSettings(file=path, budget_bits=1) for path in paths)
    )


def test_a_node_hosts_what_its_file_names(tmp_path: Path) -> None:
    one = card_of(tmp_path)
    two = card_of(tmp_path, CARD.replace('"farm"', '"other"', 1), "two.toml")
    paths = [tmp_path / "card.toml", tmp_path / "two.toml"]
    cards = HostedCards.read(settings(*paths), "bureau")
    assert [each.card for each in cards] == [one, two]
    found = cards.get(digest(two.form))
    assert found is not None
    assert (found.card, found.name) == (two, "other")
    assert cards.get(bytes(32)) is None
    assert list(HostedCards.read(settings(), "bureau")) == []


def test_two_cards_of_one_name_would_share_a_budget(tmp_path: Path) -> None:
    card_of(tmp_path)
    card_of(tmp_path, CARD.replace("61", "62"), "two.toml")
    paths = [tmp_path / "card.toml", tmp_path / "two.toml"]
    with pytest.raises(ConfigError, match="would share") as caught:
        HostedCards.read(settings(*paths), "bureau")
    assert caught.value.place == str(paths[1])


def test_a_budget_must_be_said_and_nobody_is_answered_unless_named() -> None:
    with pytest.raises(ValueError, match="budget_bits"):
        HostedCardSettings.model_validate({"file": "card.toml"})
    found = settings(Path("card.toml")).card[0]
    assert (found.requesters, found.purposes) == ((), ())
