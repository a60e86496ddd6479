"""H7: all that an aggregator sees of a secure aggregation holds no single vector.

Planted: an update, a number of examples and a metric as entries of one vector. Members
that leave one mask out, or say their number of examples in clear, are found by the same
checks.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.attacks.aggregation_transcript import Witness, unmasked_messages
from tests.conftest import Tell
from tests.protocol.aggregation_round import (
    NAMES,
    SIGNERS,
    STEPS,
    Attempt,
    Vector,
    Watched,
    terms,
)
from veilscore.keys import masks
from veilscore.keys.aggregation.attempt_keys import MASK_LABEL, self_mask_secret
from veilscore.keys.aggregation.wire import Kind, digest, read, read_words, write
from veilscore.keys.errors import MisconductError
from veilscore.v1 import aggregation_pb2 as pb

LENGTH: Final = 4096
LEAKING: Final = NAMES[1]
COUNT: Final = 1  # the entry with the number of examples
_SCALE: Final = 1 << 20  # fixed point


def planted(names: tuple[str, ...], seed: int = 5) -> dict[str, Vector]:
    """Return updates as a node would send them: small fixed-point numbers."""
    draw = np.random.default_rng(seed)
    found: dict[str, Vector] = {}
    for name in names:
        update = np.round(draw.normal(0, 0.01, LENGTH) * _SCALE).astype(np.int64)
        update[0] = round(0.7733 * _SCALE)  # a metric
        update[COUNT] = draw.integers(200, 90_000)
        found[name] = update.view(np.uint64)
    return found


def witness(
    members: int,
    drops: Mapping[str, Kind] | None = None,
    kind: type[Watched] = Watched,
) -> Witness:
    asked = terms(members, length=LENGTH)
    attempt = Attempt(asked, planted(asked.names), {}, {LEAKING: kind})
    return Witness.play(attempt, drops)


@pytest.mark.parametrize(
    ("members", "drops"),
    [
        (3, {}),
        (5, {}),
        (6, {NAMES[0]: Kind.MASKED}),
        (7, {NAMES[0]: Kind.MASKED, NAMES[3]: Kind.SHARES}),
        (7, {NAMES[2]: Kind.AGREEMENT, NAMES[4]: Kind.REVEALED}),
    ],
    ids=["3", "5", "6-1", "7-2", "7-2-late"],
)
def test_no_vector_and_no_sum_shows(
    members: int, drops: dict[str, Kind], tell: Tell
) -> None:
    found = witness(members, drops).findings()
    tell(f"vectors and sums seen among {members}, {len(drops)} dropped", len(found), 0)
    assert found == []


# -- planted leaks ---------------------------------------------------------------------


class Leaking(Watched):
    """Changes its masked vector before it signs it."""

    def mask_input(self, share_list: bytes, vector: NDArray[np.uint64]) -> bytes:
        masked = read(super().mask_input(share_list, vector), self._terms)
        words = self.leak(read_words(masked.words).copy(), vector).tobytes()
        said = pb.MaskedInput(words=digest(words))
        signer = SIGNERS[LEAKING]
        return write(self._terms, LEAKING, signer, Kind.MASKED, said, words)

    def leak(self, masked: Vector, vector: Vector) -> Vector:
        """Return what it sends instead."""
        raise NotImplementedError


class NoSelfMask(Leaking):
    def leak(self, masked: Vector, vector: Vector) -> Vector:
        del vector
        seed, asked = self._keys.self_seed, self._terms
        own = self_mask_secret(seed, asked.context, LEAKING)
        return masked - masks.words(own, MASK_LABEL, asked.length)


class NoPairs(Leaking):
    def leak(self, masked: Vector, vector: Vector) -> Vector:
        del vector
        asked = self._terms
        return masked - masks.zero_sum_words(
            LEAKING, self._pairs, MASK_LABEL, asked.length
        )


class NoGroupMask(Leaking):
    def leak(self, masked: Vector, vector: Vector) -> Vector:
        del vector
        return masked - self._group_mask(LEAKING)


class CountUnmasked(Leaking):
    def leak(self, masked: Vector, vector: Vector) -> Vector:
        masked[COUNT] = vector[COUNT]
        return masked


class MasksHalf(Leaking):
    def leak(self, masked: Vector, vector: Vector) -> Vector:
        del vector
        masked[::2] &= np.uint64(2**63 - 1)
        return masked


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        (NoSelfMask, "under its own mask"),
        (NoPairs, "under the masks of pairs"),
        (NoGroupMask, "under the group's mask"),
        (CountUnmasked, f"entry {COUNT} in clear"),
        (MasksHalf, "not uniform"),
    ],
)
def test_a_member_that_leaks_is_found(kind: type[Watched], where: str) -> None:
    found = witness(3, kind=kind).findings()
    assert any(LEAKING in each and where in each for each in found)


# -- two inputs, one sum ---------------------------------------------------------------


@pytest.fixture
def seeded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that starts all randomness of the protocol anew."""
    stream: list[Iterator[bytes]] = []

    def blocks() -> Iterator[bytes]:
        for number in range(10**6):
            yield hashlib.sha512(number.to_bytes(4)).digest()

    def drawn(count: int = 32) -> bytes:
        return next(stream[-1])[:count]

    monkeypatch.setattr("secrets.token_bytes", drawn)
    monkeypatch.setattr("Crypto.Protocol.SecretSharing.rng", drawn)
    return lambda: stream.append(blocks())


