"""All inclusion and consistency vectors of transparency-dev/merkle."""

import base64
import json
from collections.abc import Callable
from typing import Any, TypedDict

from tests.shared import require_shared
from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.proof import verify_consistency, verify_inclusion


class Case(TypedDict):
    proof: list[str] | None
    wantErr: bool


class Inclusion(Case):
    leafIdx: int
    treeSize: int
    leafHash: str | None
    root: str | None


class Consistency(Case):
    size1: int
    size2: int
    root1: str | None
    root2: str | None


def octets(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def path_of(case: Case) -> list[bytes]:
    return [octets(node) for node in case["proof"] or []]


def check_inclusion(case: Inclusion) -> None:
    leaf, root = octets(case["leafHash"]), octets(case["root"])
    verify_inclusion(leaf, case["leafIdx"], case["treeSize"], path_of(case), root)


def check_consistency(case: Consistency) -> None:
    roots = octets(case["root1"]), octets(case["root2"])
    verify_consistency(case["size1"], case["size2"], path_of(case), *roots)


def disagreeing(kind: str, check: Callable[[Any], None]) -> list[str]:
    files = sorted(
        require_shared(f"vectors/transparency-dev-merkle/{kind}").rglob("*.json")
    )
    assert len(files) == 98
    disagree: list[str] = []
    for file in files:
        case = json.loads(file.read_text())
        try:
            check(case)
            refused = False
        except ProofError:
            refused = True
        if refused != case["wantErr"]:
            disagree.append(str(file))
    return disagree


def test_all_98_inclusion_vectors_agree() -> None:
    assert disagreeing("inclusion", check_inclusion) == []


def test_all_98_consistency_vectors_agree() -> None:
    assert disagreeing("consistency", check_consistency) == []
