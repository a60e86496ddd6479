"""Secrets put into real messages of a recorded run, as a defect would do it."""

import hashlib
import struct
import zlib
from dataclasses import dataclass

from flwr.proto.message_pb2 import PushObjectRequest
from flwr.proto.recorddict_pb2 import ConfigRecord

from tests.attacks.canary_forms import Canary, CanaryId, CanaryNumber
from tests.attacks.received import FLOWER, MESSAGE, Received
from tests.integration.canary_evidence import Evidence, event_of
from veilscore.v1.audit_pb2 import Event, SignedEvent
from veilscore.v1.hub_pb2 import AppendRequest, AttachRequest
from veilscore.v1.training_pb2 import StepReport

_HUB = "4711: /veilscore.v1.HubService/"


@dataclass(frozen=True, slots=True)
class Planter:
    """One id, level and feature, and the run whose messages are changed."""

    evidence: Evidence
    entity: CanaryId
    level: Canary
    number: CanaryNumber

    def log_line(self) -> Received:
        """Put the id into the log file, after its last line."""
        log = (self.evidence.folder / "stopped-coordinator.log").read_bytes()
        line = f"INFO dropped a row of {self.entity.text}\n"
        return Received("file", "coordinator.log", log + line.encode())

    def event_text(self) -> Received:
        """Put the id into the reason of a decision, which auditors read."""
        decisions = (
            leaf
            for leaf in self.evidence.leaves()
            if event_of(leaf).HasField("run_decided")
        )
        signed = SignedEvent.FromString(next(decisions))
        event = Event.FromString(signed.body)
        event.run_decided.reason = f"no bin for {self.entity.text}"
        signed.body = event.SerializeToString()
        request = AppendRequest(leaves=[signed.SerializeToString()])
        return Received(MESSAGE, f"{_HUB}Append, call 1", request.SerializeToString())

    def report(self) -> Received:
        """Put the feature where the report has a digest."""
        return self._report(StepReport(sent=struct.pack(">d", self.number.value)))

    def short_number(self) -> Received:
        """Put 32 bits of it there, which a scanner cannot tell from noise."""
        return self._report(StepReport(sent=struct.pack("<f", self.number.value)))

    def hashed(self) -> Received:
        """Let an envelope be named by the id's hash."""
        request = self._chunk()
        digest = hashlib.sha256(f"X:{self.entity.text}".encode()).digest()
        request.frame.chunk.envelope_id = digest[:16]
        return _attached(request)

    def hashed_level(self) -> Received:
        """Put the hash of a level where the report has a digest."""
        digest = hashlib.sha256(self.level.text.encode()).digest()
        return self._report(StepReport(sent=digest))

    def hashed_number(self) -> Received:
        """Put the hash of the feature's bits there."""
        octets = struct.pack("<d", self.number.value)
        return self._report(StepReport(sent=hashlib.sha256(octets).digest()))

    def compressed(self) -> Received:
        """Append the compressed id to an envelope."""
        request = self._chunk()
        request.frame.chunk.data += zlib.compress(self.entity.text.encode())
        return _attached(request)

    def unlisted(self) -> Received:
        """Put labels into a field that is for the hub to fill in."""
        request = self._chunk()
        setattr(request.frame.chunk, "from", "bad good good bad")
        return _attached(request)

    def _chunk(self) -> AttachRequest:
        """Return the first frame with an envelope."""
        requests = (
            AttachRequest.FromString(each.data)
            for each in self.evidence.received
            if each.channel == MESSAGE and "/Attach," in each.source
        )
        return next(request for request in requests if request.frame.HasField("chunk"))

    def _report(self, report: StepReport) -> Received:
        """Let a node push another report than it did."""
        request = next(self.evidence.reports())
        pushed = PushObjectRequest.FromString(request.body)
        record = ConfigRecord.FromString(pushed.object_content.partition(b"\0")[2])
        for item in record.items:
            if item.key == "payload":
                item.value.bytes = report.SerializeToString()
        body = record.SerializeToString()
        pushed.object_content = b"ConfigRecord  %d\0" % len(body) + body
        pushed.object_id = hashlib.sha256(pushed.object_content).hexdigest()
        content = pushed.SerializeToString()
        length = b"content-length"
        lines = [f"{request.method} {request.target} HTTP/1.1".encode()]
        for name, value in request.headers:
            told = b"%d" % len(content) if name == length else value
            lines.append(name + b": " + told)
        data = b"\r\n".join((*lines, b"", content))
        return Received(FLOWER, "4711: connection 1", data)


def _attached(request: AttachRequest) -> Received:
    return Received(MESSAGE, f"{_HUB}Attach, call 2", request.SerializeToString())
