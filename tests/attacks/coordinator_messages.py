"""What reached the coordinator, decoded as it decodes it, and held against a list.

``pieces`` is for the scanner: every byte, and whole what came in parts. ``findings`` is
for the allow-list: every message of a party. What the coordinator asks of its own
SuperLink (runtime and control calls, which need its tokens) says nothing that it did
not know before, so that is scanned only; so are the requests of auditors.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import h11
from flwr.proto.message_pb2 import Message as FlowerMessage
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.proto.recorddict_pb2 import ConfigRecord
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from google.protobuf.message import DecodeError, Message

from tests.attacks.field_rules import AllowList
from tests.attacks.received import CALL, FLOWER, MESSAGE, OPENED, WEB, Received
from veilscore.v1 import hub_pb2
from veilscore.v1.envelope_pb2 import Envelope
from veilscore.v1.training_pb2 import TrainingMessage

_STREAMS: Final = (WEB, FLOWER)
_REQUESTS: Mapping[str, type[Message]] = {
    "Attach": hub_pb2.AttachRequest,
    "Publish": hub_pb2.PublishRequest,
    "Directory": hub_pb2.DirectoryRequest,
    "Append": hub_pb2.AppendRequest,
    "ReadLog": hub_pb2.ReadLogRequest,
    "Health": hub_pb2.HealthRequest,
}
_METADATA: Final = re.compile(rb"(user-agent: grpc-python-asyncio/[ ().;/\w-]+\n)?")
_FLEET, _OWN = "/v1/fleet/", ("/v1/runtime/", "/v1/control/")
_BASE64: Final = rb"[A-Za-z0-9+/]{1,400}={0,2}"
_HEADERS: Mapping[bytes, bytes] = {
    b"host": rb"127\.0\.0\.1:\d+",
    b"accept": rb"application/protobuf|\*/\*",
    b"accept-encoding": rb"[a-z, ]{1,40}",
    b"connection": rb"keep-alive",
    b"user-agent": rb"python-httpx/[\d.]+",
    b"content-type": rb"application/protobuf",
    b"content-length": rb"\d{1,6}",
    b"flwr-package-name": rb"flwr",
    b"flwr-package-version": rb"1\.41\.0",
    b"flwr-component-name": rb"SuperNode",
    b"flwr-public-key": _BASE64,
    b"flwr-timestamp": rb"[\d:.+T-]{1,40}",
    b"flwr-signature": _BASE64,
}
_OBJECT: Final = re.compile(
    rb"(?P<kind>\w+) (?:[0-9a-f]{64})? (?P<size>\d+)\0(?P<body>.*)", re.DOTALL
)
_REPLY: Final = re.compile(rb'\{"reply": "[0-9a-f]{64}"\}')


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request."""

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def pieces(received: Iterable[Received]) -> Iterator[tuple[str, bytes]]:
    """Yield everything as it came, whole what came in parts, and where it was."""
    received = tuple(received)
    for each in received:
        yield f"{each.channel} {each.source}", each.data
    for (channel, source), data in connections(received).items():
        yield f"{channel} {source}", data
    for source, envelope, _ in envelopes(received):
        yield f"envelope in {source}", envelope


def findings(received: Iterable[Received], allowed: AllowList) -> Iterator[str]:
    """Yield whatever a party told the coordinator beyond what is allowed."""
    received = tuple(received)
    for each in received:
        yield from _message(each, allowed)
    for source, envelope, whole in envelopes(received):
        if whole:
            yield from allowed.decode(Envelope, envelope)
        else:
            yield f"{source} has an envelope that was never finished"
    for (channel, source), stream in connections(received).items():
        if channel != FLOWER:
            continue
        try:
            for request in requests(stream):
                yield from _fleet(request, allowed)
        except h11.RemoteProtocolError:
            yield f"{source} is not HTTP"


