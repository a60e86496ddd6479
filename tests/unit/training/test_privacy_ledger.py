from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from veilscore.fault import Fault
from veilscore.models.horizontal.accounting import epsilon
from veilscore.models.horizontal.noise_shares import NoisySums
from veilscore.node.errors import BudgetSpentError, RefusedError
from veilscore.node.training.privacy_ledger import PrivacyLedger

RUN = (NoisySums(20.0, 2), NoisySums(30.0, 40))  # epsilon .82 at delta 1e-5
DELTA = 1e-5


def ledger(path: Path, allowed: float = 2.0) -> PrivacyLedger:
    return PrivacyLedger(path, allowed, partial(epsilon, delta=DELTA))


def test_runs_compose_until_the_budget_is_spent(tmp_path: Path) -> None:
    book = ledger(tmp_path / "privacy.sqlite")
    assert book.spent("2026") == 0.0
    first = book.charge("2026", "r1", RUN)
    assert first == pytest.approx(epsilon(RUN, DELTA))
    spent = second = book.charge("2026", "r2", RUN)
    assert second == pytest.approx(epsilon([*RUN, *RUN], DELTA))
    assert first < second < 2 * first  # as normal noise composes
    for number in range(3, 6):
        spent = book.charge("2026", f"r{number}", RUN)
    with pytest.raises(BudgetSpentError, match="2 is allowed"):
        book.charge("2026", "r6", RUN)
    assert second < book.spent("2026") == spent <= 2.0
    book.close()


def test_a_restart_gives_nothing_back(tmp_path: Path) -> None:
    path = tmp_path / "privacy.sqlite"
    book = ledger(path)
    spent = book.charge("2026", "r1", RUN)
    book.close()
    again = ledger(path, allowed=spent)
    assert again.spent("2026") == spent
    with pytest.raises(BudgetSpentError):
        again.charge("2026", "r2", RUN)
    with pytest.raises(RefusedError, match="before"):
        again.charge("2026", "r1", RUN)
    with pytest.raises(RefusedError, match="before"):
        again.charge("2027", "r1", RUN)
    assert again.spent("2026") == spent
    again.close()


def test_other_rows_have_a_budget_of_their_own(tmp_path: Path) -> None:
    book = ledger(tmp_path / "privacy.sqlite", allowed=1.0)
    book.charge("2026", "r1", RUN)
    book.charge("2027", "r2", RUN)
    with pytest.raises(BudgetSpentError):
        book.charge("2027", "r3", RUN)
    book.close()


def test_runs_that_begin_at_once_do_not_spend_the_same_rest(tmp_path: Path) -> None:
    def count(sums: Sequence[NoisySums]) -> float:
        return float(len(sums))

    book = PrivacyLedger(tmp_path / "privacy.sqlite", 5.0, count)

    def charge(number: int) -> bool:
        try:
            book.charge("2026", f"r{number}", RUN[:1])
        except Fault:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(charge, range(20))) == 5
    assert book.spent("2026") == 5.0
    book.close()


def test_a_figure_that_is_no_number_spends_the_budget(tmp_path: Path) -> None:
    def broken(_: Sequence[NoisySums]) -> float:
        return float("nan")

    book = PrivacyLedger(tmp_path / "privacy.sqlite", 5.0, broken)
    with pytest.raises(BudgetSpentError):
        book.charge("2026", "r1", RUN)
    book.close()
