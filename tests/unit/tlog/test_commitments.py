"""Salted commitments and the root over them: they open, hide, stand in one place."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.commitments import (
    Opening,
    Shown,
    commitments_root,
    path_to,
)
from veilscore.keys.tlog.tree import leaf_hash, node_hash

SALT = bytes(range(32))


def test_a_commitment_is_what_the_format_says() -> None:
    opening = Opening(SALT, b"X:firm 1")
    expected = hashlib.sha256(b"veilscore-commitment/1\0" + SALT + b"X:firm 1")
    assert opening.commitment == expected.digest()
    opening.check(opening.commitment)


@pytest.mark.parametrize(
    "other",
    [
        Opening(SALT, b"X:firm 2"),
        Opening(bytes(32), b"X:firm 1"),
        Opening(SALT + b"X", b":firm 1"),  # the same bytes, cut elsewhere
        Opening(SALT[:-1], SALT[-1:] + b"X:firm 1"),
    ],
)
def test_nothing_else_opens_it(other: Opening) -> None:
    with pytest.raises(ProofError):
        other.check(Opening(SALT, b"X:firm 1").commitment)


def test_the_root_is_that_of_rfc_6962() -> None:
    one, two, three = (bytes([each]) * 32 for each in (1, 2, 3))
    left = node_hash(leaf_hash(one), leaf_hash(two))
    assert commitments_root([one, two, three]) == node_hash(left, leaf_hash(three))


@given(st.integers(1, 40), st.data())
def test_one_place_is_shown_and_no_other(size: int, data: st.DataObject) -> None:
    openings = [Opening(bytes([at]) * 32, b"firm %d" % at) for at in range(size)]
    commitments = [each.commitment for each in openings]
    root = commitments_root(commitments)
    index = data.draw(st.integers(0, size - 1))
    path = path_to(commitments, index)
    Shown(openings[index], index, path).check(size, root)
    for opening, at, length in (
        (replace(openings[index], data=b"another"), index, size),
        (replace(openings[index], salt=b"short"), index, size),
        (openings[index], index + 1, size),
        (openings[index], index, 2 * size + 1),
    ):
        with pytest.raises(ProofError):
            Shown(opening, at, path).check(length, root)
