"""What scoring remembers: on disk at once, still there after a restart."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from veilscore.keys.errors import ReplayError
from veilscore.keys.tlog.database import Database
from veilscore.node.errors import BudgetSpentError
from veilscore.node.scoring.ledger import Ledger

NONCE = b"n" * 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scoring.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = Database(path)
    yield opened
    opened.close()


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


@pytest.fixture
def again(path: Path) -> Iterator[Callable[[], Ledger]]:
    """Return a function that opens the file once more, as after a power cut."""
    with ExitStack() as opened:

        def reopened() -> Ledger:
            database = Database(path)
            opened.callback(database.close)
            return Ledger(database)

        yield reopened


def test_a_nonce_is_spent_once_for_each_requester(
    ledger: Ledger, again: Callable[[], Ledger]
) -> None:
    assert not ledger.nonce_seen("bank", NONCE)
    ledger.spend_nonce("bank", NONCE, 100, 50.0)
    ledger.spend_nonce("broker", NONCE, 100, 50.0)
    for each in (ledger, again()):
        assert each.nonce_seen("bank", NONCE)
        with pytest.raises(ReplayError):
            each.spend_nonce("bank", NONCE, 200, 50.0)


def test_nonces_are_forgotten_long_after_their_deadline(ledger: Ledger) -> None:
    week = 7 * 86_400
    ledger.spend_nonce("bank", NONCE, 100, 50.0)
    ledger.spend_nonce("bank", b"m" * 16, 200, 100.0 + week)
    assert ledger.nonce_seen("bank", NONCE)
    ledger.spend_nonce("bank", b"l" * 16, 200, 101.0 + week)
    assert not ledger.nonce_seen("bank", NONCE)
    assert ledger.nonce_seen("bank", b"m" * 16)


def test_no_number_is_used_twice_whenever_the_power_fails(
    ledger: Ledger, again: Callable[[], Ledger]
) -> None:
    used = 0
    for _ in range(3):
        for _ in range(1500):
            assert ledger.sent.get("sent score bureau", 0) >= used
            used = ledger.sent.get("sent score bureau", 0) + 1
            ledger.sent["sent score bureau"] = used
        ledger = again()
    assert ledger.sent.get("sent score market", 0) == 0


def test_a_mark_received_is_on_disk_with_the_next_nonce(
    ledger: Ledger, again: Callable[[], Ledger]
) -> None:
    ledger.received["received score bank"] = 2**63 - 1
    assert ledger.received.get("received score bank", 0) == 2**63 - 1

    def spend_twice() -> None:
        with ledger.together():
            ledger.spend_nonce("bank", NONCE, 100, 50.0)
            ledger.spend_nonce("bank", NONCE, 100, 50.0)

    with pytest.raises(ReplayError):
        spend_twice()
    other = again()
    assert not other.nonce_seen("bank", NONCE)  # neither of the two was written
    assert other.received.get("received score bank", 0) == 0
    with ledger.together():
        ledger.spend_nonce("bank", NONCE, 100, 50.0)
    assert other.received.get("received score bank", 0) == 2**63 - 1


def test_marks_received_are_on_disk_when_the_node_stops(
    ledger: Ledger, again: Callable[[], Ledger]
) -> None:
    ledger.received["received score bank"] = 7
    ledger.close()
    assert again().received.get("received score bank", 0) == 7


def test_a_nonce_is_not_in_the_file(ledger: Ledger, path: Path) -> None:
    """By it and the log whoever has an old copy could try ids."""
    nonce = bytes(range(100, 116))
    ledger.spend_nonce("bank", nonce, 100, 50.0)
    written = path.read_bytes() + path.with_name(path.name + "-wal").read_bytes()
    assert nonce not in written


def test_a_budget_is_charged_whole_or_not_at_all_and_kept(
    ledger: Ledger, again: Callable[[], Ledger]
) -> None:
    assert ledger.spent("bank", "card") == 0
    ledger.spend("bank", "card", 60, 100)
    ledger.spend("bank", "card", 40, 100)
    for bits in (1, 10**6):
        with pytest.raises(BudgetSpentError) as caught:
            ledger.spend("bank", "card", bits, 100)
        assert caught.value.party == "bank"
    ledger.spend("broker", "card", 100, 100)
    ledger.spend("bank", "another", 7, 7)
    other = again()
    assert other.spent("bank", "card") == 100
    assert other.spent("bank", "another") == 7
    other.spend("bank", "card", 1, 101)  # the operator allowed more
    assert ledger.spent("bank", "card") == 101


def test_threads_share_a_budget(ledger: Ledger) -> None:
    def spend(_: int) -> bool:
        try:
            ledger.spend("bank", "card", 10, 100)
        except BudgetSpentError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(spend, range(40))) == 10
    assert ledger.spent("bank", "card") == 100
