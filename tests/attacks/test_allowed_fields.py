"""What has too little entropy for a scanner (labels, points) has no field to leave in.

Each test lets a party say one thing more than it may, in the bytes that the coordinator
receives; the allow-list must name the field and not quote it. Said without that, there
is no finding.
"""

import hashlib
import json
import secrets
import struct
from typing import Final

import pytest
from flwr.app import ConfigRecord, RecordDict
from flwr.proto.error_pb2 import Error
from flwr.proto.message_pb2 import Message as FlowerMessage
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.proto.node_pb2 import Node

from tests.attacks.allowed_fields import PublicKnowledge, allowed_fields
from tests.attacks.coordinator_messages import findings, pieces
from tests.attacks.received import CALL, FLOWER, MESSAGE, OPENED, Received
from veilscore.keys.linkage import BlindingKey, size_bucket
from veilscore.keys.ristretto import random_point
from veilscore.runtime.chunks import split
from veilscore.v1.audit_pb2 import (
    Event,
    RunDecided,
    ScoreDecided,
    SignedEvent,
    StepDone,
)
from veilscore.v1.envelope_pb2 import Envelope, EnvelopeHeader
from veilscore.v1.hub_pb2 import (
    AppendRequest,
    AttachRequest,
    Frame,
    HealthRequest,
    Lost,
    Notice,
    NoticeKind,
)
from veilscore.v1.training_pb2 import (
    BlindedSet,
    HopKey,
    HopProof,
    HopSums,
    SetMarks,
    StepReport,
    TrainingMessage,
)

RUN: Final = secrets.token_hex(16)
KNOWN = PublicKnowledge(
    coordinator="coordinator",
    parties=("bank", "bureau", "market"),
    runs=(RUN,),
    steps=("join", "rows", "counts"),
    node_ids=frozenset({7}),
    key_bits=2048,
    version="0.1.0",
    since=1.79e9,
    until=1.79e9 + 100,
)
ALLOWED = allowed_fields(KNOWN)
DIGEST: Final = secrets.token_bytes(32)
LABELS: Final = [1, 0, 0, 1] * 100
# Field 99, 64 bits wide, which no message of the product has.
UNKNOWN: Final = b"\x99\x06" + struct.pack("<d", 0.731)


def told(channel: str, source: str, *data: bytes) -> list[str]:
    """Return the findings about what came over one call or connection."""
    received = [Received(channel, f"4711: {source}", each) for each in data]
    return list(findings(received, ALLOWED))


def attached(*frames: Frame) -> list[str]:
    sent = [AttachRequest(frame=frame).SerializeToString() for frame in frames]
    return told(MESSAGE, "/veilscore.v1.HubService/Attach, call 1", *sent)


def appended(event: Event) -> list[str]:
    leaf = SignedEvent(body=event.SerializeToString(), key_id=bytes(8))
    request = AppendRequest(leaves=[leaf.SerializeToString()])
    source = "/veilscore.v1.HubService/Append, call 2"
    return told(MESSAGE, source, request.SerializeToString())


def opened(message: TrainingMessage) -> list[str]:
    return told(OPENED, "bank", message.SerializeToString())


def pushed(
    content: bytes, object_id: str = "", headers: str = "", path: str = "push-object"
) -> list[str]:
    request = PushObjectRequest(
        node=Node(node_id=7),
        run_id=3,
        object_id=object_id or hashlib.sha256(content).hexdigest(),
        object_content=content,
    ).SerializeToString()
    head = (
        f"POST /v1/fleet/{path} HTTP/1.1\r\nhost: 127.0.0.1:9444\r\n"
        f"content-type: application/protobuf\r\n{headers}"
        f"content-length: {len(request)}\r\n\r\n"
    )
    data = head.encode() + request
    # Twice over one connection, cut where HTTP does not care.
    return told(FLOWER, "connection 1", data[:50], data[50:], data)


def reply(payload: bytes, code: str = "", reason: str = "") -> bytes:
    """Return the record of a node's reply, as Flower sends it."""
    return ConfigRecord(
        {"ok": not code, "payload": payload, "code": code, "reason": reason}
    ).deflate()


def named_only(value: object) -> str:
    """Return the id of a parameter; the bytes of a message make none."""
    return value if isinstance(value, str) else type(value).__name__


REPORT = StepReport(sent=DIGEST, bytes_bucket=1 << 20, card=DIGEST, max_abs_points=300)
HEADER = EnvelopeHeader(
    version=1,
    purpose=f"run:{RUN}",
    step="counts",
    sender="bureau",
    recipient="bank",
    seq=3,
    recipient_key=bytes(8),
)


