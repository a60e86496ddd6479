"""Keeps a node attached to the hub: one stream, opened again whenever it breaks.

The hub learns to whom the node writes, when and how much. A broken stream loses
nothing. If the session itself is gone, because the hub restarted or gave this node
up, that is reported as the loss of the coordinator and of everybody who missed
something. Everything here runs on one asyncio loop; ``link`` owns it.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import grpc

from veilscore.fault import Fault
from veilscore.node.errors import CoordinatorRefusedError
from veilscore.node.link_faults import explain
from veilscore.runtime.channel import Options, client_credentials
from veilscore.runtime.chunks import CHUNK_BYTES
from veilscore.runtime.errors import PeerLostError, UnreachableError, WireError
from veilscore.runtime.session import (
    SESSION_ID_BYTES,
    Event,
    PartyLost,
    Session,
    SessionOpened,
)
from veilscore.runtime.tls import TlsIdentity
from veilscore.v1 import hub_pb2, hub_pb2_grpc

if TYPE_CHECKING:
    from veilscore.v1.hub_pb2_grpc import HubServiceAsyncStub

# The hub pings every 5 s; this long a silence means that its process hangs.
SILENCE_S: Final = 15.0
FIRST_DELAY_S: Final = 0.2
LAST_DELAY_S: Final = 1.0
CLOSE_S: Final = 1.0
# Bytes of one priority that may wait to be sent before senders wait.
QUEUE_BYTES: Final = 64 * 1024 * 1024

ANEW: Final = "its hub started a new session; what was under way is lost"
MISSED: Final = "an envelope to it was under way when the hub's session was lost"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The stream opened or closed; ``detail`` is a sentence for the operator."""

    is_open: bool
    detail: str


