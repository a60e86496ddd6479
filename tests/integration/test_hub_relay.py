"""Envelopes, notices and losses over a real hub: mutual TLS on the loopback."""

import queue
import secrets
import time
from collections.abc import Generator

import pytest

from tests.integration.hub_world import COORDINATOR, PARTIES, World, world
from veilscore.coordinator.relay import GONE, LEFT, NOT_ATTACHED, RESTARTED
from veilscore.node.attachment import ANEW, MISSED
from veilscore.runtime.errors import PeerLostError
from veilscore.runtime.outbox import WINDOW_BYTES
from veilscore.v1 import hub_pb2

BANK_A, BANK_B, FARM_OFFICE = PARTIES
SOON = 10.0
LOST_WITHIN_S = 5.0


@pytest.fixture
def hub() -> Generator[World]:
    with world() as running:
        yield running


def test_three_nodes_pass_five_megabytes_round(hub: World) -> None:
    nodes = dict(zip(PARTIES, hub.nodes(), strict=True))
    sent = {party: secrets.token_bytes(5_000_000) for party in PARTIES}
    following = dict(zip(PARTIES, (*PARTIES[1:], BANK_A), strict=True))
    for party, node in nodes.items():
        node.link.send(following[party], sent[party])
    for party, recipient in following.items():
        expected = (party, sent[party], False)
        assert nodes[recipient].envelopes.get(timeout=SOON) == expected
    assert all(node.envelopes.empty() for node in nodes.values())


def test_an_urgent_envelope_overtakes_bulk(hub: World) -> None:
    first, second, _ = hub.nodes()
    bulk = secrets.token_bytes(30_000_000)
    first.link.send(BANK_B, bulk)
    first.link.send(BANK_B, b"query", urgent=True)
    assert second.envelopes.get(timeout=SOON) == (BANK_A, b"query", True)
    assert second.envelopes.get(timeout=SOON) == (BANK_A, bulk, False)


def test_a_cut_wire_loses_nothing_and_nobody(hub: World) -> None:
    wires = hub.wire(), hub.wire()
    first, second = (
        hub.node(party, port=wire.port)
        for party, wire in zip((BANK_A, BANK_B), wires, strict=True)
    )
    for node in (first, second):
        node.link.wait_ready(SOON)
    sent = [secrets.token_bytes(3_000_000) for _ in range(6)]
    for number, data in enumerate(sent):
        first.link.send(BANK_B, data)
        first.link.send(BANK_B, number.to_bytes(2, "big"), urgent=True)
        wires[number % 2].cut()
        time.sleep(0.05)
    arrived = [second.envelopes.get(timeout=SOON) for _ in range(2 * len(sent))]
    assert [data for _, data, urgent in arrived if not urgent] == sent
    assert [data for _, data, urgent in arrived if urgent] == [
        number.to_bytes(2, "big") for number in range(len(sent))
    ]
    assert hub.losses.empty()
    assert first.losses.empty()
    assert second.losses.empty()


@pytest.mark.parametrize("how", ["closed", "stalled"])
def test_a_party_whose_wire_is_gone_is_named_within_five_seconds(
    hub: World, how: str
) -> None:
    wire = hub.wire()
    node = hub.node(BANK_A, port=wire.port)
    others = hub.node(BANK_B), hub.node(FARM_OFFICE)
    for each in (node, *others):
        each.link.wait_ready(SOON)
    began = time.monotonic()
    if how == "closed":
        wire.close()
    else:
        wire.stall()
    for other in others:
        assert other.losses.get(timeout=SOON) == (BANK_A, GONE)
    assert time.monotonic() - began < LOST_WITHIN_S
    assert hub.losses.get(timeout=SOON) == (BANK_A, GONE)
    assert hub.hub.attached() == {BANK_B, FARM_OFFICE}