def enveloped(
    header: EnvelopeHeader, sealed: bytes, parts: int | None = None
) -> list[str]:
    """Send an envelope in chunks, all or so many of them."""
    envelope = Envelope(
        header=header.SerializeToString(), sealed=sealed, signature=bytes(64)
    )
    frames = list(split("bank", envelope.SerializeToString(), urgent=False))
    return attached(*frames[:parts])


def test_what_parties_say_in_a_run_is_on_the_list() -> None:
    done = StepDone(
        step="counts", sent=DIGEST, bytes_bucket=4096, rows_bucket=size_bucket(400)
    )
    event = Event(version=1, actor="bank", time_ms=int(1.79e12), step_done=done)
    notice = Notice(kind=NoticeKind.NOTICE_KIND_STEP_DONE, run=RUN, step="counts")
    points = secrets.token_bytes(32 * 400)
    blinded = BlindedSet(owner="bank", hops=3, points=points, part=1, parts=2)
    assert attached(Frame(seq=1, notice=notice)) == []
    assert appended(event) == []
    assert opened(TrainingMessage(blinded_set=blinded)) == []
    assert opened(TrainingMessage(set_marks=SetMarks(marks=bytes([0, 1, 2, 3])))) == []
    signer, sums = BlindingKey.fresh(), [random_point(), random_point()]
    passed, proof = signer.prove(sums)
    said = [
        HopSums(owner="bank", passed=sums),
        HopSums(owner="bureau", taken=sums, passed=passed),
    ]
    assert opened(TrainingMessage(hop_key=HopKey(key=signer.public))) == []
    assert opened(TrainingMessage(hop_proof=HopProof(sums=said, proof=proof))) == []
    assert pushed(reply(REPORT.SerializeToString())) == []
    assert pushed(RecordDict({"reply": ConfigRecord({"ok": True})}).deflate()) == []
    assert enveloped(HEADER, secrets.token_bytes(700_000)) == []
    health = HealthRequest().SerializeToString()
    assert told(MESSAGE, "/veilscore.v1.HubService/Health, call 3", health) == []
    agent = b"user-agent: grpc-python-asyncio/1.85.3 grpc-c/58.0.0 (linux; chttp2)\n"
    assert told(CALL, "/veilscore.v1.HubService/Health, call 3", agent) == []


@pytest.mark.parametrize(
    ("report", "named"),
    [
        (REPORT.SerializeToString() + UNKNOWN, "StepReport has an unknown field 99"),
        (StepReport(sent=struct.pack("<d", 0.731)).SerializeToString(), "sent holds"),
        (StepReport(bytes_bucket=LABELS.count(1)).SerializeToString(), "bucket holds"),
        (StepReport(card=bytes(LABELS)).SerializeToString(), "card holds"),
        (StepReport(max_abs_points=2**31).SerializeToString(), "points holds"),
        (StepReport(estimated_s=49_999).SerializeToString(), "estimated_s holds"),
        (b"\xff" + bytes(LABELS), "StepReport cannot be decoded"),
    ],
    ids=named_only,
)
def test_a_report_says_no_more(report: bytes, named: str) -> None:
    found = pushed(reply(report))
    assert len(found) == 2, found
    assert all(named in each for each in found)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (reply(b"", "refused", "row 17 is bad"), "ConfigRecordValue.string holds"),
        (ConfigRecord({"labels": LABELS}).deflate(), "sint_list is not on the list"),
        (ConfigRecord({"1001": True}).deflate(), "Item.key holds"),
        (ConfigRecord({"ok": 0.5}).deflate(), "ConfigRecordValue.double is not"),
        (RecordDict({"1001": ConfigRecord()}).deflate(), "is not on the list"),
        (b"ArrayRecord  4\0" + bytes(4), "is not on the list"),
        (b"ConfigRecord  3\0" + bytes(4), "is malformed"),
        (bytes(LABELS), "is malformed"),
    ],
    ids=named_only,
)
def test_an_object_of_flower_says_no_more(content: bytes, named: str) -> None:
    assert any(named in each for each in pushed(content))


def test_an_error_of_flower_has_no_text() -> None:
    error = FlowerMessage(error=Error(code=1, reason="row 17 is bad"))
    body = error.SerializeToString()
    found = pushed(b"Message  %d\0" % len(body) + body)
    assert set(found) == {"flwr.proto.Message.error is not on the list"}


