"""The hub: where parties attach, with a synchronous face for the coordinator.

The coordinator learns who is attached, who writes to whom and how much, and reads
what is addressed to itself. Nodes dial in; the hub never dials. Mutual TLS is
demanded of everybody. Everything runs on one loop thread; callbacks run one after
the other on another thread.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import grpc

from veilscore.coordinator.access import Access
from veilscore.coordinator.directory import KeyDirectory
from veilscore.coordinator.hub_service import (
    AppendLeaves,
    HubEvent,
    HubService,
    PartyAttached,
    ReadLogFile,
)
from veilscore.coordinator.relay import QUEUE_BYTES, Relay
from veilscore.runtime.channel import KEEPALIVE_S, channel_options, server_credentials
from veilscore.runtime.chunks import MAX_ENVELOPE_BYTES
from veilscore.runtime.errors import PeerLostError, PortInUseError, UnreachableError
from veilscore.runtime.loop_thread import LoopThread
from veilscore.runtime.session import EnvelopeArrived, NoticeArrived, PartyLost
from veilscore.runtime.tls import TlsIdentity
from veilscore.v1 import hub_pb2, hub_pb2_grpc

SEND_S: Final = 30.0
STOP_S: Final = 1.0


class Hub:
    """Listens at ``address`` from ``start`` until ``stop``; it is started once.

    Callbacks may block and may call the hub; they get names, bytes and notices as
    they came, in the order they came.
    """

    def __init__(
        self,
        address: str,
        identity: TlsIdentity,
        access: Access,
        directory: KeyDirectory,
        *,
        append: AppendLeaves,
        read_log: ReadLogFile,
        log_size: Callable[[], int],
        registry_file: Callable[[], bytes] = bytes,
        on_envelope: Callable[[str, bytes], object],
        on_notice: Callable[[str, hub_pb2.Notice], object],
        on_lost: Callable[[str, str], object],
        on_attached: Callable[[str], object],
        name: str = "coordinator",
        version: str = "",
        keepalive_s: float = KEEPALIVE_S,
        max_envelope: int = MAX_ENVELOPE_BYTES,
    ) -> None:
        self._address = address
        self._identity = identity
        self._keepalive_s = keepalive_s
        self._on_envelope = on_envelope
        self._on_notice = on_notice
        self._on_lost = on_lost
        self._on_attached = on_attached
        self._thread = LoopThread("hub")
        self._relay = Relay(
            name,
            version=version,
            # The two ends notice a dead line up to one keepalive apart.
            grace_s=2 * keepalive_s,
            max_envelope=max_envelope,
        )
        self._service = HubService(
            self._relay,
            access,
            directory,
            append=append,
            read_log=read_log,
            log_size=log_size,
            registry_file=registry_file,
            report=self._report,
            version=version,
        )
        self._backlog = 0  # bytes of envelopes that wait for on_envelope

    def start(self) -> int:
        """Listen, and return the port; raises PortInUseError."""
        self._thread.start()
        try:
            return self._thread.call(self._start())
        except PortInUseError:
            self._thread.stop()
            raise

    def stop(self) -> None:
        """Close all streams and stop listening, in little more than a second."""
        with suppress(UnreachableError):  # it was stopped before
            self._thread.call(self._stop())
        self._thread.stop()

    def renew(self, identity: TlsIdentity) -> None:
        """Show and trust other certificates on connections from now on."""
        self._identity = identity

    def send(
        self, to: str, data: bytes, *, urgent: bool = False, timeout_s: float = SEND_S
    ) -> None:
        """Queue an envelope, waiting while too much bulk waits for its recipient.

        Raises PeerLostError, and ValueError if it is larger than ``max_envelope``.
        """
        try:
            self._thread.call(self._send(to, data, urgent=urgent), timeout_s)
        except TimeoutError as error:
            raise PeerLostError(
                "this party does not take what is sent to it", party=to
            ) from error

    def notify(
        self, party: str, kind: hub_pb2.NoticeKind.ValueType, run: str, step: str
    ) -> None:
        """Wake a party up; raises PeerLostError."""
        self._thread.call(
            self._notify(party, hub_pb2.Notice(kind=kind, run=run, step=step))
        )

    def attached(self) -> frozenset[str]:
        """Return the parties that are attached, or were until a moment ago."""
        return self._thread.call(self._attached())

    async def _start(self) -> int:
        # Kept: a server that nothing refers to stops silently.
        self._server = grpc.aio.server(options=channel_options(self._keepalive_s))
        hub_pb2_grpc.add_HubServiceServicer_to_server(self._service, self._server)
        try:
            port = self._server.add_secure_port(
                self._address, server_credentials(self._identity, self._on_connection)
            )
        except RuntimeError as error:
            raise PortInUseError(
                "the hub cannot listen here",
                place=self._address,
                remedy="Stop the program that holds the port, or configure another.",
            ) from error
        await self._server.start()
        self._beat = asyncio.create_task(self._service.beat())
        return port

    async def _stop(self) -> None:
        self._beat.cancel()
        self._service.end()
        await self._server.stop(STOP_S)

    async def _send(self, to: str, data: bytes, *, urgent: bool) -> None:
        while not urgent and self._relay.congested(to):
            self._service.progress.clear()
            await self._service.progress.wait()
        self._relay.send(to, data, urgent=urgent)
        self._service.pump()

    async def _notify(self, party: str, notice: hub_pb2.Notice) -> None:
        self._relay.notify(party, notice)
        self._service.pump()

    async def _attached(self) -> frozenset[str]:
        return self._relay.attached()

    def _on_connection(self) -> TlsIdentity:
        self._thread.soon(self._service.handshakes.began, time.monotonic())
        return self._identity

    def _report(self, party: str, event: HubEvent) -> None:
        match event:
            case EnvelopeArrived(sender, data, _):
                self._backlog += len(data)
                if self._backlog > QUEUE_BYTES:
                    self._relay.hold(self._relay.name, party)
                self._thread.post(self._deliver, sender, data)
            case NoticeArrived(notice):
                self._thread.post(self._on_notice, party, notice)
            case PartyLost(_, reason):
                self._thread.post(self._on_lost, party, reason)
            case PartyAttached():
                self._thread.post(self._on_attached, party)

    def _deliver(self, sender: str, data: bytes) -> None:
        try:
            self._on_envelope(sender, data)
        finally:
            self._thread.soon(self._delivered, len(data))

    def _delivered(self, size: int) -> None:
        self._backlog -= size
        if self._backlog <= QUEUE_BYTES:
            self._relay.release(self._relay.name)
            self._service.pump()
