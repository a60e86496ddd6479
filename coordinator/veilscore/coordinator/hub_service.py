"""The gRPC face of the hub: decode, call one core, encode, say no politely.

It sees what the relay sees. Who calls is read from the caller's certificate at every
call, never from a field. Runs on one asyncio loop; ``hub`` owns it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

import grpc

from veilscore.coordinator.access import Access
from veilscore.coordinator.directory import KeyDirectory
from veilscore.coordinator.errors import ReplacedError
from veilscore.coordinator.handshakes import Handshakes
from veilscore.coordinator.refusals import refusal
from veilscore.coordinator.relay import (
    BEAT_S,
    BROKE_RULES,
    LEFT,
    REFUSED,
    Arrival,
    Relay,
)
from veilscore.fault import Fault
from veilscore.keys.certificates import Certificate
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.runtime.channel import peer_certificate
from veilscore.runtime.chunks import CHUNK_BYTES
from veilscore.runtime.errors import PeerLostError, WireError
from veilscore.runtime.session import PartyLost
from veilscore.v1 import hub_pb2, hub_pb2_grpc

_log = logging.getLogger(__name__)

HELLO_S: Final = 5.0
# A broken connection, too, ends the requests; then the call ends at once.
CUT_S: Final = 0.2

_Context = grpc.aio.ServicerContext[Any, Any]
_T = TypeVar("_T")

# An append may wait seconds for witnesses; nothing else has to wait with it.
_APPENDING: Final = 64

READ_BYTES: Final = 1 << 20  # of a file of the log, in one answer

AppendLeaves = Callable[[str, Sequence[bytes]], Sequence[TlogProof]]
"""Takes a party and its leaves, returns a proof of each; raises a Fault."""
ReadLogFile = Callable[[str], bytes]
"""Takes the path of a static file of the log, returns its bytes; raises a Fault."""


@dataclass(frozen=True, slots=True)
class PartyAttached:
    """A party's new session began."""

    party: str


HubEvent = PartyAttached | PartyLost | Arrival


@dataclass(eq=False, slots=True)
class _Stream:
    certificate: Certificate
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    end: Exception | None = None
    ended: bool = False

    def finish(self, error: Exception | None = None) -> None:
        self.end, self.ended = error, True
        self.wake.set()


