"""Two ends of a stream of frames, and what is on its way between them."""

from dataclasses import dataclass, field

from veilscore.runtime.chunks import CHUNK_BYTES
from veilscore.runtime.session import Event, Session
from veilscore.v1 import hub_pb2

PARTY_ID = b"p" * 16
HUB_ID = b"h" * 16
STEP_DONE = hub_pb2.Notice(kind=hub_pb2.NOTICE_KIND_STEP_DONE, run="r1", step="counts")


@dataclass
class Ends:
    """A party's end and the hub's, and the frames on their way between them."""

    party: Session
    hub: Session
    to_hub: list[hub_pb2.Frame] = field(default_factory=list[hub_pb2.Frame])
    to_party: list[hub_pb2.Frame] = field(default_factory=list[hub_pb2.Frame])
    at_hub: list[Event] = field(default_factory=list[Event])
    at_party: list[Event] = field(default_factory=list[Event])

    def connect(self) -> None:
        """Break the stream, if there is one, and open the next."""
        self.to_hub.clear()
        self.to_party.clear()
        self.party.dial()
        (hello,) = self.party.next_frames(CHUNK_BYTES)
        assert not self.hub.is_open or self.hub.continues(hello.hello)
        self.hub.accept(hello.hello)

    def step(self, count: int = 1) -> bool:
        """Let each end send a little, and deliver ``count`` frames each way."""
        self.to_hub += self.party.next_frames(CHUNK_BYTES)
        self.to_party += self.hub.next_frames(CHUNK_BYTES)
        moved = bool(self.to_hub or self.to_party)
        for frame in self.to_hub[:count]:
            self.at_hub += self.hub.receive(_copied(frame))
        for frame in self.to_party[:count]:
            self.at_party += self.party.receive(_copied(frame))
        del self.to_hub[:count], self.to_party[:count]
        return moved

    def settle(self) -> None:
        """Deliver until nothing moves."""
        while self.step(8):
            pass


def _copied(frame: hub_pb2.Frame) -> hub_pb2.Frame:
    return hub_pb2.Frame.FromString(frame.SerializeToString())


def joined_ends(max_envelope: int = 1 << 26) -> Ends:
    ends = Ends(
        Session(PARTY_ID, max_envelope=max_envelope),
        Session(HUB_ID, max_envelope=max_envelope),
    )
    ends.connect()
    ends.settle()
    return ends
