"""Cut envelopes into chunks and put them together again.

A sender finishes one envelope of a priority before it begins the next, and the
hub keeps that order. So at most one envelope per sender and priority is under
way, a chunk continues exactly that one, and a chunk at offset 0 begins a new one:
what a sender that died left unfinished is then forgotten.

Whoever runs this learns sizes and names, never what an envelope says. Nothing is
allocated because a header says so: an envelope grows by the bytes that came.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from veilscore.runtime.errors import WireError
from veilscore.v1 import hub_pb2

CHUNK_BYTES: Final = 256 * 1024
# The largest are predictors, 8 bytes a row: 8 million rows; then shares of scores and
# places of rows. Sets and encrypted rows travel in parts of megabytes.
MAX_ENVELOPE_BYTES: Final = 64 * 1024 * 1024
ENVELOPE_ID_BYTES: Final = 16
MAX_NAME_CHARS: Final = 64
# An honest hub is under two envelopes a registered party; masks are pairwise and
# made for a hundred parties (design, section 11).
MAX_UNFINISHED: Final = 256


def sender_of(chunk: hub_pb2.Chunk) -> str:
    """Return the field ``from``, whose name Python keeps for itself."""
    sender: str = getattr(chunk, "from")
    return sender


def is_urgent(chunk: hub_pb2.Chunk) -> bool:
    """Say which of the two queues a chunk belongs to."""
    return chunk.priority == hub_pb2.PRIORITY_URGENT


def split(to: str, data: bytes, *, urgent: bool) -> Iterator[hub_pb2.Frame]:
    """Yield the frames of one envelope; an empty envelope is one empty chunk."""
    envelope_id = secrets.token_bytes(ENVELOPE_ID_BYTES)
    priority = hub_pb2.PRIORITY_URGENT if urgent else hub_pb2.PRIORITY_UNSPECIFIED
    for offset in range(0, max(len(data), 1), CHUNK_BYTES):
        frame = hub_pb2.Frame()  # filled in place: protobuf copies what it is given
        frame.chunk.envelope_id = envelope_id
        frame.chunk.to = to
        frame.chunk.offset = offset
        frame.chunk.total = len(data)
        frame.chunk.data = data[offset : offset + CHUNK_BYTES]
        frame.chunk.priority = priority
        yield frame


@dataclass(slots=True)
class _Unfinished:
    envelope_id: bytes
    to: str
    total: int
    arrived: int = 0
    data: bytearray = field(default_factory=bytearray, repr=False)


class Assembly:
    """Envelopes under way to one end of a stream.

    ``local`` is the name of this end. The chunks of envelopes to others are
    checked like all, so that a hub passes on only what its recipients accept, but
    not kept. With ``local`` empty everything is for this end.
    """

    def __init__(self, local: str, max_envelope: int) -> None:
        self._local = local
        self._max_envelope = max_envelope
        self._unfinished: dict[tuple[str, bool], _Unfinished] = {}

    def is_local(self, chunk: hub_pb2.Chunk) -> bool:
        """Say whether the chunk's envelope is kept here."""
        return self._local in ("", chunk.to)

    def add(self, chunk: hub_pb2.Chunk) -> bytes | None:
        """Take the next chunk; return a kept envelope with its last one.

        Raises WireError on a chunk that no honest peer sends.
        """
        self._check_bounds(chunk)
        key = (sender_of(chunk), is_urgent(chunk))
        if chunk.offset == 0:
            if key not in self._unfinished and len(self._unfinished) >= MAX_UNFINISHED:
                raise WireError("too many envelopes are under way at once")
            envelope = _Unfinished(chunk.envelope_id, chunk.to, chunk.total)
            self._unfinished[key] = envelope
        else:
            envelope = self._continued(key, chunk)
        envelope.arrived += len(chunk.data)
        if self.is_local(chunk):
            envelope.data += chunk.data
        if envelope.arrived < envelope.total:
            return None
        del self._unfinished[key]
        return bytes(envelope.data) if self.is_local(chunk) else None

    def _check_bounds(self, chunk: hub_pb2.Chunk) -> None:
        size = len(chunk.data)
        if len(chunk.envelope_id) != ENVELOPE_ID_BYTES:
            raise WireError("an envelope id does not have 16 bytes")
        if not 0 < len(chunk.to) <= MAX_NAME_CHARS:
            raise WireError("a chunk names no recipient")
        if len(sender_of(chunk)) > MAX_NAME_CHARS:
            raise WireError("a chunk names no sender")
        if chunk.priority not in hub_pb2.Priority.values():
            raise WireError("a chunk has an unknown priority")
        if chunk.total > self._max_envelope:
            raise WireError("an envelope is larger than this end accepts")
        if size > CHUNK_BYTES or chunk.offset + size > chunk.total:
            raise WireError("a chunk is larger than its envelope or than a chunk")
        if size == 0 and chunk.total > 0:
            raise WireError("a chunk is empty")

    def _continued(self, key: tuple[str, bool], chunk: hub_pb2.Chunk) -> _Unfinished:
        envelope = self._unfinished.get(key)
        if (
            envelope is None
            or envelope.envelope_id != chunk.envelope_id
            or envelope.arrived != chunk.offset
            or envelope.total != chunk.total
            or envelope.to != chunk.to
        ):
            raise WireError("a chunk does not continue its envelope")
        return envelope