def test_a_request_to_flower_says_no_more() -> None:
    content = reply(b"")
    assert "named by its hash" in pushed(content, object_id="01" * 32)[0]
    assert "header x-labels" in pushed(content, headers="x-labels: 1001\r\n")[0]
    assert "header accept" in pushed(content, headers="accept: 1001\r\n")[0]
    assert "is not HTTP" in pushed(content, headers="1001\r\n")[0]
    assert "/v1/fleet/1001 is not on the list" in pushed(content, path="1001")


@pytest.mark.parametrize(
    ("event", "named"),
    [
        (Event(score_decided=ScoreDecided(code="1001")), "ScoreDecided.code is not"),
        (Event(run_decided=RunDecided(reason="bad")), "RunDecided.reason is not"),
        (
            Event(step_done=StepDone(rows_bucket=size_bucket(400) + 1)),
            "rows_bucket holds",
        ),
        (Event(step_done=StepDone(step="row 17")), "StepDone.step holds"),
        (Event(correlation="1001"), "Event.correlation holds"),
        (Event(actor="1001"), "Event.actor holds"),
        (Event(time_ms=1001), "Event.time_ms holds"),
    ],
    ids=named_only,
)
def test_an_event_says_no_more(event: Event, named: str) -> None:
    (found,) = appended(event)
    assert named in found


OTHERS = sorted(
    {field.name for field in TrainingMessage.DESCRIPTOR.fields}
    - {"blinded_set", "set_marks", "hop_key", "hop_proof", "sum"}
)


@pytest.mark.parametrize("kind", OTHERS)
def test_no_message_between_holders_is_for_the_coordinator(kind: str) -> None:
    message = TrainingMessage()
    getattr(message, kind).SetInParent()
    assert opened(message) == [
        f"veilscore.v1.TrainingMessage.{kind} is not on the list"
    ]


def test_pseudonyms_and_marks_carry_no_labels() -> None:
    marks = TrainingMessage(set_marks=SetMarks(marks=bytes([0, 1, 4])))
    assert opened(marks) == ["veilscore.v1.SetMarks.marks holds what it may not"]
    points = bytes(label for label in LABELS for _ in range(16))
    for bad in (points, secrets.token_bytes(15)):
        blinded = BlindedSet(owner="bank", hops=3, points=bad)
        (found,) = opened(TrainingMessage(blinded_set=blinded))
        assert "BlindedSet.points holds" in found


def test_a_part_of_a_set_says_no_more_than_which_it_is() -> None:
    points = secrets.token_bytes(32 * 400)
    for part, parts, named in ((1001, 1, "part holds"), (0, 1001, "parts holds")):
        blinded = BlindedSet(
            owner="bank", hops=3, points=points, part=part, parts=parts
        )
        (found,) = opened(TrainingMessage(blinded_set=blinded))
        assert f"BlindedSet.{named}" in found


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (Frame(lost=Lost(party="bank", reason="bad")), "Frame.lost is not"),
        (Frame(notice=Notice(step="1001")), "Notice.step holds"),
        (Frame(notice=Notice(run="1001")), "Notice.run holds"),
    ],
    ids=named_only,
)
def test_a_frame_says_no_more(frame: Frame, named: str) -> None:
    (found,) = attached(frame)
    assert named in found


def test_an_envelope_is_sealed_and_its_header_says_no_more() -> None:
    noise = secrets.token_bytes(2000)
    points = json.dumps([512, 498, 607] * 400).encode()
    for clear in (points, noise[:1120] + points, noise[:1000]):
        (found,) = enveloped(HEADER, clear)
        assert found == "veilscore.v1.Envelope.sealed holds what it may not"
    header = EnvelopeHeader(step="1001")
    (found,) = enveloped(header, noise)
    assert "EnvelopeHeader.step holds" in found


def test_an_envelope_in_parts_is_put_together() -> None:
    noise = secrets.token_bytes(700_000)
    (found,) = enveloped(HEADER, noise, parts=2)
    assert "never finished" in found
    envelope = Envelope(sealed=noise).SerializeToString()
    sent = [
        Received(
            MESSAGE,
            "4711: /veilscore.v1.HubService/Attach, call 1",
            AttachRequest(frame=frame).SerializeToString(),
        )
        for frame in split("bank", envelope, urgent=True)
    ]
    assert envelope in [data for _, data in pieces(sent)]


def test_a_call_has_no_metadata_of_its_own() -> None:
    source = "/veilscore.v1.HubService/Health, call 1"
    (found,) = told(CALL, source, b"labels-bin: 1001\n")
    assert found == f"4711: {source} has metadata that is not on the list"
    (found,) = told(CALL, "/veilscore.v1.HubService/1001, call 1", b"")
    assert found.endswith("/1001, call 1 is not on the list")
