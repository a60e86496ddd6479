import numpy as np
import pytest

from veilscore.models.errors import BoundError, DataError
from veilscore.models.horizontal.noise_shares import deviation, share
from veilscore.models.horizontal.terms import Members, Privacy

MEMBERS = Members(most=10, least=5, colluding=1)
DRAWN = 200_000


def test_shares_of_the_fewest_honest_members_have_the_whole_variance() -> None:
    honest = MEMBERS.least - MEMBERS.colluding
    whole = sum(share(DRAWN, 40.0, MEMBERS) for _ in range(honest))
    # Five standard errors of mean, variance and fourth moment of that many numbers.
    assert abs(np.mean(whole)) < 5 * 40 / DRAWN**0.5
    assert abs(np.var(whole) / 1600 - 1) < 5 * (2 / DRAWN) ** 0.5
    fourth = np.mean((np.asarray(whole) / 40.0) ** 4)
    assert abs(fourth - 3) < 5 * (96 / DRAWN) ** 0.5


def test_noise_is_whole_and_new_every_time() -> None:
    one, other = share(50, 40.0, MEMBERS), share(50, 40.0, MEMBERS)
    assert one.dtype == np.int64
    assert not np.array_equal(one, other)
    assert deviation(40.0, MEMBERS) == 20.0


def test_noise_of_a_few_units_is_refused() -> None:
    with pytest.raises(BoundError, match="3 units"):
        share(1, 6.0, MEMBERS)


@pytest.mark.parametrize("clip", [0.0, -1.0, np.inf, np.nan])
def test_no_privacy_without_a_clip(clip: float) -> None:
    with pytest.raises(DataError, match="clip must be above 0"):
        Privacy(clip, 1.0, 1.0)


def test_a_sum_of_which_colluders_know_all_but_one_is_refused() -> None:
    with pytest.raises(DataError, match="colluding"):
        Members(most=10, least=3, colluding=2)
