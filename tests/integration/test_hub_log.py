"""A party reads the log over the hub: its static files, whole, and nothing else."""

import secrets
import threading
from collections.abc import Generator
from pathlib import Path

import grpc
import pytest

from tests.integration.hub_world import AUDITOR, PARTIES, World, world
from tests.unit.tlog.sample_log import Parties, SampleLog
from veilscore.coordinator.hub_service import READ_BYTES
from veilscore.keys.tlog.archive import MAX_FILE
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.export import local_files, plan_export
from veilscore.node.errors import CoordinatorRefusedError
from veilscore.node.link import Link
from veilscore.node.log.hub_log import HubLog
from veilscore.runtime.channel import client_credentials
from veilscore.runtime.errors import WireError
from veilscore.v1 import hub_pb2, hub_pb2_grpc

BANK_A = PARTIES[0]


@pytest.fixture
def hub() -> Generator[World]:
    with world() as running:
        yield running


@pytest.fixture
def link(hub: World) -> Link:
    node = hub.node(BANK_A)
    node.link.wait_ready(10)
    return node.link


def files_of(link: Link) -> HubLog:
    return HubLog(link.read_log, threading.Event())


def test_all_files_of_a_log_and_no_others_are_read(
    hub: World, link: Link, tmp_path: Path
) -> None:
    log = SampleLog(tmp_path, Parties.generate())
    log.fill(300, "bank")
    hub.reads = log.service.file
    log_files = files_of(link)
    note = log_files.read("checkpoint").decode()
    assert open_checkpoint(note, log.store.key).size == 300
    get = local_files(log.store, log.store.key)
    for name, data in plan_export(get).files(get):
        if name.startswith("tile/"):
            assert log_files.read(name) == data
    for name in (
        *("", "log.v1.json", "registry.json", "/checkpoint", "tile/0/000.p/301"),
        *("tile/entries/002", "../log.db", "tile/entries/0", "tile/8/000", "x" * 9999),
    ):
        with pytest.raises(CoordinatorRefusedError) as caught:
            link.read_log(name, 0)
        assert caught.value.reason == "bad-proof"
        assert caught.value.what == "the log has no such file"
    log.store.close()


def test_a_file_larger_than_a_message_comes_in_parts(hub: World, link: Link) -> None:
    whole = secrets.token_bytes(5 * READ_BYTES + 7)
    hub.reads = lambda _: whole
    assert files_of(link).read("tile/entries/000") == whole
    hub.reads = lambda _: b""
    assert files_of(link).read("tile/entries/000") == b""


def test_a_file_that_no_log_has_is_refused(hub: World, link: Link) -> None:
    hub.reads = lambda _: bytes(MAX_FILE + 1)
    with pytest.raises(WireError, match="ends after"):
        files_of(link).read("tile/entries/000")


def test_an_auditor_reads_and_a_stranger_does_not(hub: World) -> None:
    hub.reads = lambda _: b"a note"
    hub.node(BANK_A).link.wait_ready(10)
    assert hub.node(AUDITOR).link.read_log("checkpoint", 0).data == b"a note"
    with pytest.raises(CoordinatorRefusedError) as caught:
        hub.node("stranger").link.read_log("checkpoint", 0)
    assert caught.value.reason == "registry"


def test_an_absurd_offset_is_answered(hub: World) -> None:
    hub.reads = lambda _: b"a note"
    identity = hub.identity(BANK_A)
    options = [("grpc.ssl_target_name_override", "hub.test")]
    credentials = client_credentials(identity)
    address = f"127.0.0.1:{hub.port}"
    with grpc.secure_channel(address, credentials, options) as channel:
        stub = hub_pb2_grpc.HubServiceStub(channel)
        request = hub_pb2.ReadLogRequest(path="checkpoint", offset=2**64 - 1)
        response = stub.ReadLog(request, timeout=10)
    assert (response.data, response.total) == (b"", 6)
