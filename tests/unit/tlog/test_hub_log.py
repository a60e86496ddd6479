"""Whatever a hub answers, a file of the log is whole, in time, or refused."""

import threading
import time
from collections.abc import Callable
from itertools import count

import pytest

from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.tiles import MAX_LEAF
from veilscore.node.errors import CoordinatorRefusedError
from veilscore.node.log.hub_log import FILE_S, HubLog
from veilscore.runtime.errors import UnreachableError, WireError
from veilscore.v1.hub_pb2 import ReadLogResponse

BUNDLE = "tile/entries/000"
TILE = "tile/0/000"


class Hub:
    """Answers as it is told, and counts."""

    def __init__(self, answer: Callable[[int], ReadLogResponse]) -> None:
        self.asked = 0
        self.now = 0.0
        self.answer = answer
        self.stopping = threading.Event()
        self.log = HubLog(self._part, self.stopping, lambda: self.now)

    def _part(self, path: str, offset: int) -> ReadLogResponse:
        del path
        self.asked += 1
        return self.answer(offset)


def whole(data: bytes) -> Callable[[int], ReadLogResponse]:
    return lambda offset: ReadLogResponse(data=data[offset:], total=len(data))


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("checkpoint", 65_536),
        (TILE, 8192),
        ("tile/1/000.p/3", 96),
        (BUNDLE, 256 * (2 + MAX_LEAF)),
        ("tile/entries/000.p/2", 2 * (2 + MAX_LEAF)),
    ],
)
def test_no_file_is_larger_than_its_kind(name: str, most: int) -> None:
    assert Hub(whole(bytes(most))).log.read(name) == bytes(most)
    hub = Hub(whole(bytes(most + 1)))
    with pytest.raises(WireError, match=f"{most} at most"):
        hub.log.read(name)
    assert hub.asked == 1


@pytest.mark.parametrize(
    "answers",
    [
        [ReadLogResponse(data=b"abc", total=2)],
        [ReadLogResponse(data=b"abc", total=6), ReadLogResponse(data=b"defg", total=6)],
        [ReadLogResponse(data=b"abc", total=6), ReadLogResponse(data=b"d", total=7)],
        [ReadLogResponse(data=b"abc", total=6), ReadLogResponse(data=b"", total=6)],
        [ReadLogResponse(data=b"", total=6)],
    ],
    ids=["over its total", "over it later", "another total", "no more", "nothing"],
)
def test_parts_that_are_no_file_are_refused(answers: list[ReadLogResponse]) -> None:
    calls = count()
    hub = Hub(lambda _: answers[next(calls)])
    with pytest.raises(WireError, match="ends after"):
        hub.log.read(BUNDLE)
    assert hub.asked == len(answers)


def test_a_file_has_one_deadline_however_many_parts_come() -> None:
    def slow(_: int) -> ReadLogResponse:
        hub.now += 1
        return ReadLogResponse(data=b"x", total=1_000_000)

    hub = Hub(slow)
    with pytest.raises(WireError, match="bytes came in 120 s"):
        hub.log.read(BUNDLE)
    assert hub.asked == FILE_S


def test_a_node_that_stops_asks_for_no_further_part() -> None:
    hub = Hub(lambda _: ReadLogResponse(data=b"x", total=1_000_000))
    reader = threading.Thread(target=_refused, args=(hub.log,))
    reader.start()
    while hub.asked < 10:
        time.sleep(0.001)
    hub.stopping.set()
    reader.join(10)
    assert not reader.is_alive()


def _refused(log: HubLog) -> None:
    with pytest.raises(UnreachableError, match="this node stops"):
        log.read(BUNDLE)


def test_tiles_are_read_once_and_bundles_are_not_held() -> None:
    hub = Hub(whole(b"hashes"))
    for name, asked in ((TILE, 1), (TILE, 1), (BUNDLE, 2), (BUNDLE, 3)):
        assert hub.log.read(name) == b"hashes"
        assert hub.asked == asked


def test_a_file_that_the_log_has_not_proves_nothing() -> None:
    def refuse(_: int) -> ReadLogResponse:
        raise CoordinatorRefusedError("the log has no such file", reason=reason)

    reason = "bad-proof"
    with pytest.raises(ProofError, match="no such file"):
        Hub(refuse).log.read(TILE)
    reason = "registry"
    with pytest.raises(CoordinatorRefusedError):
        Hub(refuse).log.read(TILE)
    with pytest.raises(ProofError, match="no path"):
        Hub(whole(b"")).log.read("../log.db")
