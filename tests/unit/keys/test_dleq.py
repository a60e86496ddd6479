"""Proofs of one key: the RFC's vectors, and every way in which one may not hold."""

from collections.abc import Callable

import pytest

from veilscore.keys import dleq, ristretto
from veilscore.keys.errors import LinkageError
from veilscore.keys.linkage import BlindingKey, hash_to_group
from veilscore.keys.ristretto import POINT

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


@pytest.mark.parametrize("size", VECTORS)
def test_proofs_are_those_of_the_rfc(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    nonce, proof = map(bytes.fromhex, VECTORS[size])
    secret, key = bytes.fromhex(SCALAR), bytes.fromhex(KEY)
    assert ristretto.base_multiple(secret) == key
    before = list(map(bytes.fromhex, BLINDED[:size]))
    after = list(map(bytes.fromhex, EVALUATED[:size]))
    dleq.verify(key, before, after, proof, "market", CONTEXT)
    monkeypatch.setattr(ristretto, "random_scalar", lambda: nonce)
    assert dleq.prove(secret, before, after, CONTEXT) == proof


def flip(true: bytes) -> bytes:
    return bytes((true[0] ^ 1,)) + true[1:]


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "flip": flip,
    "cut": lambda true: true[:-1],
    "empty": lambda _: b"",
    "zero": lambda true: bytes(len(true)),
    "other": lambda true: ristretto.random_point() * (len(true) // POINT),
}


@pytest.mark.parametrize("part", ["key", "before", "after", "proof"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_proof_that_was_changed_names_its_maker(part: str, change: str) -> None:
    points = [hash_to_group(f"X:{i}") for i in range(4)]
    signer = BlindingKey.fresh()
    raised, proof = signer.prove(points)
    dleq.verify(signer.public, points, raised, proof, "market")

    def changed(name: str, true: bytes) -> bytes:
        return CHANGES[change](true) if name == part else true

    with pytest.raises(LinkageError, match="does not hold") as caught:
        dleq.verify(
            changed("key", signer.public),
            [*points[:-1], changed("before", points[-1])],
            [*raised[:-1], changed("after", raised[-1])],
            changed("proof", proof),
            "market",
        )
    assert caught.value.party == "market"


def test_neither_points_in_another_order_nor_fewer_are_proven() -> None:
    points = [hash_to_group(f"X:{i}") for i in range(4)]
    signer = BlindingKey.fresh()
    raised, proof = signer.prove(points)
    for wrong in (raised[::-1], raised[:-1], [], [*raised, raised[0]]):
        with pytest.raises(LinkageError, match="does not hold"):
            dleq.verify(signer.public, points, wrong, proof, "market")


def test_a_proof_of_nothing_proves_nothing() -> None:
    signer = BlindingKey.fresh()
    _, proof = signer.prove([hash_to_group("X:1")])
    with pytest.raises(LinkageError, match="does not hold"):
        dleq.verify(signer.public, [], [], proof, "market")