def other_inputs(
    vectors: dict[str, Vector], survivors: tuple[str, ...]
) -> dict[str, Vector]:
    """Return quite different vectors of the same sum over the survivors."""
    draw = np.random.default_rng(99)
    other = {name: vector.copy() for name, vector in vectors.items()}
    for name in survivors[1:]:
        shift = draw.integers(0, 2**64, LENGTH, dtype=np.uint64)
        other[name] += shift
        other[survivors[0]] -= shift
    return other


@pytest.mark.parametrize("members", [3, 6])
def test_two_inputs_of_one_sum_give_one_transcript_but_for_masked_vectors(
    members: int, seeded: Callable[[], None]
) -> None:
    asked = terms(members, length=LENGTH)
    drops = {} if members < 6 else {NAMES[2]: Kind.MASKED}
    survivors = tuple(name for name in asked.names if name not in drops)
    one = planted(asked.names)
    played: list[Attempt] = []
    for vectors in (one, other_inputs(one, survivors)):
        seeded()
        played.append(Attempt(asked, vectors))
        played[-1].play(drops)
    first, second = played
    # Whatever is not a masked vector depends on no vector at all, byte for byte, and
    # the aggregator's own sum is the same. What differs are vectors that are noise.
    assert unmasked_messages(first) == unmasked_messages(second)
    assert first.said == second.said
    for name in survivors:
        sent = [
            read_words(read(each.sent[Kind.MASKED][name], asked).words)
            for each in played
        ]
        assert not (sent[0] == sent[1]).any()


class CountInItsKeys(Watched):
    """Says its number of examples where others say which sum they know."""

    count = b""

    def advertise(self) -> bytes:
        said = read(super().advertise(), self._terms).content.keys
        said.last_sum = self.count
        return write(self._terms, LEAKING, SIGNERS[LEAKING], Kind.KEYS, said)


def test_a_count_in_another_message_is_found_and_refused(
    seeded: Callable[[], None],
) -> None:
    asked = terms(3, length=LENGTH)
    seen: list[dict[tuple[Kind, str], bytes]] = []
    for count in (4711, 4712):
        seeded()
        CountInItsKeys.count = str(count).encode()
        attempt = Attempt(asked, planted(asked.names), {}, {LEAKING: CountInItsKeys})
        with pytest.raises(MisconductError) as caught:
            attempt.play()
        assert caught.value.party == LEAKING
        seen.append(unmasked_messages(attempt))
    differing = {key for key in seen[0] if seen[0][key] != seen[1].get(key)}
    assert (STEPS[0], LEAKING) in differing


def test_the_aggregator_with_a_member_learns_the_sum_and_no_more() -> None:
    """With the group's secret, sums of fewer than all survivors are still noise."""
    watched = witness(4)
    layers, names = watched.layers, sorted(watched.layers)
    known = {
        name: watched.masked(name) - layers[name].own - layers[name].group
        for name in names
    }
    whole = sum(known.values(), start=np.zeros(LENGTH, np.uint64))
    vectors = watched.attempt.vectors
    plain = sum(vectors.values(), start=np.zeros(LENGTH, np.uint64))
    assert np.array_equal(whole, plain)
    for name in names:
        assert not (known[name] == vectors[name]).any()
        rest = whole - known[name]
        assert not (rest == plain - vectors[name]).any()
