"""The tree and its proofs against the recursive definitions of RFC 6962."""

import json
from typing import TypedDict, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors.tlog import make_tree
from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.proof import (
    consistency_proof,
    inclusion_proof,
    verify_consistency,
    verify_inclusion,
)
from veilscore.keys.tlog.tree import EMPTY_ROOT, Edge, HashReader, leaf_hash, root_of


class Inclusion(TypedDict):
    index: int
    size: int
    path: list[str]


class Consistency(TypedDict):
    old: int
    new: int
    path: list[str]


class Vectors(TypedDict):
    leaves: list[str]
    roots: list[str]
    inclusion: list[Inclusion]
    consistency: list[Consistency]


LEAVES = [f"leaf {at}".encode() for at in range(70)]


def reader(leaves: list[bytes]) -> HashReader:
    def read(level: int, index: int) -> bytes:
        start, count = index << level, 1 << level
        assert start + count <= len(leaves), "asked for a subtree outside the tree"
        return make_tree.mth(leaves[start : start + count])

    return read


def load() -> Vectors:
    return cast("Vectors", json.loads(make_tree.FILE.read_text()))


def octets(path: list[str]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(node) for node in path)


def test_the_vectors_are_those_of_their_script() -> None:
    assert json.loads(make_tree.FILE.read_text()) == make_tree.vectors()


def test_roots_of_the_vectors() -> None:
    vectors = load()
    hashes = [leaf_hash(bytes.fromhex(leaf)) for leaf in vectors["leaves"]]
    edge = Edge()
    for size, root in enumerate(vectors["roots"]):
        assert root_of(hashes[:size]).hex() == root
        assert edge.root().hex() == root
        edge = edge.extend(hashes[size : size + 1])
    assert EMPTY_ROOT.hex() == vectors["roots"][0]


def test_inclusion_proofs_of_the_vectors() -> None:
    vectors = load()
    leaves = [bytes.fromhex(leaf) for leaf in vectors["leaves"]]
    for case in vectors["inclusion"]:
        index, size = case["index"], case["size"]
        path = inclusion_proof(index, size, reader(leaves))
        assert path == octets(case["path"])
        root = bytes.fromhex(vectors["roots"][size])
        verify_inclusion(leaf_hash(leaves[index]), index, size, path, root)


def test_consistency_proofs_of_the_vectors() -> None:
    vectors = load()
    leaves = [bytes.fromhex(leaf) for leaf in vectors["leaves"]]
    for case in vectors["consistency"]:
        old, new = case["old"], case["new"]
        path = consistency_proof(old, new, reader(leaves))
        assert path == octets(case["path"])
        old_root, new_root = (bytes.fromhex(vectors["roots"][n]) for n in (old, new))
        verify_consistency(old, new, path, old_root, new_root)


@given(st.integers(1, 70), st.data())
def test_proofs_of_any_tree_agree_with_the_definition(
    size: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    leaves, root = LEAVES[:size], make_tree.mth(LEAVES[:size])
    path = inclusion_proof(index, size, reader(leaves))
    assert list(path) == make_tree.audit_path(index, leaves)
    verify_inclusion(leaf_hash(leaves[index]), index, size, path, root)
    path = consistency_proof(old, size, reader(leaves))
    assert list(path) == make_tree.subproof(old, leaves, complete=True)
    verify_consistency(old, size, path, make_tree.mth(leaves[:old]), root)


@given(st.integers(0, 35), st.integers(0, 35))
def test_an_edge_is_the_same_appended_or_loaded(first: int, more: int) -> None:
    size = first + more
    hashes = [leaf_hash(leaf) for leaf in LEAVES[:size]]
    grown = Edge().extend(hashes[:first]).extend(hashes[first:])
    assert grown == Edge.load(size, reader(LEAVES[:size]))
    assert grown.root() == make_tree.mth(LEAVES[:size])


def flip(values: tuple[bytes, ...], at: int) -> tuple[bytes, ...]:
    """Change one bit of one hash."""
    which, bit = divmod(at % (len(values) * 256), 256)
    changed = bytearray(values[which])
    changed[bit // 8] ^= 1 << bit % 8
    return (*values[:which], bytes(changed), *values[which + 1 :])


@given(st.integers(2, 70), st.integers(0), st.data())
def test_a_changed_inclusion_proof_is_rejected(
    size: int, at: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = LEAVES[:size]
    path = inclusion_proof(index, size, reader(leaves))
    hashes = (leaf_hash(leaves[index]), make_tree.mth(leaves), *path)
    leaf, root, *changed = flip(hashes, at)
    with pytest.raises(ProofError):
        verify_inclusion(leaf, index, size, changed, root)


@given(st.integers(2, 70), st.integers(0), st.data())
def test_a_changed_consistency_proof_is_rejected(
    new: int, at: int, data: st.DataObject
) -> None:
    old = data.draw(st.integers(1, new - 1))
    leaves = LEAVES[:new]
    path = consistency_proof(old, new, reader(leaves))
    hashes = (make_tree.mth(leaves[:old]), make_tree.mth(leaves), *path)
    old_root, new_root, *changed = flip(hashes, at)
    with pytest.raises(ProofError):
        verify_consistency(old, new, changed, old_root, new_root)


@given(st.integers(2, 40), st.data())
def test_an_inclusion_proof_holds_for_one_position_only(
    size: int, data: st.DataObject
) -> None:
    index, claimed = data.draw(
        st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True)
    )
    leaves = LEAVES[:size]
    path = inclusion_proof(index, size, reader(leaves))
    leaf, root = leaf_hash(leaves[index]), make_tree.mth(leaves)
    with pytest.raises(ProofError):
        verify_inclusion(leaf, claimed, size, path, root)


@pytest.mark.parametrize("index", [-1, 5, 6])
def test_there_is_no_proof_of_an_entry_outside(index: int) -> None:
    with pytest.raises(ProofError, match="no entry"):
        inclusion_proof(index, 5, reader(LEAVES[:5]))
    with pytest.raises(ProofError, match="no entry"):
        verify_inclusion(bytes(32), index, 5, [], bytes(32))


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 5), (6, 5), (-1, 5)])
def test_there_is_no_proof_from_an_empty_or_larger_tree(old: int, new: int) -> None:
    with pytest.raises(ProofError, match="no proof leads"):
        consistency_proof(old, new, reader(LEAVES[:5]))
    with pytest.raises(ProofError, match="no proof leads"):
        verify_consistency(old, new, [], EMPTY_ROOT, EMPTY_ROOT)
