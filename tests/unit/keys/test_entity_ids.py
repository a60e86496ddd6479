"""Typed ids: samples of the standards, and every reason for a refusal.

91350100M000100Y4_ and 11010519491231002X are the samples printed in GB 32100-2015 and
GB 11643-1999; no id here belongs to anybody.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.entity_ids import (
    EntityKind,
    complete_resident,
    complete_uscc,
    normalise,
)
from veilscore.keys.errors import EntityIdError

USCC = "91350100M000100Y43"
RESIDENT = "11010519491231002X"
ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"

digits = st.text("0123456789", min_size=17, max_size=17)


@st.composite
def usccs(draw: st.DrawFn) -> str:
    head = draw(st.text(ALPHABET, min_size=2, max_size=2))
    region = draw(st.text("0123456789", min_size=6, max_size=6))
    return complete_uscc(
        head + region + draw(st.text(ALPHABET, min_size=8, max_size=8))
    )


def wide(text: str) -> str:
    """The full-width form of ASCII characters, as Chinese keyboards type them."""
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        (EntityKind.USCC, USCC, "U:91350100M000100Y43"),
        (EntityKind.USCC, " 91350100-m000100y-43\n", "U:91350100M000100Y43"),
        (
            EntityKind.USCC,
            wide(USCC),
            "U:91350100M000100Y43",
        ),
        (EntityKind.RESIDENT, RESIDENT, "R:11010519491231002X"),
        (EntityKind.RESIDENT, "110105 19491231 002x", "R:11010519491231002X"),
        (
            EntityKind.RESIDENT,
            wide("110105.19491231-002x"),
            "R:11010519491231002X",
        ),
        (EntityKind.RESIDENT, "110105491231002", "R:11010519491231002X"),
        (EntityKind.OPAQUE, "  Farm No. 7 ", "X:Farm No. 7"),
        (EntityKind.OPAQUE, wide("A1"), "X:A1"),
    ],
)
def test_spellings_of_one_id_become_one(
    kind: EntityKind, raw: str, expected: str
) -> None:
    assert normalise(kind, raw) == expected


@pytest.mark.parametrize(
    ("kind", "raw", "reason"),
    [
        (EntityKind.USCC, "91350100M000100Y4Z", "cannot have"),
        (EntityKind.USCC, "91350100M000100Y44", "the 18th"),
        (EntityKind.USCC, "91350100M000100Y53", "the 17th"),
        (EntityKind.USCC, "91350100M000100Y4", "18 characters, this one 17"),
        (EntityKind.USCC, "9135O100M000100Y43", "cannot have"),
        (EntityKind.USCC, "91A50100M000100Y43", "cannot have"),
        (EntityKind.USCC, "", "this one 0"),
        (EntityKind.USCC, "91350100M000100Y4\u0663", "cannot have"),
        (EntityKind.RESIDENT, "110105194912310021", "the 18th"),
        (EntityKind.RESIDENT, "1101051949123100X2", "not a digit"),
        (EntityKind.RESIDENT, "1101051949123100\u0662X", "not a digit"),
        (EntityKind.RESIDENT, "11010519491231002", "18 characters, this one 17"),
        (EntityKind.RESIDENT, "11010549123100X", "18 characters, this one 15"),
        (EntityKind.OPAQUE, " \u3000\n", "empty"),
    ],
)
def test_refusal_gives_the_reason_and_never_the_id(
    kind: EntityKind, raw: str, reason: str
) -> None:
    with pytest.raises(EntityIdError, match=reason) as caught:
        normalise(kind, raw)
    assert not raw.strip() or raw not in str(caught.value)


@settings(deadline=None)
@given(usccs(), st.integers(0, 17), st.sampled_from(ALPHABET))
def test_every_single_error_in_a_credit_code_is_noticed(
    code: str, place: int, symbol: str
) -> None:
    assert normalise(EntityKind.USCC, code) == f"U:{code}"
    changed = code[:place] + symbol + code[place + 1 :]
    if changed != code:
        with pytest.raises(EntityIdError):
            normalise(EntityKind.USCC, changed)


@settings(deadline=None)
@given(digits, st.integers(0, 16), st.sampled_from("0123456789"))
def test_every_single_error_in_a_resident_id_is_noticed(
    beginning: str, place: int, digit: str
) -> None:
    code = complete_resident(beginning)
    assert normalise(EntityKind.RESIDENT, code) == f"R:{code}"
    changed = code[:place] + digit + code[place + 1 :]
    if changed != code:
        with pytest.raises(EntityIdError):
            normalise(EntityKind.RESIDENT, changed)


@settings(deadline=None)
@given(digits, st.integers(0, 15))
def test_swapped_neighbours_in_a_resident_id_are_noticed(
    beginning: str, place: int
) -> None:
    code = complete_resident(beginning)
    swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    if swapped != code:
        with pytest.raises(EntityIdError):
            normalise(EntityKind.RESIDENT, swapped)


@settings(deadline=None)
@given(st.sampled_from(EntityKind), st.text(max_size=20))
def test_normalising_twice_changes_nothing(kind: EntityKind, raw: str) -> None:
    try:
        once = normalise(kind, raw)
    except EntityIdError:
        return
    assert normalise(kind, once[2:]) == once


def test_types_keep_equal_strings_apart() -> None:
    assert normalise(EntityKind.OPAQUE, USCC) != normalise(EntityKind.USCC, USCC)


def test_check_digits_are_completed() -> None:
    assert complete_uscc("91350100M000100Y") == USCC
    assert complete_uscc("91350100M000100Y4") == USCC
    assert complete_resident("11010519491231002") == RESIDENT


@pytest.mark.parametrize(
    "beginning", ["", "91350100M000100", USCC, "91350100M000100I", "91350100M000100Y5"]
)
def test_nothing_else_is_completed_to_a_credit_code(beginning: str) -> None:
    with pytest.raises(EntityIdError):
        complete_uscc(beginning)


@pytest.mark.parametrize("beginning", ["", RESIDENT, "1101051949123100X", "²" * 17])
def test_nothing_else_is_completed_to_a_resident_id(beginning: str) -> None:
    with pytest.raises(EntityIdError):
        complete_resident(beginning)
