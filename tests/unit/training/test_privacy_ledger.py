from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from veilscore.fault import Fault
from veilscore.keys.tlog.database import Database
from veilscore.models.horizontal import accounting
from veilscore.models.horizontal.noise_shares import NoisySums
from veilscore.node.errors import BudgetSpentError, RefusedError
from veilscore.node.training.privacy_budget import epsilon
from veilscore.node.training.privacy_ledger import PrivacyLedger

RUN = (NoisySums(20.0, 2), NoisySums(30.0, 40))  # epsilon .82 at delta 1e-5
DELTA = 1e-5


class Book:
    """A ledger in a file of its own, with a budget."""

    def __init__(self, path: Path, allowed: float = 2.0) -> None:
        self.allowed = allowed
        self.database = Database(path)
        self.ledger = PrivacyLedger(self.database)

    def charge(
        self, rows: str, run: str, sums: Sequence[NoisySums] = RUN, delta: float = DELTA
    ) -> float:
        accountant = partial(epsilon, delta=delta)
        return self.ledger.charge(
            rows, run, sums, allowed=self.allowed, accountant=accountant
        )

    def spent(self, rows: str, delta: float = DELTA) -> float:
        return epsilon(self.ledger.sums(rows), delta)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def book(path: Path) -> Iterator[Book]:
    opened = Book(path)
    yield opened
    opened.database.close()


def test_runs_compose_until_the_budget_is_spent(book: Book) -> None:
    assert book.spent("2026") == 0.0
    first = book.charge("2026", "r1")
    assert first == pytest.approx(accounting.epsilon(RUN, DELTA), rel=1e-6)
    spent = second = book.charge("2026", "r2")
    assert second == pytest.approx(accounting.epsilon([*RUN, *RUN], DELTA), rel=1e-6)
    assert first < second < 2 * first  # as normal noise composes
    for number in range(3, 6):
        spent = book.charge("2026", f"r{number}")
    with pytest.raises(BudgetSpentError, match="than is left") as caught:
        book.charge("2026", "r6")
    assert "epsilon: 2, with this run 2." in caught.value.place
    assert second < book.spent("2026") == spent <= 2.0


def test_a_restart_gives_nothing_back(path: Path, book: Book) -> None:
    spent = book.charge("2026", "r1")
    book.database.close()
    again = Book(path, allowed=spent)
    assert again.spent("2026") == spent
    with pytest.raises(BudgetSpentError):
        again.charge("2026", "r2")
    for rows in ("2026", "2027"):
        with pytest.raises(RefusedError, match="before"):
            again.charge(rows, "r1")
    assert again.spent("2026") == spent
    assert PrivacyLedger.peek(path, "2026") == list(RUN)
    again.database.close()


def test_a_file_without_a_ledger_has_spent_nothing(path: Path) -> None:
    Database(path).close()
    assert PrivacyLedger.peek(path, "all") == []


def test_other_rows_have_a_budget_of_their_own(book: Book) -> None:
    book.allowed = 1.0
    book.charge("2026", "r1")
    book.charge("2027", "r2")
    with pytest.raises(BudgetSpentError):
        book.charge("2027", "r3")


def test_another_delta_holds_for_the_runs_before_it(book: Book) -> None:
    """What is kept are sums: epsilon is reckoned anew, at the delta in force."""
    first = book.charge("2026", "r1", delta=1e-3)
    strict = book.spent("2026", delta=1e-9)
    assert strict == pytest.approx(accounting.epsilon(RUN, 1e-9), rel=1e-6)
    assert strict > first
    book.allowed = 1.2
    assert book.charge("2026", "r2", delta=1e-3) < book.allowed
    # Two runs fit at 1e-3; at 1e-9 not even these two do, and no third.
    assert book.spent("2026", delta=1e-9) > book.allowed
    with pytest.raises(BudgetSpentError):
        book.charge("2026", "r3", [NoisySums(1e5, 1)], delta=1e-9)
    assert book.charge("2026", "r3", [NoisySums(1e5, 1)], delta=1e-3) < book.allowed


def test_two_processes_do_not_spend_the_same_rest(path: Path, book: Book) -> None:
    """Each has the file open for itself, as two processes have."""
    books = [book, Book(path)]
    for each in books:
        each.allowed = 5.0

    def count(sums: Sequence[NoisySums]) -> float:
        return float(len(sums))

    def charge(number: int) -> bool:
        each = books[number % 2]
        try:
            each.ledger.charge(
                "2026", f"r{number}", RUN[:1], allowed=5.0, accountant=count
            )
        except Fault:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(charge, range(20))) == 5
    assert len(book.ledger.sums("2026")) == 5
    books[1].database.close()


def test_a_figure_that_is_no_number_spends_the_budget(book: Book) -> None:
    def broken(_: Sequence[NoisySums]) -> float:
        return float("nan")

    with pytest.raises(BudgetSpentError):
        book.ledger.charge("2026", "r1", RUN, allowed=5.0, accountant=broken)
    assert book.ledger.sums("2026") == []


@pytest.mark.parametrize(
    "sums",
    [
        [NoisySums(20.0, 2), NoisySums(33.0, 7), NoisySums(5.0, 1)],
        [NoisySums(2.0, 1)],
        [NoisySums(40.0, 1000), NoisySums(90.0, 2)],
    ],
)
def test_many_sums_are_as_one_to_the_library(sums: list[NoisySums]) -> None:
    whole = accounting.epsilon(sums, DELTA)
    assert epsilon(sums, DELTA) == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("noise", [1e-320, 1e-200, 1e-3, 0.09])
def test_next_to_no_noise_is_beyond_any_budget_and_costs_no_time(noise: float) -> None:
    assert epsilon([NoisySums(noise, 1)], DELTA) == float("inf")


def test_much_noise_spends_next_to_nothing() -> None:
    assert 0 <= epsilon([NoisySums(1e300, 40)], DELTA) < 1e-4
    assert epsilon([], DELTA) == 0
