"""A log that shows less than it has signed, or not what leads to it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.tlog.evidence_story import QUERY
from tests.unit.tlog.published_log import MemoryExport
from tests.unit.tlog.recon_desk import Days, recon_desk
from tests.unit.tlog.sample_log import NOW_MS, Parties, own_word
from tests.unit.tlog.witnessed_log import witnessed_log
from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.evidence.contradiction import Contradiction
from veilscore.keys.tlog.recon.comparison import OPEN_MS, reconcile
from veilscore.keys.tlog.recon.finding import Kind
from veilscore.v1.audit_pb2 import ScoreDecided, ScoreRequested, Started

LATER_MS = NOW_MS + OPEN_MS
FAR_MS = 4_000_000_000_000  # 2096
TILE = "tile/0/001.p/46"  # of 302 entries


class Moving(MemoryExport):
    """A log that goes on when its checkpoint was read once."""

    def __init__(self, files: MemoryExport, go_on: Callable[[], MemoryExport]) -> None:
        super().__init__(files)
        self._go_on = go_on

    def read(self, name: str) -> bytes:
        if name == "checkpoint":
            self.update(self._go_on())
        return super().read(name)


@pytest.fixture
def days(tmp_path: Path, parties: Parties) -> Iterator[Days]:
    with recon_desk(tmp_path, parties) as desk:
        yield Days(desk)


def test_a_log_that_stands_still_is_found_by_what_it_has_proved(days: Days) -> None:
    files = days.desk.export()
    days.recon(files=files)
    days.desk.say(Started(version="2"))
    assert days.recon(LATER_MS - 1, files).is_clean
    report = days.recon(LATER_MS, files)
    (finding,) = report.findings
    assert (finding.kind, finding.event) == (Kind.STALE, 2)
    assert finding.what == "the log shows 1 entries and has proved it among 2"
    (exhibit,) = report.exhibits
    shown = files["checkpoint"].decode()
    both = Contradiction(days.desk.log.store.key, exhibit.older, shown)
    assert [each.size for each in both.checkpoints()] == [1, 2]
    assert days.recon(LATER_MS).is_clean


def test_a_log_that_stands_still_costs_the_same_every_day(days: Days) -> None:
    files = days.desk.export()
    days.recon(files=files)
    mark = days.mark
    for version in range(20):
        days.desk.say(Started(version=str(version)))
        report = days.recon(LATER_MS, files)
        assert [(each.kind, each.event) for each in report.findings] == [
            (Kind.STALE, 2)
        ]
        assert days.mark == mark
    report = days.recon(LATER_MS)
    assert (report.own, report.is_clean) == (20, True)
    assert days.mark.unsettled == ()


def test_a_receipt_that_comes_while_both_are_compared_accuses_nobody(
    days: Days,
) -> None:
    """As after a time without witnesses: the event is old, its receipt is not."""
    (late,) = days.desk.chain.extend([Started(version="2")], "", NOW_MS)
    old = days.desk.export()

    def go_on() -> MemoryExport:
        return days.desk.export()

    days.desk.prove(late)
    files = Moving(old, go_on)
    report = reconcile(
        "bank",
        days.desk.chain,
        files,
        old["checkpoint"].decode(),
        days.desk.log.policy,
        now_ms=LATER_MS,
    )
    assert report.is_clean
    assert (report.own, report.mark.seq, report.mark.unsettled) == (1, 1, ())


def test_what_waits_for_witnesses_is_not_held_back(
    tmp_path: Path, parties: Parties
) -> None:
    """Of a node that believes the log's word, while the log waits for its witnesses."""
    with recon_desk(tmp_path, parties) as desk:
        (leaf,) = desk.chain.extend([Started(version="2")], "", NOW_MS)
        (proof,) = desk.log.service.append([leaf])
        desk.chain.confirm([(leaf, proof)])
        files = MemoryExport(desk.log.files())
        report = reconcile(
            "bank",
            desk.chain,
            files,
            files["checkpoint"].decode(),
            own_word(desk.log.store.key),
            now_ms=LATER_MS,
        )
        assert [(each.kind, each.event) for each in report.findings] == [
            (Kind.WAITING, 2)
        ]
        assert not report.exhibits


@pytest.mark.parametrize("damage", ["missing", "short", "changed"])
def test_a_tile_that_cannot_be_used_is_no_fork(days: Days, damage: str) -> None:
    days.desk.log.fill(300, "market")
    days.recon()
    days.desk.say(Started(version="2"))
    files = days.desk.export()
    tile = files.pop(TILE)
    if damage != "missing":
        files[TILE] = tile[:-5] if damage == "short" else bytes(len(tile))
    mark = days.mark
    with pytest.raises(ProofError):
        days.recon(files=files)
    assert days.mark == mark


@pytest.mark.parametrize("tile", [TILE, "tile/1/000.p/1"])
def test_a_changed_tile_under_an_old_receipt_is_no_fork(days: Days, tile: str) -> None:
    (late,) = days.desk.chain.extend([Started(version="2")], "", NOW_MS)
    days.desk.log.fill(300, "market")
    days.recon()
    days.desk.prove(late)
    files = days.desk.export()
    assert tile in files
    files[tile] = bytes(len(files[tile]))
    with pytest.raises(ProofError, match="does not show"):
        days.recon(files=files)


def test_a_log_of_the_same_size_is_a_fork_without_its_tiles(
    days: Days, parties: Parties, tmp_path: Path
) -> None:
    days.recon()
    (tmp_path / "fork").mkdir()
    with witnessed_log(tmp_path / "fork", parties) as fork:
        fork.fill(1, "market")
        fork.cosign(0)
        files = MemoryExport({"checkpoint": fork.files()["checkpoint"]})
    assert [each.kind for each in days.recon(files=files).findings] == [Kind.FORK]


def test_a_time_far_ahead_hides_nothing(days: Days) -> None:
    """Nobody's clock is so wrong: what is of such a time will never be older."""
    asked = ScoreRequested(holders=["bank"])
    days.desk.others_say("market", asked, "ee" * 32, now_ms=FAR_MS)
    days.desk.chain.extend([Started(version="2")], "", NOW_MS + 2 * OPEN_MS)
    assert days.kinds() == [(Kind.WAITING, 2), (Kind.UNANSWERED, 0)]
    days.desk.others_say("market", asked, "dd" * 32, now_ms=LATER_MS - 1)
    assert (Kind.UNANSWERED, 0) not in days.kinds()


def test_what_was_read_of_us_is_known_also_beyond_the_mark(days: Days) -> None:
    """An event that waits for a newer log holds up the mark, not what was read."""
    desk = days.desk
    desk.others_say("market", ScoreRequested(holders=["bank"]), QUERY)
    (waits,) = desk.chain.extend([Started(version="2")], "", NOW_MS)
    (refused,) = desk.chain.extend([ScoreDecided(code="quota")], QUERY, NOW_MS)
    desk.log.service.append([waits])
    desk.prove(refused)
    files = desk.export()
    desk.others_say("market", Started(version="1"))
    desk.cosign()
    desk.chain.confirm([(waits, desk.log.store.inclusion(2))])
    assert days.recon(files=files).is_clean
    assert (days.mark.seq, days.mark.logged, days.mark.requests) == (1, 3, ())
    desk.say(ScoreDecided(code="quota"), QUERY)
    assert days.recon(LATER_MS).is_clean
    assert days.mark.seq == 4
