"""sigstore-python's verifier of Rekor entries reads our proofs of inclusion.

Only the tests install it. The function is private there, and all that sigstore has of
trees; 4.5.1 was read.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.interop.conftest import HonestLog
from veilscore.keys.tlog.tlog_proof import TlogProof

_FOUND: Any = pytest.importorskip(
    "sigstore._internal.merkle",
    reason="sigstore is not installed, which `make setup-dev` does",
)
verify_inclusion: Callable[[object], None] = _FOUND.verify_merkle_inclusion


def entry_of(
    honest: HonestLog, proof: TlogProof, leaf: bytes, shift: int = 0
) -> SimpleNamespace:
    """Return what sigstore takes for an entry of Rekor."""
    checkpoint = honest.keys.policy.open(proof.checkpoint)
    inclusion = SimpleNamespace(
        log_index=proof.index + shift,
        tree_size=checkpoint.size,
        hashes=list(proof.path),
        root_hash=checkpoint.root,
    )
    inner = SimpleNamespace(inclusion_proof=inclusion, canonicalized_body=leaf)
    return SimpleNamespace(_inner=inner)


def test_every_receipt_and_every_proof_is_accepted(honest: HonestLog) -> None:
    store = honest.log.store
    for index in range(store.size):
        leaf = store.entry(index).opened.leaf
        for proof in (store.receipt(index), store.inclusion(index)):
            verify_inclusion(entry_of(honest, proof, leaf))


@pytest.mark.parametrize("index", [0, 255, 256, 299, 689])
def test_another_leaf_place_or_path_is_rejected(honest: HonestLog, index: int) -> None:
    store = honest.log.store
    leaf, proof = store.entry(index).opened.leaf, store.receipt(index)
    shift = -1 if index % 2 else 1
    cut = TlogProof(index, proof.path[1:], proof.checkpoint)
    for wrong in (
        entry_of(honest, proof, leaf + b"\0"),
        entry_of(honest, proof, store.entry(index + shift).opened.leaf),
        entry_of(honest, proof, leaf, shift),
        entry_of(honest, cut, leaf),
    ):
        with pytest.raises(_FOUND.VerificationError):
            verify_inclusion(wrong)
