"""Who gets into the hub, with what, and what the others are told."""

import logging
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import grpc
import psutil
import pytest

from tests.integration.hub_world import (
    AUDITOR,
    COORDINATOR,
    PARTIES,
    World,
    world,
)
from veilscore.coordinator.relay import BROKE_RULES, REFUSED
from veilscore.fault import Fault
from veilscore.keys.authority import DevelopmentAuthority
from veilscore.keys.certificates import Certificate
from veilscore.keys.errors import InvalidKeyError
from veilscore.keys.receiving import ReceivingKeys
from veilscore.node.errors import CoordinatorRefusedError
from veilscore.runtime.channel import client_credentials
from veilscore.runtime.errors import PortInUseError, UnreachableError
from veilscore.runtime.tls import TlsIdentity
from veilscore.v1 import hub_pb2, hub_pb2_grpc

BANK_A, BANK_B, FARM_OFFICE = PARTIES
SOON = 10.0
PURPOSE = "run:2026-11"


@pytest.fixture
def hub() -> Generator[World]:
    with world() as running:
        yield running


def _refusal(hub: World, identity: TlsIdentity, port: int = 0) -> Fault:
    """Return what a node with this identity is told after a second."""
    node = hub.node("nobody-here", port=port, identity=identity)
    with pytest.raises(Fault) as caught:
        node.link.wait_ready(1)
    assert hub.hub.attached() == frozenset()
    return caught.value


def test_an_unregistered_party_is_refused_and_logged(
    hub: World, caplog: pytest.LogCaptureFixture
) -> None:
    fault = _refusal(hub, hub.identity("stranger"))
    assert isinstance(fault, CoordinatorRefusedError)
    assert fault.reason == "registry"
    record = next(r for r in caplog.records if "stranger" in r.getMessage())
    assert record.levelno == logging.WARNING
    assert record.__dict__["method"] == "Attach"


def test_a_denied_party_and_a_denied_certificate_are_refused(hub: World) -> None:
    hub.access.denied_parties = frozenset({BANK_A})
    denied = hub.identity(BANK_B)
    serial = Certificate.parse(denied.certificate).serial
    hub.access.denied_serials = frozenset({serial})
    for identity in (hub.identity(BANK_A), denied):
        fault = _refusal(hub, identity)
        assert isinstance(fault, CoordinatorRefusedError)
        assert fault.reason == "access"
    hub.node(BANK_B).link.wait_ready(SOON)  # with its new certificate


def test_an_attached_party_that_is_denied_is_put_out_by_name(hub: World) -> None:
    first, second, _ = hub.nodes()
    hub.access.denied_parties = frozenset({BANK_A})
    assert second.losses.get(timeout=SOON) == (BANK_A, REFUSED)
    with pytest.raises(CoordinatorRefusedError):
        first.link.health()


def test_an_auditor_asks_for_health_but_does_not_attach(hub: World) -> None:
    node = hub.node(AUDITOR)
    with pytest.raises(CoordinatorRefusedError) as caught:
        node.link.wait_ready(1)
    assert caught.value.reason == "access"
    assert node.link.health().version == "test"


def _warnings(
    caplog: pytest.LogCaptureFixture, until: float
) -> Generator[logging.LogRecord]:
    seen = 0
    while time.monotonic() < until:
        records = caplog.records[seen:]
        seen += len(records)
        yield from records
        time.sleep(0.1)


def test_a_certificate_of_another_authority_is_refused_and_counted(
    hub: World, caplog: pytest.LogCaptureFixture
) -> None:
    other = DevelopmentAuthority.create("other", time.time(), 2)
    fault = _refusal(hub, hub.identity(BANK_A, authority=other))
    assert isinstance(fault, UnreachableError)
    assert "may refuse this certificate" in fault.what
    assert "hub's log" in fault.remedy
    failed = next(
        record.__dict__["failed_handshakes"]
        for record in _warnings(caplog, until=time.monotonic() + 12)
        if "failed_handshakes" in record.__dict__
    )
    assert failed > 0


