"""Ids of firms and people in one canonical, typed form.

Alignment only works if all parties write an id alike, so an id is normalised before it
is hashed; one that breaks the rules of its declared type is refused, never repaired.
The prefix keeps types apart: an all-digit credit code can look like a resident id, so
the type is declared and not guessed. Errors say what is wrong and never quote the id.

Rules as described by GB 32100-2015 (unified social credit code), GB 11714-1997
(organisation code inside it) and GB 11643-1999 (resident id).
"""

import unicodedata
from enum import StrEnum
from operator import mul
from typing import Final

from veilscore.keys.errors import EntityIdError


class EntityKind(StrEnum):
    """Declared type of an id column."""

    USCC = "uscc"
    RESIDENT = "resident"
    OPAQUE = "opaque"


_DIGITS: Final = "0123456789"
_USCC_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # no I, O, S, V, Z
_USCC_VALUE: Final = {symbol: value for value, symbol in enumerate(_USCC_ALPHABET)}
# One weight for each character that counts; what stands behind is not looked at.
_USCC_WEIGHTS: Final = tuple(pow(3, place, 31) for place in range(17))
_ORGANISATION_VALUE: Final = {
    symbol: value for value, symbol in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}
_ORGANISATION_WEIGHTS: Final = (3, 7, 9, 10, 5, 8, 4, 2)
_ORGANISATION_CHECK: Final = "0123456789X"
_RESIDENT_WEIGHTS: Final = tuple(pow(2, 17 - place, 11) for place in range(17))
_RESIDENT_CHECK: Final = "10X98765432"
# What people type between groups of digits, after NFKC.
_SEPARATORS: Final = dict.fromkeys(map(ord, " \t\r\n-\u2010\u2013\u2014\u2212._\u00b7"))


def normalise(kind: EntityKind, raw: str) -> str:
    """Return the canonical form: "U:", "R:" or "X:" and the id.

    Raises EntityIdError with the reason: length, alphabet or check digit.
    """
    text = unicodedata.normalize("NFKC", raw)  # full-width digits become ASCII
    if kind is EntityKind.OPAQUE:
        text = text.strip()
        if not text:
            raise EntityIdError("the id is empty")
        return f"X:{text}"
    text = text.translate(_SEPARATORS).upper()
    if kind is EntityKind.USCC:
        return f"U:{_checked_uscc(text)}"
    return f"R:{_checked_resident(text)}"


def complete_uscc(beginning: str) -> str:
    """Append the check digits to the first 16 or 17 characters of a credit code.

    Raises EntityIdError if the 17th, the organisation's own check digit, is wrong.
    """
    if len(beginning) == 16:  # noqa: PLR2004 - a code without both check digits
        _check_uscc_alphabet(beginning)
        beginning += _organisation_check(beginning)
    if len(beginning) != 17:  # noqa: PLR2004 - a code without its last check digit
        raise EntityIdError("16 or 17 characters of a credit code are needed")
    _check_uscc_alphabet(beginning)
    return _checked_uscc(beginning + _uscc_check(beginning))


def complete_resident(beginning: str) -> str:
    """Append the check digit to the first 17 digits of a resident id."""
    if len(beginning) != 17 or not _all_digits(beginning):  # noqa: PLR2004 - as above
        raise EntityIdError("17 digits of a resident id are needed")
    return beginning + _resident_check(beginning)


def _checked_uscc(text: str) -> str:
    if len(text) != 18:  # noqa: PLR2004 - GB 32100
        raise EntityIdError(f"a credit code has 18 characters, this one {len(text)}")
    _check_uscc_alphabet(text)
    if text[16] != _organisation_check(text):
        raise EntityIdError("the organisation's check digit (the 17th) is wrong")
    if text[17] != _uscc_check(text):
        raise EntityIdError("the credit code's check digit (the 18th) is wrong")
    return text


def _check_uscc_alphabet(text: str) -> None:
    if not _USCC_VALUE.keys() >= set(text) or not _all_digits(text[2:8]):
        raise EntityIdError("a character stands where a credit code cannot have it")


def _checked_resident(text: str) -> str:
    # Cards issued before 1999 had two digits of the year and no check digit.
    if len(text) == 15 and _all_digits(text):  # noqa: PLR2004 - GB 11643-1989
        return complete_resident(f"{text[:6]}19{text[6:]}")
    if len(text) != 18:  # noqa: PLR2004 - GB 11643-1999
        raise EntityIdError(f"a resident id has 18 characters, this one {len(text)}")
    if not _all_digits(text[:17]):
        raise EntityIdError("a character of the resident id is not a digit")
    if text[17] != _resident_check(text):
        raise EntityIdError("the resident id's check digit (the 18th) is wrong")
    return text


def _all_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _uscc_check(text: str) -> str:
    values = map(_USCC_VALUE.__getitem__, text)
    return _USCC_ALPHABET[-sum(map(mul, _USCC_WEIGHTS, values)) % 31]


def _organisation_check(text: str) -> str:
    values = map(_ORGANISATION_VALUE.__getitem__, text[8:])
    return _ORGANISATION_CHECK[-sum(map(mul, _ORGANISATION_WEIGHTS, values)) % 11]


def _resident_check(text: str) -> str:
    values = map(int, text)
    return _RESIDENT_CHECK[sum(map(mul, _RESIDENT_WEIGHTS, values)) % 11]
