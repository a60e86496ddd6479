"""A log on a full disk, or in a read-only file: refused with the reason, nothing lost.

What was acknowledged stays provable, what could not be is kept by its party, and
reaches the log complete and in order when it can be written again. No score leaves
meanwhile.
"""

import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.log_troubles import FileLimit, FullDisk, ReadOnlyFile, Trouble
from tests.integration.small_disk import SmallDisk, mount_privately
from tests.protocol.joint_scores import NAMES, all_holders, ask
from tests.protocol.raw_requester import RawRequester
from tests.protocol.score_world import SOON, Node, People, World
from tests.vectors.tlog import make_tree
from veilscore.keys.errors import LogStoreError
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.events import read_event
from veilscore.node.scoring.refusals import SENTENCES, Reason
from veilscore.v1.audit_pb2 import Started

KINDS = {
    "a limit on files": FileLimit,
    "a full disk": FullDisk,
    "a read-only file": ReadOnlyFile,
}
REFUSED = ["score_decided", "score_answered", "score_decided"]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People.create(tmp_path_factory.mktemp("people"))


@contextmanager
def small_disk(folder: Path) -> Generator[SmallDisk]:
    folder.mkdir()
    disk = SmallDisk(folder, mib=8)
    try:
        yield disk
    finally:
        disk.close()


def writes_everything(folder: Path) -> bool:
    probe = folder / "probe"
    probe.touch(mode=0o400)
    return os.access(probe, os.W_OK)


@pytest.fixture(params=KINDS)
def trouble(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trouble]:
    """Yield a way in which the log of a world in ``tmp_path`` cannot be written."""
    kind = KINDS[request.param]
    may_mount = kind is not FileLimit and mount_privately()
    if kind is FullDisk:
        if not may_mount:
            pytest.skip("filling a disk needs root: it mounts a small one")
        with small_disk(tmp_path / "hub") as disk:
            yield FullDisk(disk)
    elif kind is ReadOnlyFile:
        if not may_mount and writes_everything(tmp_path):
            pytest.skip("this user may write to every file, and cannot mount one")
        yield ReadOnlyFile(mounted=may_mount)
    else:
        yield FileLimit()


@pytest.fixture
def hub(trouble: Trouble, tmp_path: Path, people: People) -> Iterator[World]:
    del trouble  # it is prepared before the log is made, and ends after it
    with all_holders(tmp_path, people) as running:
        yield running


@contextmanager
def during(trouble: Trouble, hub: World) -> Generator[None]:
    trouble.begin(hub)
    try:
        yield
    finally:
        trouble.end(hub)


def kept(node: Node) -> list[bytes]:
    """Return all events of a node, with and without a proof, by its own record."""
    proven: list[bytes] = []
    while receipt := node.chain.receipt(len(proven) + 1):
        proven.append(receipt.leaf)
    return proven + node.chain.pending()


def wait_for(node: Node, kinds: list[str]) -> None:
    """Wait until a node has written down its events of these kinds."""
    until = time.monotonic() + SOON
    found: list[str] = []
    while sorted(found) != sorted(kinds):
        assert time.monotonic() < until, found
        time.sleep(0.01)
        found = [read_event(leaf).kind for leaf in kept(node)]
        found = [kind for kind in found if kind != "key_published"]


def check(hub: World) -> None:
    """Fail unless the log holds what every node does, in order, and says so."""
    found = hub.log_events()
    for party, node in hub.nodes.items():
        of_party = [each.leaf for each in found if each.event.actor == party]
        assert of_party == kept(node)
        assert not node.chain.pending()
    signed = open_checkpoint(hub.checkpoint(), hub.log_key)
    assert signed.size == len(found)
    assert signed.root == make_tree.mth([each.leaf for each in found])


def test_events_wait_and_reach_the_log_in_order(hub: World, trouble: Trouble) -> None:
    bank = hub.nodes["bank"]
    bank.receipts.record(Started(version="0"), correlation="")
    before = kept(bank)
    with during(trouble, hub):
        for version in "123":
            with pytest.raises(LogStoreError) as caught:
                bank.receipts.record(Started(version=version), correlation="")
            assert caught.value.place == str(hub.log)
            assert "Check the disk and the permissions" in caught.value.remedy
        assert len(bank.chain.pending()) == 3
        assert kept(bank)[: len(before)] == before
        proven = bank.chain.receipt(len(before))
        assert proven is not None
        assert proven.proof is not None
        proven.proof.verify(proven.leaf, hub.log_key)
        told = open_checkpoint(hub.checkpoint(), hub.log_key).size
    bank.receipts.record(Started(version="4"), correlation="")
    check(hub)
    assert [each.event.started.version for each in hub.events("bank")] == [*"01234"]
    assert len(hub.log_events()) == told + 4
    hub.reopen_log()
    check(hub)


def test_no_score_leaves_meanwhile(hub: World, trouble: Trouble) -> None:
    with during(trouble, hub):
        with pytest.raises(LogStoreError) as caught:
            ask(hub, NAMES[:3])
        assert caught.value.place == str(hub.log)
        broker = RawRequester(hub, "broker")
        reply = broker.ask("bureau", broker.body(NAMES[:3]))
        assert reply.refusal.code == Reason.LOG_UNREACHABLE
        assert reply.refusal.reason == SENTENCES[Reason.LOG_UNREACHABLE]
        assert {each.event.actor for each in hub.events()} <= {"hub"}
        # Both queries reach the bureau; each answer is written down, then refused.
        wait_for(hub.nodes["bureau"], 2 * REFUSED)
        wait_for(hub.nodes["market"], REFUSED)
    for node in hub.nodes.values():
        node.receipts.catch_up()
    check(hub)
    assert [each.kind for each in hub.events(actor="market")] == REFUSED
    assert len(ask(hub, NAMES[:3])) == 3
    check(hub)
