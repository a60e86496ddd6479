import pytest

from veilscore.node.clock import LIMIT_S, ahead_s, check_clock
from veilscore.node.errors import ClockError


@pytest.mark.parametrize(
    ("told", "ahead"),
    [(100, 0), (101, 0), (102, 0), (90, 10), (117, -15), (99.5, 0.5), (102.5, -0.5)],
)
def test_clocks_agree_where_the_answer_can_have_been_on_its_way(
    told: float, ahead: float
) -> None:
    assert ahead_s(100, told, 102) == ahead


@pytest.mark.parametrize(
    ("ahead", "said"),
    [(12, "12 s ahead of the coordinator's"), (-600, "600 s behind the coordinator's")],
)
def test_a_clock_that_is_wrong_is_told(ahead: float, said: str) -> None:
    with pytest.raises(ClockError, match=said) as caught:
        check_clock(ahead)
    assert "NTP" in caught.value.remedy


def test_a_clock_that_is_right_enough_is_not() -> None:
    check_clock(LIMIT_S)
    check_clock(-LIMIT_S)