def test_an_expired_certificate_is_called_expired(hub: World) -> None:
    old = DevelopmentAuthority.create("old", time.time() - 3 * 86_400, 2)
    expired = hub.identity(BANK_A, authority=old, age_days=2)
    fault = _refusal(hub, expired)
    assert isinstance(fault, InvalidKeyError)
    assert "expired" in fault.what


def test_a_node_does_not_talk_to_a_coordinator_it_does_not_trust(hub: World) -> None:
    other = DevelopmentAuthority.create("other", time.time(), 2)
    mine = hub.identity(BANK_A)
    distrustful = TlsIdentity(other.certificate_pem, mine.certificate, mine.key)
    fault = _refusal(hub, distrustful)
    assert isinstance(fault, InvalidKeyError)
    assert "not one this node trusts" in fault.what


def test_an_address_where_nobody_answers_is_named(hub: World) -> None:
    wire = hub.wire()
    wire.close()
    fault = _refusal(hub, hub.identity(BANK_A), port=wire.port)
    assert isinstance(fault, UnreachableError)
    assert (fault.party, fault.place) == ("coordinator", f"127.0.0.1:{wire.port}")
    assert "does not answer" in fault.what
    assert fault.remedy


def test_a_caller_that_breaks_the_rules_is_put_out_and_the_others_go_on(
    hub: World,
) -> None:
    first, second, _ = hub.nodes()
    first.link.close()
    assert second.losses.get(timeout=SOON)[0] == BANK_A
    identity = hub.identity(BANK_A)
    options = [("grpc.ssl_target_name_override", "hub.test")]
    hello = hub_pb2.Frame(hello=hub_pb2.Hello(session=b"s" * 16))
    gap = hub_pb2.Frame(
        seq=2, notice=hub_pb2.Notice(kind=hub_pb2.NOTICE_KIND_STEP_DONE)
    )
    with grpc.secure_channel(
        f"127.0.0.1:{hub.port}", client_credentials(identity), options
    ) as channel:
        attach = hub_pb2_grpc.HubServiceStub(channel).Attach
        for frames in ([gap], [hello, hello], [hello, gap]):
            requests = [hub_pb2.AttachRequest(frame=frame) for frame in frames]
            with pytest.raises(grpc.RpcError) as caught:
                list(attach(iter(requests), timeout=SOON))
            assert "wire: the stream broke the rules of the wire" in str(caught.value)
    assert second.losses.get(timeout=SOON) == (BANK_A, BROKE_RULES)
    assert list(second.link.health().attached) == [BANK_B, FARM_OFFICE]


def test_a_port_that_is_taken_is_named(hub: World) -> None:
    other = World()
    other.port = hub.port
    with pytest.raises(PortInUseError) as caught:
        other.start_hub()
    assert str(hub.port) in caught.value.place


def test_a_node_opens_no_port(hub: World) -> None:
    def listening() -> set[int]:
        return {
            connection.laddr.port
            for connection in psutil.Process().net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }

    before = listening()
    hub.nodes()
    assert listening() == before == {hub.port}


def test_the_newest_receiving_key_of_each_party_is_in_the_directory(
    hub: World,
) -> None:
    first, second, _ = hub.nodes()
    now = int(time.time())

    def signed(party: str, since: int) -> hub_pb2.SignedKey:
        keys = ReceivingKeys.generate()
        signer = hub.signers[party]
        return keys.signed(
            signer,
            party,
            PURPOSE,
            paillier=None,
            not_before=since,
            not_after=now + 60,
        )

    older, newer, other = (
        signed(BANK_A, now - 9),
        signed(BANK_A, now - 5),
        signed(BANK_B, now - 9),
    )
    for key in (older, newer):
        first.link.publish(key)
    second.link.publish(other)
    assert second.link.directory(PURPOSE) == [newer, other]
    assert second.link.directory("score") == []

    forged = hub_pb2.SignedKey(body=other.body, signature=newer.signature)
    refused = [(older, "replay"), (other, "invalid-key")]
    for key, reason in refused:
        with pytest.raises(CoordinatorRefusedError) as caught:
            first.link.publish(key)
        assert caught.value.reason == reason
    with pytest.raises(CoordinatorRefusedError) as caught:
        second.link.publish(forged)
    assert caught.value.reason == "bad-signature"
    assert second.link.directory(PURPOSE) == [newer, other]


