"""Proofs of one key: the RFC's vectors, and every way in which one may not hold."""

import hashlib
from functools import reduce

import pytest

from veilscore.keys import dleq, ristretto
from veilscore.keys.errors import LinkageError
from veilscore.keys.linkage import BlindingKey, check_claim, hash_to_group, statement
from veilscore.v1.training_pb2 import HopClaim

# RFC 9497, appendix A.1.2, VOPRF(ristretto255, SHA-512).
CONTEXT = b"OPRFV1-\x01-ristretto255-SHA512"
SCALAR = "e6f73f344b79b379f1a0dd37e07ff62e38d9f71345ce62ae3a9bc60b04ccd909"
KEY = "c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e"
BLINDED = [
    "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945",
    "90a0145ea9da29254c3a56be4fe185465ebb3bf2a1801f7124bbbadac751e654",
]
EVALUATED = [
    "aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e",
    "cc5ac221950a49ceaa73c8db41b82c20372a4c8d63e5dded2db920b7eee36a2a",
]
VECTORS = {  # by batch size: random scalar, proof
    1: (
        "222a5e897cf59db8145db8d16e597e8facb80ae7d4e26d9881aa6f61d645fc0e",
        (
            "ddef93772692e535d1a53903db24367355cc2cc78de93b3be5a8ffcc6985dd06"
            "6d4346421d17bf5117a2a1ff0fcb2a759f58a539dfbe857a40bce4cf49ec600d"
        ),
    ),
    2: (
        "419c4f4f5052c53c45f3da494d2b67b220d02118e0857cdbcf037f9ea84bbe0c",
        (
            "cc203910175d786927eeb44ea847328047892ddf8590e723c37205cb74600b0a"
            "5ab5337c8eb4ceae0494c2cf89529dcf94572ed267473d567aeed6ab873dee08"
        ),
    ),
}


def framed(part: bytes) -> bytes:
    return len(part).to_bytes(2) + part


def composites_of_the_rfc(size: int) -> tuple[bytes, bytes]:
    """Section 2.2.1: coefficients hashed from every pair of elements."""
    seed = hashlib.sha512(
        framed(bytes.fromhex(KEY)) + framed(b"Seed-" + CONTEXT)
    ).digest()
    terms: list[tuple[bytes, bytes]] = []
    for index in range(size):
        pair = bytes.fromhex(BLINDED[index]), bytes.fromhex(EVALUATED[index])
        transcript = framed(seed) + index.to_bytes(2) + b"".join(map(framed, pair))
        weight = ristretto.hash_to_scalar(
            transcript + b"Composite", b"HashToScalar-" + CONTEXT
        )
        terms.append(
            (ristretto.multiple(weight, pair[0]), ristretto.multiple(weight, pair[1]))
        )
    befores, afters = zip(*terms, strict=True)
    return reduce(ristretto.total, befores), reduce(ristretto.total, afters)


@pytest.mark.parametrize("size", VECTORS)
def test_proofs_are_those_of_the_rfc(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    nonce, proof = map(bytes.fromhex, VECTORS[size])
    secret, key = bytes.fromhex(SCALAR), bytes.fromhex(KEY)
    assert ristretto.base_multiple(secret) == key
    before, after = composites_of_the_rfc(size)
    dleq.verify(key, before, after, proof, "market", CONTEXT)
    monkeypatch.setattr(ristretto, "random_scalar", lambda: nonce)
    assert dleq.prove(secret, key, before, after, CONTEXT) == proof


POINTS = b"".join(hash_to_group(f"X:{i}") for i in range(30))
SIGNER = BlindingKey.fresh()
RAISED = SIGNER.blind(POINTS, "bank")


@pytest.fixture
def claim() -> HopClaim:
    return SIGNER.claim("bank", 2, POINTS, RAISED)


@pytest.mark.parametrize("threads", [1, 3])
def test_both_neighbours_find_what_is_claimed(claim: HopClaim, threads: int) -> None:
    check_claim(claim, "market")
    before = statement(claim).composite(POINTS, "bank", threads=threads)
    after = statement(claim).composite(RAISED, "bank", threads=threads)
    assert (before, after) == (claim.composite_before, claim.composite_after)


@pytest.mark.parametrize("count", [1, 1023, 1024, 1025])
def test_lists_of_any_length_are_proven_whole(count: int) -> None:
    points = b"".join(hash_to_group(f"Y:{i}") for i in range(count))
    raised = SIGNER.blind(points, "bank", threads=2)
    claim = SIGNER.claim("bank", 2, points, raised, threads=2)
    check_claim(claim, "market")
    other = points[:-32] + hash_to_group("Y:other")
    assert statement(claim).composite(other, "bank") != claim.composite_before


@pytest.mark.parametrize(
    "field", ["key", "composite_before", "composite_after", "proof"]
)
@pytest.mark.parametrize("change", ["flip", "cut", "empty", "zero", "other"])
def test_a_claim_that_was_changed_names_its_maker(
    claim: HopClaim, field: str, change: str
) -> None:
    true: bytes = getattr(claim, field)
    other: bytes = getattr(BlindingKey.fresh().claim("bank", 2, POINTS, RAISED), field)
    changed = {
        "flip": bytes((true[0] ^ 1,)) + true[1:],
        "cut": true[:-1],
        "empty": b"",
        "zero": bytes(len(true)),
        "other": other,
    }
    if changed[change] == true:
        pytest.skip("both keys were asked about the same points")
    setattr(claim, field, changed[change])
    with pytest.raises(LinkageError, match="does not hold") as caught:
        check_claim(claim, "market")
    assert caught.value.party == "market"


def test_a_list_that_holds_no_point_names_the_party(claim: HopClaim) -> None:
    with pytest.raises(LinkageError, match="not a point") as caught:
        statement(claim).composite(b"\xff" * 32 + POINTS, "bureau")
    assert caught.value.party == "bureau"


def test_a_proof_does_not_speak_for_another_place(claim: HopClaim) -> None:
    claim.hops = 3
    assert statement(claim).composite(POINTS, "bank") != claim.composite_before
