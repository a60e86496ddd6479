"""What a comparison of logs of any size keeps in memory."""

import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.tlog.recon_desk import Desk, recon_desk
from tests.unit.tlog.sample_log import NOW_MS, Parties
from veilscore.keys.tlog.archive import write_tar
from veilscore.keys.tlog.chain import own_files
from veilscore.keys.tlog.events import ActorHead, Detail, OpenedEvent
from veilscore.keys.tlog.export import plan_export
from veilscore.keys.tlog.recon.finding import Kind
from veilscore.keys.tlog.recon.own_events import OwnEvents
from veilscore.keys.tlog.recon.requests import Requests
from veilscore.v1.audit_pb2 import ScoreAnswered, ScoreDecided, ScoreRequested, Started

REQUESTS = 1000
EVENTS = 4000


@contextmanager
def counted() -> Generator[Callable[[], int]]:
    """Yields what tells how many bytes are in use that were not before."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    try:
        yield lambda: tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


class Others:
    """Requests between others."""

    def __init__(self, parties: Parties) -> None:
        self._parties = parties
        self._heads: defaultdict[str, ActorHead] = defaultdict(ActorHead)

    def say(self, actor: str, detail: Detail, number: int) -> OpenedEvent:
        event = self._parties.event(
            actor, self._heads[actor], detail, correlation=f"{number:064x}"
        )
        self._heads[actor] = event.head
        return event

    def request(self, number: int) -> list[OpenedEvent]:
        """The holder decides before the request is logged, and answers after it."""
        return [
            self.say("bureau", ScoreDecided(allowed=True), number),
            self.say("market", ScoreRequested(holders=["bureau"]), number),
            self.say("bureau", ScoreAnswered(ciphertexts=1), number),
        ]


def test_of_a_request_of_others_a_hash_is_kept(parties: Parties) -> None:
    others = Others(parties)
    events = [each for at in range(REQUESTS) for each in others.request(at)]
    requests = Requests("bank")
    with counted() as used:
        for event in events:
            requests.add(event)
        assert used() < 200 * REQUESTS
    assert requests.findings(lambda _: False, lambda _: False) == []
    assert requests.write() == ()


def test_who_says_something_about_a_request_of_others_is_found(
    parties: Parties,
) -> None:
    others = Others(parties)
    requests = Requests("bank")
    for event in others.request(7):
        requests.add(event)
    requests.add(others.say("bank", ScoreDecided(allowed=True), 7))
    requests.add(others.say("bureau", ScoreDecided(), 7))
    found = requests.findings(lambda _: False, lambda _: False)
    assert [(each.kind, each.what) for each in found] == [
        (Kind.UNASKED, "bank was not asked"),
        (Kind.UNFINISHED, "bank allowed and is silent"),
    ]


def test_a_request_of_others_that_comes_to_concern_us_is_followed(
    parties: Parties,
) -> None:
    """A second event of the same id: no honest node makes it, a log may hold it."""
    others = Others(parties)
    requests = Requests("bank")
    for event in others.request(7):
        requests.add(event)
    requests.add(others.say("market", ScoreRequested(holders=["bank"]), 7))
    found = requests.findings(lambda _: False, lambda _: False)
    assert [(each.kind, each.what) for each in found] == [
        (Kind.UNANSWERED, "bank did not decide"),
    ]


@pytest.mark.parametrize("kind", ["file", "export"])
def test_own_events_are_read_some_at_a_time(
    tmp_path: Path, parties: Parties, kind: str
) -> None:
    with recon_desk(tmp_path, parties) as desk:
        _say_much(desk)
        path = desk.path
        if kind == "export":
            path = tmp_path / "own.tar"
            with own_files(desk.path) as get:
                write_tar(path, plan_export(get).files(get))
        with counted() as used, OwnEvents.open(path) as events:
            events.check(parties.registry)
            assert sum(1 for _ in events.after(0)) == len(events) == EVENTS + 1
            last = events.event(EVENTS + 1)
            assert last is not None
            assert events.event(EVENTS + 2) is events.event(0) is None
            assert used() < 200 * EVENTS


def _say_much(desk: Desk) -> None:
    leaves = desk.chain.extend([Started(version="2")] * EVENTS, "", NOW_MS)
    assert len(leaves) == EVENTS
