"""Frames of the hub's stream, at both of its ends.

Frames come one after the other; the input holds several, as the repeated field
``leaves`` of an AppendRequest, so that mutations find their edges.
"""

from collections.abc import Callable, Mapping
from typing import Final

from tests.fuzz.stock import Stock
from tests.fuzz.target import Target, by_grpc
from tests.unit.wires.session_ends import HUB_ID, PARTY_ID, STEP_DONE, joined_ends
from veilscore.coordinator.relay import Relay
from veilscore.runtime.chunks import CHUNK_BYTES
from veilscore.v1.hub_pb2 import AppendRequest, Frame, Hello, Lost

_LONGEST: Final = 1 << 20


def _frames(data: bytes) -> list[Frame]:
    return [by_grpc(Frame, each) for each in by_grpc(AppendRequest, data).leaves]


def _joined(frames: list[Frame]) -> bytes:
    leaves = [frame.SerializeToString() for frame in frames]
    return AppendRequest(leaves=leaves).SerializeToString()


def _spoken(*, by_party: bool) -> list[Frame]:
    """Return what one end of a lively stream says after its hello."""
    ends = joined_ends()
    for end, other in ((ends.party, "market"), (ends.hub, "bank")):
        end.queue_envelope(other, b"an envelope", urgent=False)
        end.queue_envelope(other, bytes(CHUNK_BYTES // 64), urgent=True)
        end.queue_notice(STEP_DONE)
        end.queue_ping(7)
    said = (ends.party if by_party else ends.hub).next_frames(CHUNK_BYTES)
    return [*said, Frame(lost=Lost(party="market", reason="it has left"))][:7]


def frames_to_the_hub(_: Stock) -> Target:
    def decode(data: bytes) -> None:
        relay = Relay("hub", max_envelope=_LONGEST)
        relay.attach("market", Hello(session=HUB_ID), 0.0)
        frames = _frames(data)
        hello = frames[0].hello if frames else Hello()
        relay.attach("bank", hello, 0.0)
        try:
            for frame in frames[1:]:
                relay.receive("bank", frame, 1.0)
        finally:
            for party in ("bank", "market"):
                relay.next_frames(party, CHUNK_BYTES)

    hello = Frame(hello=Hello(session=PARTY_ID, version="0.1.0"))
    said = [frame for frame in _spoken(by_party=True) if not frame.HasField("lost")]
    return Target(decode, [_joined([hello, *said])], share=0.5)


def frames_to_a_node(_: Stock) -> Target:
    def decode(data: bytes) -> None:
        party = joined_ends(_LONGEST).party
        for frame in _frames(data):
            party.receive(frame)
        party.next_frames(CHUNK_BYTES)

    return Target(decode, [_joined(_spoken(by_party=False))], share=0.5)


TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    "frames to the hub": frames_to_the_hub,
    "frames to a node": frames_to_a_node,
}
