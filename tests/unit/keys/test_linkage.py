"""Blinding of ids: published vectors, the ring, and sets that break its rules."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.errors import LinkageError
from veilscore.keys.linkage import (
    PSEUDONYM,
    BlindingKey,
    check_set,
    dummies,
    hash_to_group,
    size_bucket,
    truncate,
)
from veilscore.keys.ristretto import hash_to_point

KEYS = [BlindingKey.fresh() for _ in range(3)]
POINTS = b"".join(hash_to_group(f"X:{i}") for i in range(50))


def entries(blinded: bytes, width: int = 32) -> list[bytes]:
    return [blinded[at : at + width] for at in range(0, len(blinded), width)]


def test_hash_and_blinding_agree_with_rfc_9497() -> None:
    """Appendix A.1.1, OPRF(ristretto255, SHA-512), test vector 1: input 00."""
    domain = b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512"
    point = hash_to_point(b"\0", domain)
    blind = BlindingKey(
        bytes.fromhex(
            "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706"
        )
    )
    server = BlindingKey(
        bytes.fromhex(
            "5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e"
        )
    )
    blinded = blind.blind(point, "client")
    assert blinded.hex() == (
        "609a0ae68c15a3cf6903766461307e5c8bb2f95e7e6550e1ffa2dc99e412803c"
    )
    assert server.blind(blinded, "server").hex() == (
        "7ec6578ae5120958eb2db1745758ff379e77cb64fe77b0b2d8cc917ea0869c7e"
    )


def test_our_domain_is_not_that_of_the_rfc() -> None:
    domain = b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512"
    theirs = hash_to_point(b"X:1", domain)
    assert hash_to_group("X:1") != theirs


def test_equal_ids_meet_whatever_the_order_of_the_ring() -> None:
    ends: set[bytes] = set()
    for ring in permutations(KEYS):
        blinded = POINTS
        for key in ring:
            blinded = key.blind(blinded, "bank")
        ends.add(blinded)
    assert len(ends) == 1
    assert len(set(entries(ends.pop()))) == 50


@settings(deadline=None)
@given(st.sets(st.text(max_size=5), min_size=1, max_size=8))
def test_sets_of_two_owners_share_exactly_the_ids_they_share(ids: set[str]) -> None:
    first, second = sorted(ids)[:5], sorted(ids)[2:]
    ends = [
        set(
            entries(
                KEYS[b].blind(
                    KEYS[a].blind(b"".join(map(hash_to_group, ids_)), "owner"), "owner"
                )
            )
        )
        for ids_, a, b in ((first, 0, 1), (second or ["-none-"], 1, 0))
    ]
    assert len(ends[0] & ends[1]) == len(set(first) & set(second))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_order_is_kept_over_chunks_and_threads(threads: int) -> None:
    points = b"".join(hash_to_group(f"X:{i}") for i in range(1030))
    blinded = KEYS[0].blind(points, "bank", threads=threads)
    for index in (0, 1, 1023, 1024, 1029):
        one = KEYS[0].blind(entries(points)[index], "bank")
        assert entries(blinded)[index] == one


def test_another_alignment_shows_other_pseudonyms() -> None:
    seen = [set(entries(key.blind(POINTS, "bank"))) for key in KEYS]
    assert not seen[0] & seen[1]
    assert not seen[0] & set(entries(POINTS))


@pytest.mark.parametrize(
    ("blinded", "message"),
    [
        (b"", "no whole"),
        (POINTS[:-1], "no whole"),
        (POINTS + bytes(32), "identity"),
        (POINTS + POINTS[:32], "twice"),
    ],
)
def test_set_that_breaks_the_rules_names_its_sender(
    blinded: bytes, message: str
) -> None:
    for check in (check_set, KEYS[0].blind):
        with pytest.raises(LinkageError, match=message) as caught:
            check(blinded, "bureau")
        assert caught.value.party == "bureau"


@pytest.mark.parametrize(
    "encoding",
    [
        # RFC 9496 A.3: non-canonical, negative, and non-square field elements
        "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ],
)
def test_what_is_not_a_point_is_refused(encoding: str) -> None:
    with pytest.raises(LinkageError, match="not a point") as caught:
        KEYS[0].blind(POINTS + bytes.fromhex(encoding), "market")
    assert caught.value.party == "market"


def test_truncated_entries_stay_distinct() -> None:
    short = entries(truncate(POINTS), PSEUDONYM)
    assert short == [point[:16] for point in entries(POINTS)]
    assert len(set(short)) == 50


def test_buckets_are_the_powers_of_1_1_rounded_up() -> None:
    assert [size_bucket(n) for n in (0, 1, 2, 3, 10, 11)] == [1, 1, 2, 3, 10, 11]
    assert size_bucket(4_120_000) == 4_195_944


@settings(deadline=None)
@given(st.integers(1, 10**7))
def test_bucket_is_stable_and_wastes_at_most_a_tenth(count: int) -> None:
    bucket = size_bucket(count)
    assert count <= bucket <= count * 1.1 + 1
    assert size_bucket(bucket) == bucket


def test_dummies_are_points_like_any_other() -> None:
    padding = dummies(20)
    check_set(POINTS + padding, "bank")
    assert len(KEYS[0].blind(padding, "bank")) == 20 * 32


def test_repr_shows_no_secret() -> None:
    key = BlindingKey(b"\x5e" * 32)
    assert "5e" * 32 not in repr(key)
    assert "^^^^" not in repr(key)
