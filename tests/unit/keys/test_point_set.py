"""A set in parts: the rules of the whole hold, and every part has its turn."""

import pytest

from veilscore.keys import point_set
from veilscore.keys.errors import LinkageError
from veilscore.keys.linkage import BlindingKey, check_set, dummies
from veilscore.keys.point_set import MAX_PARTS, PointSet, ranges
from veilscore.keys.ristretto import POINT
from veilscore.keys.small_exponents import sums

PART = 10
POINTS = dummies(25)
SIZES = (10, 10, 5)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(point_set, "PART", PART)


def cut(points: bytes = POINTS) -> list[bytes]:
    return [
        points[part.start * POINT : part.stop * POINT]
        for part in ranges(len(points) // POINT)
    ]


def received(parts: list[bytes]) -> PointSet:
    found = PointSet("bureau")
    for number, points in enumerate(parts):
        assert not found.complete
        found.add(number, len(parts), points)
    return found


def test_parts_are_the_whole() -> None:
    parts = cut()
    assert tuple(len(part) // POINT for part in parts) == SIZES
    found = received(parts)
    assert found.complete
    assert b"".join(found.parts) == POINTS


@pytest.mark.parametrize("size", [1, 9, 10, 11, 20, 25])
def test_every_entry_is_in_one_part(size: int) -> None:
    assert [entry for part in ranges(size) for entry in part] == list(range(size))


def test_sums_and_blinding_of_the_parts_are_those_of_the_whole() -> None:
    key = BlindingKey.fresh()
    raised = [key.blind(part, "bank") for part in cut()]
    assert b"".join(raised) == key.blind(POINTS, "bank")
    whole = sums([POINTS], bytes(32), "bank", "bureau")
    assert sums(cut(), bytes(32), "bank", "bureau") == whole
    assert sums(cut()[::-1], bytes(32), "bank", "bureau") != whole
    first, second, third = cut()
    assert sums([second, first, third], bytes(32), "bank", "bureau") != whole


REFUSED: dict[str, tuple[int, int, bytes, str]] = {
    "the first again": (0, 3, POINTS[: PART * POINT], "out of turn"),
    "one left out": (2, 3, POINTS[-5 * POINT :], "out of turn"),
    "another number of parts": (1, 2, POINTS[-5 * POINT :], "out of turn"),
    "too short": (1, 3, POINTS[-5 * POINT :], "a part of 160 bytes before the last"),
    "too long": (1, 3, POINTS[-11 * POINT :], "a part of 352 bytes of its set, 320"),
    "ragged": (1, 3, POINTS[-10 * POINT : -1], "a part of 319 bytes before the last"),
    "identity": (1, 3, bytes(POINT) + POINTS[-9 * POINT :], "identity"),
    "twice in it": (1, 3, POINTS[-5 * POINT :] * 2, "twice"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_part_that_is_not_the_next_is_refused(name: str) -> None:
    found = PointSet("bureau")
    found.add(0, 3, POINTS[: PART * POINT])
    part, parts, points, message = REFUSED[name]
    with pytest.raises(LinkageError, match=message) as caught:
        found.add(part, parts, points)
    assert caught.value.party == "bureau"
    assert len(found.parts) == 1


@pytest.mark.parametrize(
    ("part", "parts", "message"),
    [(0, 0, "other than 1"), (0, MAX_PARTS + 1, "other than 1"), (1, 2, "out of turn")],
)
def test_a_first_part_says_how_many_there_are(
    part: int, parts: int, message: str
) -> None:
    with pytest.raises(LinkageError, match=message):
        PointSet("bureau").add(part, parts, POINTS[: PART * POINT])


def test_nothing_follows_the_last_part() -> None:
    found = received(cut())
    with pytest.raises(LinkageError, match="1 to 64 parts"):
        found.add(3, 3, dummies(1))


def test_an_entry_of_an_earlier_part_is_not_taken_again() -> None:
    found = PointSet("bureau")
    first, second, third = cut()
    found.add(0, 3, first)
    found.add(1, 3, second)
    with pytest.raises(LinkageError, match="twice") as caught:
        found.add(2, 3, third + first[:POINT])
    assert caught.value.party == "bureau"


def test_entries_that_begin_alike_are_not_the_same() -> None:
    alike = POINTS[:16] + POINTS[-16:]
    check_set(POINTS + alike, "bureau")
    check_set(POINTS[:POINT] + POINTS[:8] + POINTS[-24:], "bureau")
    with pytest.raises(LinkageError, match="twice"):
        check_set(POINTS + alike + alike, "bureau")