def _message(each: Received, allowed: AllowList) -> Iterator[str]:
    if each.channel == CALL:
        if _method(each.source) not in _REQUESTS:
            yield f"{each.source} is not on the list"
        if not _METADATA.fullmatch(each.data):
            yield f"{each.source} has metadata that is not on the list"
    elif each.channel == MESSAGE:
        yield from allowed.decode(_REQUESTS[_method(each.source)], each.data)
    elif each.channel == OPENED:
        yield from allowed.decode(TrainingMessage, each.data)


def connections(received: Iterable[Received]) -> Mapping[tuple[str, str], bytes]:
    """Return what came over each HTTP connection."""
    parts: defaultdict[tuple[str, str], list[bytes]] = defaultdict(list)
    for each in received:
        if each.channel in _STREAMS:
            parts[each.channel, each.source].append(each.data)
    return {connection: b"".join(data) for connection, data in parts.items()}


def envelopes(received: Iterable[Received]) -> Iterator[tuple[str, bytes, bool]]:
    """Yield call, bytes and whether that is all of every envelope put together."""
    parts: dict[tuple[str, bytes], tuple[bytearray, int]] = {}
    for each in received:
        if each.channel == MESSAGE and _method(each.source) == "Attach":
            try:
                chunk = hub_pb2.AttachRequest.FromString(each.data).frame.chunk
            except DecodeError:
                continue  # the allow-list says so
            place = each.source, chunk.envelope_id
            if chunk.envelope_id:
                parts.setdefault(place, (bytearray(), chunk.total))[0].extend(
                    chunk.data
                )
    for (source, _), (data, total) in parts.items():
        yield source, bytes(data), len(data) == total


def requests(stream: bytes) -> Iterator[Request]:
    """Yield the requests that came over one HTTP connection, a cut one left out."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(stream)
    head, body = h11.Request(method="GET", target="/", headers=[("host", "")]), b""
    while True:
        match connection.next_event():
            case h11.Request() as head:
                body = b""
            case h11.Data() as part:
                body += bytes(part.data)
            case h11.EndOfMessage():
                yield Request(
                    head.method.decode(), head.target.decode(), (*head.headers,), body
                )
                connection.send(h11.Response(status_code=200, headers=[]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return
                connection.start_next_cycle()
            case _:
                return


def _method(source: str) -> str:
    """Return the method of a call like ``4711: .../Attach, call 3``."""
    return source.partition(",")[0].rpartition("/")[2]


def _fleet(request: Request, allowed: AllowList) -> Iterator[str]:
    target = request.target
    if target.startswith(_OWN) or (target == "/health" and not request.body):
        return
    kind = PROTOBUF_REQUEST_TYPES.get((request.method, target))
    if kind is None or not target.startswith(_FLEET):
        yield f"{target} is not on the list"
        return
    for name, value in request.headers:
        if not re.fullmatch(_HEADERS.get(name, rb""), value):
            yield f"{target} has a header {name.decode()} that is not on the list"
    yield from allowed.decode(kind, request.body)
    if kind is PushObjectRequest:
        yield from _object(PushObjectRequest.FromString(request.body), allowed)


def _object(pushed: PushObjectRequest, allowed: AllowList) -> Iterator[str]:
    """Check an object of Flower: a message, the record in it, or its fields."""
    content = pushed.object_content
    if hashlib.sha256(content).hexdigest() != pushed.object_id:
        yield "an object of Flower is not named by its hash"
    found = _OBJECT.fullmatch(content)
    if found is None or len(found["body"]) != int(found["size"]):
        yield "an object of Flower is malformed"
        return
    match found["kind"]:
        case b"Message":
            yield from allowed.decode(FlowerMessage, found["body"])
        case b"ConfigRecord":
            yield from allowed.decode(ConfigRecord, found["body"])
        case b"RecordDict" if _REPLY.fullmatch(found["body"]):
            pass
        case _:
            yield "an object of Flower is not on the list"