def test_an_event_is_appended_under_the_name_in_the_certificate(hub: World) -> None:
    node = hub.node(BANK_A)
    (proof,) = node.link.append([b"a signed event"]).proofs
    assert hub.leaves == [(BANK_A, b"a signed event")]
    assert (proof.index, proof.checkpoint) == (0, "checkpoint\n")
    assert node.link.health().log_size == 1


class _Waiting(list[tuple[str, bytes]]):
    """A log that waits for its witnesses."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Semaphore(0)
        self.cosigned = threading.Event()

    def append(self, leaf: tuple[str, bytes], /) -> None:
        self.asked.release()
        self.cosigned.wait(30.0)
        super().append(leaf)


def test_nobody_else_waits_while_receipts_wait_for_witnesses(hub: World) -> None:
    node, many = hub.node(BANK_A), 40
    hub.leaves = waiting = _Waiting()
    with ThreadPoolExecutor(many) as callers:
        receipts = [callers.submit(node.link.append, [b"event"]) for _ in range(many)]
        try:
            for _ in range(many):
                assert waiting.asked.acquire(timeout=10.0)
            assert list(node.link.health().attached) == [BANK_A]
            assert not any(each.done() for each in receipts)
        finally:
            waiting.cosigned.set()
        assert all(each.result().proofs for each in receipts)


class _Broken(list[tuple[str, bytes]]):
    def append(self, _: tuple[str, bytes], /) -> None:
        raise KeyError("a secret of the log")


def test_a_refusal_tells_nothing_of_the_inside(hub: World) -> None:
    node = hub.node(BANK_A)
    with pytest.raises(CoordinatorRefusedError) as caught:
        node.link.append([])
    assert caught.value.reason == "append"
    assert "sqlite" not in str(caught.value)
    hub.leaves = _Broken()
    with pytest.raises(CoordinatorRefusedError) as caught:
        node.link.append([b"event"])
    assert caught.value.reason == "internal"
    assert "secret" not in str(caught.value)


def test_health_names_who_is_attached(hub: World) -> None:
    first, *_ = hub.nodes()
    health = first.link.health()
    assert list(health.attached) == sorted(PARTIES)
    assert abs(health.time - time.time()) < 5


def test_certificates_are_renewed_while_the_session_goes_on(hub: World) -> None:
    first, second, _ = hub.nodes()
    hub.hub.renew(hub.identity(COORDINATOR, hosts=("hub.test",)))
    assert first.states.get(timeout=SOON) == (True, "attached")
    first.link.renew(hub.identity(BANK_A))
    assert first.states.get(timeout=SOON)[0] is False
    assert first.states.get(timeout=SOON) == (True, "resumed")
    first.link.send(BANK_B, b"still here")
    assert second.envelopes.get(timeout=SOON) == (BANK_A, b"still here", False)
    assert second.losses.empty()


def test_a_second_process_of_a_party_takes_over_and_the_first_is_told(
    hub: World,
) -> None:
    first = hub.node(BANK_A)
    first.link.wait_ready(SOON)
    assert first.states.get(timeout=SOON) == (True, "attached")
    hub.node(BANK_A).link.wait_ready(SOON)
    is_open, detail = first.states.get(timeout=SOON)
    assert not is_open
    assert "another stream of this party took over" in detail
