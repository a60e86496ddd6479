"""Numbers of pseudonyms: equal ones share one, as in a dict, whatever the sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from veilscore.coordinator.alignment import number_alike

# Few different words, so that many pseudonyms are alike in one half only.
WORDS = st.sampled_from([0, 1, 2**63, 2**64 - 1])
SETS = st.lists(st.lists(st.tuples(WORDS, WORDS), max_size=8), min_size=1, max_size=4)


@given(SETS)
def test_equal_pseudonyms_share_a_number_and_unequal_never(
    sets: list[list[tuple[int, int]]],
) -> None:
    arrays = [np.array(each, dtype=np.uint64).reshape(-1, 2) for each in sets]
    numbers, count = number_alike(arrays)
    everything = [pseudonym for each in sets for pseudonym in each]
    number_of = dict(zip(everything, numbers.tolist(), strict=True))
    assert [number_of[pseudonym] for pseudonym in everything] == numbers.tolist()
    assert sorted(number_of.values()) == list(range(count))