class Attachment:
    """Runs from ``start`` until ``close``.

    ``report`` gets events on the loop and must not block; ``coordinator`` is the name
    under which the loss of the session is reported.
    """

    def __init__(
        self,
        address: str,
        identity: TlsIdentity,
        options: Options,
        *,
        coordinator: str,
        version: str,
        max_envelope: int,
        report: Callable[[Event | StateChanged], None],
    ) -> None:
        self._address = address
        self._identity = identity
        self._options = options
        self._coordinator = coordinator
        self._version = version
        self._max_envelope = max_envelope
        self._report = report
        self._session = self._new_session()
        self._hold = False
        self._state = StateChanged(is_open=False, detail="")
        self._was_open = False
        self._closing = False
        self._fault: Fault | None = None
        self._losses: Counter[str] = Counter()
        self._wake = asyncio.Event()  # there may be frames to send
        self._progress = asyncio.Event()  # there may be room, a loss, another state

    async def start(self) -> None:
        """Begin to attach; must run on the loop that all else runs on."""
        self._open_channel()
        self._keeper = asyncio.create_task(self._keep_attached())

    async def wait_open(self, timeout_s: float) -> None:
        """Wait until the stream is open; raises the reason why it is not."""
        try:
            await self._until(lambda: self._state.is_open, timeout_s)
        except TimeoutError as error:
            raise self._why_closed() from error

    async def close(self) -> None:
        """Send what waits, for a second at most, and leave."""
        self._closing = True
        with suppress(TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._until(self._is_idle, CLOSE_S)
            if self._state.is_open:
                await self._stream.done_writing()  # the hub takes it for a goodbye
                await asyncio.wait([self._keeper], timeout=CLOSE_S)
        self._keeper.cancel()
        await self._channel.close()

    async def renew(self, identity: TlsIdentity) -> None:
        """Attach with another certificate; the session goes on."""
        self._identity = identity
        if self._state.is_open:
            self._silence.reschedule(asyncio.get_running_loop().time())

    def hold(self, *, held: bool) -> None:
        """Stop or resume taking bulk from the hub."""
        self._hold = self._session.hold_acks = held
        self._wake.set()

    async def send(
        self, to: str, data: bytes, *, urgent: bool, timeout_s: float
    ) -> None:
        """Queue an envelope when there is room; see ``Link.send``."""
        await self._until_room(to, urgent=urgent, timeout_s=timeout_s)
        self._session.queue_envelope(to, data, urgent=urgent)
        self._wake.set()

    async def notify(self, notice: hub_pb2.Notice, timeout_s: float) -> None:
        """Queue a wake-up for the coordinator; see ``Link.notify``."""
        await self._until_room(self._coordinator, urgent=True, timeout_s=timeout_s)
        self._session.queue_notice(notice)
        self._wake.set()

    async def ask(self, call: "Callable[[HubServiceAsyncStub], Awaitable[_T]]") -> _T:
        """Make one of the hub's other calls; raises the reason of a failure."""
        try:
            return await call(self._stub)
        except grpc.aio.AioRpcError as error:
            fault = self._explained(error.details())
            if isinstance(fault, UnreachableError) and not self._state.is_open:
                fault = self._why_closed()
            raise fault from error

    async def _until(self, met: Callable[[], bool], timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            while not met():
                self._progress.clear()
                await self._progress.wait()

    async def _until_room(self, to: str, *, urgent: bool, timeout_s: float) -> None:
        told = self._losses[to]

        def settled() -> bool:
            room = self._session.pending(urgent=urgent) <= QUEUE_BYTES
            return (self._state.is_open and room) or self._losses[to] != told

        try:
            await self._until(settled, timeout_s)
        except TimeoutError as error:
            if not self._state.is_open:
                raise self._why_closed() from error
            raise PeerLostError(
                "this party does not take what is sent to it", party=to
            ) from error
        if self._losses[to] != told:
            raise PeerLostError("this party is gone", party=to)

    def _is_idle(self) -> bool:
        waiting = sum(self._session.pending(urgent=urgent) for urgent in (True, False))
        return not self._state.is_open or waiting == 0

    def _why_closed(self) -> Fault:
        return self._fault or self._unreachable("the coordinator has not answered yet")

    def _unreachable(self, what: str) -> UnreachableError:
        return UnreachableError(
            what,
            party=self._coordinator,
            place=self._address,
            remedy="Check that the coordinator runs, and this machine's way to it.",
        )

    def _explained(self, details: str | None) -> Fault:
        return explain(
            details or "",
            self._coordinator,
            self._address,
            self._shown.certificate,
            time.time(),
        )

    def _new_session(self) -> Session:
        return Session(
            secrets.token_bytes(SESSION_ID_BYTES),
            version=self._version,
            max_envelope=self._max_envelope,
        )

    def _open_channel(self) -> None:
        self._shown = self._identity
        self._channel = grpc.aio.secure_channel(
            self._address, client_credentials(self._shown), options=self._options
        )
        self._stub = hub_pb2_grpc.HubServiceStub(self._channel)

    async def _keep_attached(self) -> None:
        delay = FIRST_DELAY_S
        while not self._closing:
            self._fault = await self._attach()
            delay = FIRST_DELAY_S if self._state.is_open else 2 * delay
            self._tell(is_open=False, detail=str(self._fault))
            await asyncio.sleep(min(delay, LAST_DELAY_S))

    async def _attach(self) -> Fault:
        """Serve one stream until it ends, and return why it did."""
        if self._shown is not self._identity:
            await self._channel.close(CLOSE_S)
            self._open_channel()
        self._session.dial()
        self._stream = self._stub.Attach()
        writer = asyncio.create_task(self._write())
        try:
            await self._read()
        except TimeoutError:
            return self._silent()
        except WireError as error:
            self._forget_session()
            return error
        except grpc.aio.AioRpcError as error:
            fault = self._explained(error.details())
            if isinstance(fault, CoordinatorRefusedError) and fault.reason == "wire":
                self._forget_session()
            return fault
        else:
            return self._unreachable("the coordinator closed the stream")
        finally:
            writer.cancel()
            self._stream.cancel()

    def _silent(self) -> Fault:
        if self._shown is not self._identity:
            return self._unreachable("attaching anew with another certificate")
        if self._state.is_open:
            return self._unreachable("the coordinator's process does not respond")
        return self._explained("")

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(SILENCE_S) as self._silence:
            async for response in self._stream:
                self._silence.reschedule(loop.time() + SILENCE_S)
                for event in self._session.receive(response.frame):
                    self._handle(event)
                self._wake.set()
                self._progress.set()

    async def _write(self) -> None:
        # If a write fails, so does the read, which says why.
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # A write to a call that was refused would replace the hub's reason by one
            # of grpcio's own, so the first write waits for the hub's assent.
            await self._stream.initial_metadata()
            while True:
                frames = self._session.next_frames(CHUNK_BYTES)
                for frame in frames:
                    await self._stream.write(hub_pb2.AttachRequest(frame=frame))
                if not frames:
                    await self._wake.wait()
                    self._wake.clear()

    def _handle(self, event: Event) -> None:
        match event:
            case SessionOpened(resumed, dropped):
                if self._was_open and not resumed:
                    self._lose(self._coordinator, ANEW)
                    for party in dropped:
                        self._lose(party, MISSED)
                self._was_open = True
                self._tell(is_open=True, detail="resumed" if resumed else "attached")
            case PartyLost(party, reason):
                self._lose(party, reason)
            case _:
                self._report(event)

    def _lose(self, party: str, reason: str) -> None:
        self._losses[party] += 1
        self._report(PartyLost(party, reason))

    def _forget_session(self) -> None:
        for party in self._session.undelivered():
            self._lose(party, MISSED)
        self._session = self._new_session()
        self._session.hold_acks = self._hold

    def _tell(self, *, is_open: bool, detail: str) -> None:
        state = StateChanged(is_open, detail)
        if state != self._state:
            self._state = state
            self._report(state)
        self._progress.set()
