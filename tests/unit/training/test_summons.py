"""Which message of Flower a node knows of, and when it should have come."""

from veilscore.node.training.summons import OVERDUE_S, Summons

RUN, OTHER = "5f" * 16, "0b" * 16
NOW = 100.0


def test_a_message_that_does_not_come_is_overdue_until_the_run_ends() -> None:
    summons = Summons()
    assert summons.overdue(NOW) is None
    summons.waits(RUN, "counts", NOW)
    assert summons.overdue(NOW + OVERDUE_S - 0.1) is None
    assert summons.overdue(NOW + OVERDUE_S) == (RUN, "counts")
    assert summons.overdue(NOW + 2 * OVERDUE_S) == (RUN, "counts")
    summons.ended(OTHER)
    assert summons.overdue(NOW + OVERDUE_S) == (RUN, "counts")
    summons.ended(RUN)
    assert summons.overdue(NOW + OVERDUE_S) is None


def test_a_message_that_came_is_not_overdue_however_long_the_step_takes() -> None:
    summons = Summons()
    summons.waits(RUN, "counts", NOW)
    summons.came(RUN, "counts")
    assert summons.overdue(NOW + 100 * OVERDUE_S) is None
    summons.waits(RUN, "moments", NOW)
    assert summons.overdue(NOW + OVERDUE_S) == (RUN, "moments")


def test_a_supernode_may_take_along_the_message_or_its_answer() -> None:
    summons = Summons()
    assert summons.under_way() is None
    summons.waits(RUN, "counts", NOW)
    assert summons.under_way() == (RUN, "counts")
    summons.came(RUN, "counts")
    assert summons.under_way() == (RUN, "counts")
    summons.ended(RUN)
    assert summons.under_way() is None


def test_a_hub_that_started_anew_asks_for_nothing() -> None:
    summons = Summons()
    summons.waits(RUN, "counts", NOW)
    summons.forget()
    assert summons.under_way() is None
    assert summons.overdue(NOW + OVERDUE_S) is None


def test_a_message_may_come_before_the_notice_of_it() -> None:
    summons = Summons()
    summons.came(RUN, "join")
    summons.waits(RUN, "join", NOW)
    assert summons.overdue(NOW + OVERDUE_S) is None


def test_a_line_that_was_away_begins_the_wait_anew() -> None:
    summons = Summons()
    summons.renew(NOW)
    assert summons.under_way() is None
    summons.waits(RUN, "counts", NOW)
    summons.renew(NOW + OVERDUE_S)
    assert summons.overdue(NOW + 2 * OVERDUE_S - 0.1) is None
    assert summons.overdue(NOW + 2 * OVERDUE_S) == (RUN, "counts")