def test_a_slow_recipient_keeps_little_in_memory_and_gets_everything(
    hub: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_bytes = 4_000_000
    monkeypatch.setattr("veilscore.node.link.QUEUE_BYTES", queue_bytes)
    first, slow, _ = hub.nodes()
    slow.may_take.clear()
    sent = [secrets.token_bytes(2_000_000) for _ in range(20)]
    for data in sent:
        first.link.send(BANK_B, data)
    first.link.send(FARM_OFFICE, b"the last", timeout_s=SOON)
    time.sleep(1)  # nothing to wait for: what must not happen is that more comes
    backlog = slow.link._backlog  # pyright: ignore[reportPrivateUsage] - memory is what this is about
    assert backlog <= queue_bytes + WINDOW_BYTES + len(sent[0])
    slow.may_take.set()
    assert [slow.envelopes.get(timeout=SOON)[1] for _ in sent] == sent


def test_a_silent_hub_is_dialled_again_and_the_session_goes_on(
    hub: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veilscore.node.attachment.SILENCE_S", 1.0)
    node = hub.node(BANK_A)  # the hub says nothing for BEAT_S
    assert node.states.get(timeout=SOON) == (True, "attached")
    is_open, detail = node.states.get(timeout=SOON)
    assert not is_open
    assert "does not respond" in detail
    assert node.states.get(timeout=SOON) == (True, "resumed")
    assert hub.losses.empty()


def test_a_node_that_closes_has_left_at_once_and_its_last_words_arrive(
    hub: World,
) -> None:
    first, second, _ = hub.nodes()
    last_words = secrets.token_bytes(2_000_000)
    first.link.send(BANK_B, last_words)
    first.link.close()
    assert second.envelopes.get(timeout=SOON) == (BANK_A, last_words, False)
    assert second.losses.get(timeout=1) == (BANK_A, LEFT)


def test_an_envelope_to_nobody_is_answered_by_name(hub: World) -> None:
    node = hub.node(BANK_A)
    for absent in (FARM_OFFICE, "no-such-party"):
        node.link.send(absent, bytes(600_000))
        assert node.losses.get(timeout=SOON) == (absent, NOT_ATTACHED)
    assert node.losses.empty()
    with pytest.raises(PeerLostError) as caught:
        hub.hub.send(FARM_OFFICE, b"hello")
    assert caught.value.party == FARM_OFFICE


def test_the_coordinator_is_a_party_too(hub: World) -> None:
    node = hub.node(BANK_A)
    assert hub.attached.get(timeout=SOON) == BANK_A
    node.link.send(COORDINATOR, b"blinded ids")
    assert hub.envelopes.get(timeout=SOON) == (BANK_A, b"blinded ids")
    hub.hub.send(BANK_A, bytes(700_000))
    assert node.envelopes.get(timeout=SOON) == (COORDINATOR, bytes(700_000), False)
    hub.hub.notify(BANK_A, hub_pb2.NOTICE_KIND_MESSAGE_WAITING, "run-7", "counts")
    notice = node.notices.get(timeout=SOON)
    assert (notice.run, notice.step) == ("run-7", "counts")
    node.link.notify(hub_pb2.NOTICE_KIND_STEP_DONE, "run-7", "counts")
    party, notice = hub.notices.get(timeout=SOON)
    assert party == BANK_A
    assert notice.kind == hub_pb2.NOTICE_KIND_STEP_DONE


def test_a_restarted_hub_is_reported_with_what_was_under_way(hub: World) -> None:
    first, second, _ = hub.nodes()
    hub.hub.stop()
    assert first.states.get(timeout=SOON) == (True, "attached")
    is_open, _ = first.states.get(timeout=SOON)
    assert not is_open
    hub.start_hub()
    for node in (first, second):
        node.link.wait_ready(SOON)
        assert node.losses.get(timeout=SOON) == (COORDINATOR, ANEW)
    first.link.send(BANK_B, b"again")
    assert second.envelopes.get(timeout=SOON) == (BANK_A, b"again", False)


def test_envelopes_that_a_dead_hub_had_not_taken_are_reported(hub: World) -> None:
    wire = hub.wire()
    node = hub.node(BANK_A, port=wire.port)
    node.link.wait_ready(SOON)
    wire.stall()
    node.link.send(BANK_B, bytes(1_000_000))
    hub.hub.stop()
    wire.close()
    hub.start_hub()
    hub.wire(wire.port)
    node.link.wait_ready(SOON)
    assert node.losses.get(timeout=SOON) == (COORDINATOR, ANEW)
    assert node.losses.get(timeout=SOON) == (BANK_B, MISSED)


def test_a_restarted_node_is_reported_to_the_others(hub: World) -> None:
    wire = hub.wire()
    stale = hub.node(BANK_A, port=wire.port)
    other = hub.node(BANK_B)
    for node in (stale, other):
        node.link.wait_ready(SOON)
    wire.close()  # its process died with its connection
    hub.node(BANK_A).link.wait_ready(SOON)
    assert other.losses.get(timeout=SOON) == (BANK_A, RESTARTED)
    assert hub.losses.get(timeout=SOON) == (BANK_A, RESTARTED)
    other.link.send(BANK_A, b"welcome back")
    with pytest.raises(queue.Empty):
        other.losses.get(timeout=0.3)
