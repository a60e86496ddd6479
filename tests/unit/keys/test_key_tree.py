"""A tree of keys: all leaves from the root, no destroyed one from the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilscore.keys.errors import SealError
from veilscore.keys.key_tree import (
    LEAVES,
    ROOT,
    first_leaves,
    leaf,
    new_root,
    without,
)

TREE = bytes(range(32))


def test_leaves_are_the_same_one_by_one_as_all_at_once() -> None:
    leaves = first_leaves(TREE, 300)
    assert [leaf({ROOT: TREE}, at) for at in range(300)] == leaves
    assert len({key.salt for key in leaves}) == 300
    assert first_leaves(TREE, 1) == leaves[:1]
    last = leaf({ROOT: TREE}, LEAVES - 1)
    assert last is not None
    assert last not in leaves


def test_two_roots_have_nothing_in_common() -> None:
    one, other = first_leaves(new_root(), 20), first_leaves(new_root(), 20)
    assert not {key.salt for key in one} & {key.salt for key in other}


@given(st.sets(st.integers(0, 40), max_size=12))
def test_what_is_left_has_all_other_leaves_and_no_destroyed_one(gone: set[int]) -> None:
    held = {ROOT: TREE}
    for index in gone:
        held = without(held, index)
        held = without(held, index)  # again, which changes nothing
    expected = first_leaves(TREE, 41)
    for index in range(41):
        found = leaf(held, index)
        assert found == (None if index in gone else expected[index])
    # No node that is held is an ancestor of a destroyed leaf.
    ancestors = {(LEAVES + index) >> up for index in gone for up in range(17)}
    assert not ancestors & held.keys()
    assert (ROOT in held) == (not gone)


def test_what_a_leaf_has_sealed_opens_for_what_it_is_about_only() -> None:
    first, second = first_leaves(TREE, 2)
    sealed = first.seal(b"X:firm 1", b"a request")
    assert first.open(sealed, b"a request") == b"X:firm 1"
    for key, data, about in (
        (second, sealed, b"a request"),
        (first, sealed, b"another"),
        (first, sealed[:-1], b"a request"),
        (first, b"", b"a request"),
        (first, b"\x02" + sealed[1:], b"a request"),
    ):
        with pytest.raises(SealError):
            key.open(data, about)


def test_no_representation_shows_a_key() -> None:
    assert TREE.hex()[:8] not in repr(first_leaves(TREE, 1))
    assert "salt" not in repr(first_leaves(TREE, 1))