class HubService(hub_pb2_grpc.HubServiceServicer):
    """Serves one relay, one key directory and one log.

    ``report`` gets, on the loop, the party and what happened; it must not block.
    """

    def __init__(
        self,
        relay: Relay,
        access: Access,
        directory: KeyDirectory,
        *,
        append: AppendLeaves,
        read_log: ReadLogFile,
        log_size: Callable[[], int],
        registry_file: Callable[[], bytes],
        report: Callable[[str, HubEvent], None],
        version: str,
    ) -> None:
        self.relay = relay
        self.progress = asyncio.Event()
        """Set whenever an acknowledgement may have made room."""
        self.handshakes = Handshakes()
        self._access = access
        self._directory = directory
        self._append = append
        self._read_log = read_log
        self._log_size = log_size
        self._registry_file = registry_file
        self._report = report
        self._version = version
        self._streams: dict[str, _Stream] = {}
        self._appending = ThreadPoolExecutor(_APPENDING, "append")

    async def Attach(  # noqa: N802 - the name in the .proto file
        self,
        request_iterator: AsyncIterator[hub_pb2.AttachRequest],
        context: _Context,
    ) -> AsyncIterator[hub_pb2.AttachResponse]:
        """Serve a party's one long-lived stream."""
        try:
            party, certificate = self._admit(context, "Attach")
        except Fault as fault:
            await context.abort(*self._refuse(context, "Attach", fault))
        await context.send_initial_metadata(())  # the party waits for this assent
        stream = _Stream(certificate)
        reader = asyncio.create_task(self._read(party, stream, request_iterator))

        def close(_: object) -> None:
            reader.cancel()
            self._closed(party, stream)

        # Called however the call ends, also while a frame is being written. The
        # cast: the stub wants a class that exists in the stub only.
        context.add_done_callback(cast("Any", close))
        while not stream.ended:
            frames: list[hub_pb2.Frame] = []
            if self._streams.get(party) is stream:
                frames = self.relay.next_frames(party, CHUNK_BYTES)
            for frame in frames:
                yield hub_pb2.AttachResponse(frame=frame)
            if not frames:
                await stream.wake.wait()
                stream.wake.clear()
        if stream.end is not None:
            await context.abort(*self._refuse(context, "Attach", stream.end))

    async def Publish(  # noqa: N802 - the name in the .proto file
        self, request: hub_pb2.PublishRequest, context: _Context
    ) -> hub_pb2.PublishResponse:
        """Take a signed receiving key."""

        def publish(party: str) -> hub_pb2.PublishResponse:
            self._directory.publish(party, request.key)
            return hub_pb2.PublishResponse()

        return await self._answer(context, "Publish", publish)

    async def Directory(  # noqa: N802 - the name in the .proto file
        self, request: hub_pb2.DirectoryRequest, context: _Context
    ) -> hub_pb2.DirectoryResponse:
        """Return the signed receiving keys for one purpose."""

        def directory(_: str) -> hub_pb2.DirectoryResponse:
            return hub_pb2.DirectoryResponse(keys=self._directory.keys(request.purpose))

        return await self._answer(context, "Directory", directory)

    async def Append(  # noqa: N802 - the name in the .proto file
        self, request: hub_pb2.AppendRequest, context: _Context
    ) -> hub_pb2.AppendResponse:
        """Append signed events to the audit log."""

        def append(party: str) -> hub_pb2.AppendResponse:
            proofs = self._append(party, request.leaves)
            return hub_pb2.AppendResponse(
                proofs=[
                    hub_pb2.EventProof(
                        index=proof.index, checkpoint=proof.checkpoint, path=proof.path
                    )
                    for proof in proofs
                ]
            )

        return await self._answer(context, "Append", append, self._appending)

    async def ReadLog(  # noqa: N802 - the name in the .proto file
        self, request: hub_pb2.ReadLogRequest, context: _Context
    ) -> hub_pb2.ReadLogResponse:
        """Return a part of a static file of the log."""

        def read_log(_: str) -> hub_pb2.ReadLogResponse:
            data = self._read_log(request.path)
            part = data[request.offset : request.offset + READ_BYTES]
            return hub_pb2.ReadLogResponse(data=part, total=len(data))

        return await self._answer(context, "ReadLog", read_log)

    async def Health(  # noqa: N802 - the name in the .proto file
        self, request: hub_pb2.HealthRequest, context: _Context
    ) -> hub_pb2.HealthResponse:
        """Say who is attached, who is registered and how large the log is."""
        del request
        attached = sorted(self.relay.attached())

        def health(_: str) -> hub_pb2.HealthResponse:
            return hub_pb2.HealthResponse(
                attached=attached,
                log_size=self._log_size(),
                time=time.time(),
                version=self._version,
                registry=self._registry_file(),
            )

        return await self._answer(context, "Health", health)

    def pump(self, lost: Sequence[PartyLost] = ()) -> None:
        """After a change of the relay: report losses, wake streams, end dead ones."""
        for loss in lost:
            _log.warning("lost %s: %s", loss.party, loss.reason)
            self._report(loss.party, loss)
            if stream := self._streams.pop(loss.party, None):
                stream.finish(PeerLostError(loss.reason, party=loss.party))
        for party in self.relay.take_ready():
            if stream := self._streams.get(party):
                stream.wake.set()
        self.progress.set()

    async def beat(self) -> None:
        """Watch over the streams until cancelled."""
        while True:
            await asyncio.sleep(BEAT_S)
            now = time.monotonic()
            if failed := self.handshakes.take_failed(now):
                _log.warning(
                    "%d connections ended without a call: TLS refused a certificate "
                    "(of another authority, or expired), or they were not gRPC",
                    failed,
                    extra={"failed_handshakes": failed},
                )
            self.pump(self._refused_since(now) + self.relay.beat(now))

    def end(self) -> None:
        """Close all streams, because the hub stops."""
        for stream in self._streams.values():
            stream.finish()
        self._appending.shutdown(wait=False, cancel_futures=True)

    def _refused_since(self, now: float) -> list[PartyLost]:
        lost: list[PartyLost] = []
        for party, stream in list(self._streams.items()):
            try:
                self._access.check(stream.certificate, "Attach")
            except Fault:
                lost += self.relay.lose(party, REFUSED, now)
        return lost

    def _admit(self, context: _Context, method: str) -> tuple[str, Certificate]:
        self.handshakes.called(context.peer())
        certificate = peer_certificate(context.auth_context())
        return self._access.check(certificate, method), certificate

    def _refuse(
        self, context: _Context, method: str, error: Exception
    ) -> tuple[grpc.StatusCode, str]:
        status, details = refusal(error)
        _log.warning(
            "refused %s from %s: %s",
            method,
            context.peer(),
            error,
            extra={"method": method, "peer": context.peer(), "code": details},
            exc_info=None if isinstance(error, Fault) else error,
        )
        return status, details

    async def _answer(
        self,
        context: _Context,
        method: str,
        function: Callable[[str], _T],
        threads: Executor | None = None,
    ) -> _T:
        try:
            party, _ = self._admit(context, method)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(threads, function, party)
        except Exception as error:  # noqa: BLE001 - the caller gets a fixed sentence
            return await context.abort(*self._refuse(context, method, error))

    async def _read(
        self,
        party: str,
        stream: _Stream,
        requests: AsyncIterator[hub_pb2.AttachRequest],
    ) -> None:
        """Take frames until the stream ends, and finish ``stream`` with the reason."""
        try:
            async with asyncio.timeout(HELLO_S):
                first = await anext(requests)
            self._attach(party, stream, first.frame)
            async for request in requests:
                if self._streams.get(party) is not stream:
                    return  # whoever took its place has finished it
                self._receive(party, request.frame)
            await asyncio.sleep(CUT_S)
            self._give_up(party, stream, LEFT)
            stream.finish()
        except (TimeoutError, StopAsyncIteration):
            stream.finish(WireError("no hello came", party=party))
        except WireError as error:
            self._give_up(party, stream, BROKE_RULES)
            stream.finish(error)
        except Exception as error:  # noqa: BLE001 - it ends this stream, not the hub
            stream.finish(error)

    def _attach(self, party: str, stream: _Stream, frame: hub_pb2.Frame) -> None:
        if not frame.HasField("hello"):
            raise WireError("the first frame is not a hello", party=party)
        resumed, lost = self.relay.attach(party, frame.hello, time.monotonic())
        if old := self._streams.pop(party, None):
            old.finish(ReplacedError("the party opened another stream", party=party))
        self.pump(lost)
        self._streams[party] = stream
        stream.wake.set()
        _log.info("%s %s", party, "is back" if resumed else "is attached")
        if not resumed:
            self._report(party, PartyAttached(party))

    def _receive(self, party: str, frame: hub_pb2.Frame) -> None:
        for arrival in self.relay.receive(party, frame, time.monotonic()):
            self._report(party, arrival)
        self.pump()

    def _give_up(self, party: str, stream: _Stream, reason: str) -> None:
        if self._streams.get(party) is stream:
            del self._streams[party]
            self.pump(self.relay.lose(party, reason, time.monotonic()))

    def _closed(self, party: str, stream: _Stream) -> None:
        if self._streams.get(party) is stream:
            del self._streams[party]
            self.relay.cut(party, time.monotonic())
            loop = asyncio.get_running_loop()
            loop.call_later(self.relay.grace_s, self._expire)

    def _expire(self) -> None:
        self.pump(self.relay.expire(time.monotonic()))
