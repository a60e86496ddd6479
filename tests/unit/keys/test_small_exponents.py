"""Sums that stand for lists: what leads from list to list leads from sum to sum."""

import hashlib

import pytest

from veilscore.keys import ristretto, small_exponents
from veilscore.keys.errors import LinkageError
from veilscore.keys.linkage import BlindingKey, dummies, hash_to_group
from veilscore.keys.ristretto import POINT
from veilscore.keys.small_exponents import SUMS, sums

CHALLENGE = bytes(range(32))
POINTS = b"".join(hash_to_group(f"X:{i}") for i in range(30))


def split(points: bytes) -> list[bytes]:
    return [points[at : at + POINT] for at in range(0, len(points), POINT)]


def test_sums_are_the_points_times_what_the_challenge_draws() -> None:
    count = 6
    stream = hashlib.shake_256(CHALLENGE + b"bank").digest(2 * SUMS * count)
    points = POINTS[: count * POINT]
    for which, found in enumerate(sums([points], CHALLENGE, "bank", "bureau")):
        expected = ristretto.IDENTITY
        for index, point in enumerate(split(points)):
            at = 2 * (count * which + index)
            coefficient = int.from_bytes(stream[at : at + 2], "little") % 4096 + 1
            for _ in range(coefficient):
                expected = ristretto.total(expected, point)
        assert found == expected


@pytest.mark.parametrize("count", [1, 2, 300, 9000])
def test_what_raises_a_list_raises_its_sums(count: int) -> None:
    """9,000 points leave hardly a coefficient unused, 2 nearly all."""
    points, signer = dummies(count), BlindingKey.fresh()
    raised = signer.blind(points, "bank", threads=2)
    before = sums([points], CHALLENGE, "bank", "bureau")
    assert signer.prove(before)[0] == sums([raised], CHALLENGE, "bank", "bureau")


def test_any_change_of_a_list_changes_both_sums() -> None:
    points, true = split(POINTS), sums([POINTS], CHALLENGE, "bank", "bureau")
    swapped = [points[1], points[0], *points[2:]]
    replaced = [*points[:-1], ristretto.random_point()]
    for changed in (swapped, replaced, points[:-1], [*points, points[0]]):
        found = sums([b"".join(changed)], CHALLENGE, "bank", "bureau")
        assert not set(found) & set(true)


def test_other_challenges_and_owners_have_other_coefficients() -> None:
    found = {
        point
        for challenge in (CHALLENGE, bytes(32))
        for owner in ("bank", "bureau")
        for point in sums([POINTS], challenge, owner, "bureau")
    }
    assert len(found) == 4 * SUMS


def test_each_sum_is_a_chance_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 4 coefficients two are equal in 1 of 4 sums, in both sums in 1 of 16."""
    monkeypatch.setattr(small_exponents, "_COEFFICIENTS", 4)
    pair = split(POINTS)[:2]
    unnoticed = [0, 0]
    for number in range(400):
        challenge = number.to_bytes(small_exponents.CHALLENGE)
        true = sums([b"".join(pair)], challenge, "bank", "bureau")
        swapped = sums([b"".join(pair[::-1])], challenge, "bank", "bureau")
        unnoticed[0] += true[0] == swapped[0]
        unnoticed[1] += true == swapped
    assert 66 <= unnoticed[0] <= 134  # 100, and 4 standard deviations
    assert 6 <= unnoticed[1] <= 45  # 25


@pytest.mark.parametrize("place", [0, 17, 29])
def test_a_list_that_holds_no_point_names_who_sent_it(place: int) -> None:
    points = split(POINTS)
    points[place] = b"\xff" * POINT
    with pytest.raises(LinkageError, match="not a point") as caught:
        sums([b"".join(points)], CHALLENGE, "bank", "bureau")
    assert caught.value.party == "bureau"
