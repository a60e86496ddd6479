"""The node's one connection to the coordinator, for ordinary threads.

The node dials out, shows its certificate and hands in sealed envelopes, receiving
keys and signed events; the coordinator learns to whom it writes, when and how much.
This does not seal, open or verify anything: its callers do.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from veilscore.node.attachment import QUEUE_BYTES, Attachment, StateChanged
from veilscore.runtime.channel import KEEPALIVE_S, channel_options
from veilscore.runtime.chunks import MAX_ENVELOPE_BYTES
from veilscore.runtime.errors import UnreachableError
from veilscore.runtime.loop_thread import LoopThread
from veilscore.runtime.session import EnvelopeArrived, Event, NoticeArrived, PartyLost
from veilscore.runtime.tls import TlsIdentity
from veilscore.v1 import hub_pb2

if TYPE_CHECKING:
    from veilscore.v1.hub_pb2_grpc import HubServiceAsyncStub

CALL_S: Final = 10.0
SEND_S: Final = 30.0

_T = TypeVar("_T")


class Link:
    """Attached, or trying to be, from ``start`` until ``close``; it is started once.

    Callbacks run one after the other on one thread: they may block and may call the
    link. ``on_lost`` gets the coordinator's name when its hub forgot what was under
    way; a loss may be told more than once. ``on_state`` gets whether the stream is
    open and a sentence for the operator. ``server_name`` is a host name in the
    coordinator's certificate, for when ``address`` is not.
    """

    def __init__(
        self,
        address: str,
        identity: TlsIdentity,
        *,
        on_envelope: Callable[[str, bytes, bool], object],
        on_notice: Callable[[hub_pb2.Notice], object],
        on_lost: Callable[[str, str], object],
        on_state: Callable[[bool, str], object],
        server_name: str = "",
        coordinator: str = "coordinator",
        version: str = "",
        keepalive_s: float = KEEPALIVE_S,
        max_envelope: int = MAX_ENVELOPE_BYTES,
    ) -> None:
        options = channel_options(keepalive_s)
        if server_name:
            options.append(("grpc.ssl_target_name_override", server_name))
        self._on_envelope = on_envelope
        self._on_notice = on_notice
        self._on_lost = on_lost
        self._on_state = on_state
        self._backlog = 0  # bytes of envelopes that wait for on_envelope
        self._thread = LoopThread("link")
        self._attachment = Attachment(
            address,
            identity,
            options,
            coordinator=coordinator,
            version=version,
            max_envelope=max_envelope,
            report=self._report,
        )

    def start(self) -> None:
        """Begin to attach; returns at once."""
        self._thread.start()
        self._thread.call(self._attachment.start())

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until the stream is open; raises the reason why it is not.

        That is UnreachableError, CoordinatorRefusedError, InvalidKeyError or
        WireError.
        """
        self._thread.call(self._attachment.wait_open(timeout_s))

    def close(self) -> None:
        """Send what waits, for a second at most, and leave."""
        with suppress(UnreachableError):  # it was closed before
            self._thread.call(self._attachment.close())
        self._thread.stop()

    def renew(self, identity: TlsIdentity) -> None:
        """Attach with another certificate; the session goes on."""
        self._thread.call(self._attachment.renew(identity))

    def send(
        self, to: str, data: bytes, *, urgent: bool = False, timeout_s: float = SEND_S
    ) -> None:
        """Queue an envelope, waiting while the stream is closed or too much waits.

        Raises PeerLostError if ``to`` is lost meanwhile or does not take what is sent
        to it, the reason why the stream is closed (see ``wait_ready``), and
        ValueError if it is larger than ``max_envelope``. A recipient that is lost
        later, or is unknown, is named to ``on_lost``.
        """
        self._thread.call(
            self._attachment.send(to, data, urgent=urgent, timeout_s=timeout_s)
        )

    def notify(
        self,
        kind: hub_pb2.NoticeKind.ValueType,
        run: str,
        step: str,
        *,
        timeout_s: float = SEND_S,
    ) -> None:
        """Wake the coordinator up; raises what ``send`` raises."""
        notice = hub_pb2.Notice(kind=kind, run=run, step=step)
        self._thread.call(self._attachment.notify(notice, timeout_s))

    def publish(self, key: hub_pb2.SignedKey) -> None:
        """Hand in a signed receiving key.

        This and the calls below raise what ``wait_ready`` raises, after 10 s at most.
        """
        request = hub_pb2.PublishRequest(key=key)
        self._ask(lambda hub: hub.Publish(request, timeout=CALL_S, wait_for_ready=True))

    def directory(self, purpose: str) -> list[hub_pb2.SignedKey]:
        """Return every party's newest receiving key for a purpose."""
        request = hub_pb2.DirectoryRequest(purpose=purpose)
        response = self._ask(
            lambda hub: hub.Directory(request, timeout=CALL_S, wait_for_ready=True)
        )
        return list(response.keys)

    def append(self, leaves: Sequence[bytes]) -> hub_pb2.AppendResponse:
        """Append signed events to the coordinator's log."""
        request = hub_pb2.AppendRequest(leaves=leaves)
        return self._ask(
            lambda hub: hub.Append(request, timeout=CALL_S, wait_for_ready=True)
        )

    def read_log(self, path: str, offset: int) -> hub_pb2.ReadLogResponse:
        """Return a part of a static file of the coordinator's log; see ``hub_log``.

        Raises also CoordinatorRefusedError for a file that the log does not have.
        """
        request = hub_pb2.ReadLogRequest(path=path, offset=offset)
        return self._ask(
            lambda hub: hub.ReadLog(request, timeout=CALL_S, wait_for_ready=True)
        )

    def health(self) -> hub_pb2.HealthResponse:
        """Ask how the hub is."""
        request = hub_pb2.HealthRequest()
        return self._ask(
            lambda hub: hub.Health(request, timeout=CALL_S, wait_for_ready=True)
        )

    def _ask(self, call: "Callable[[HubServiceAsyncStub], Awaitable[_T]]") -> _T:
        return self._thread.call(self._attachment.ask(call))

    def _report(self, event: Event | StateChanged) -> None:
        match event:
            case EnvelopeArrived(_, data, _):
                self._backlog += len(data)
                if self._backlog > QUEUE_BYTES:
                    self._attachment.hold(held=True)
                self._thread.post(self._deliver, event)
            case NoticeArrived(notice):
                self._thread.post(self._on_notice, notice)
            case PartyLost(party, reason):
                self._thread.post(self._on_lost, party, reason)
            case StateChanged(is_open, detail):
                self._thread.post(self._on_state, is_open, detail)
            case _:
                raise AssertionError(event)

    def _deliver(self, envelope: EnvelopeArrived) -> None:
        try:
            self._on_envelope(envelope.sender, envelope.data, envelope.urgent)
        finally:
            self._thread.soon(self._delivered, len(envelope.data))

    def _delivered(self, size: int) -> None:
        self._backlog -= size
        if self._backlog <= QUEUE_BYTES:
            self._attachment.hold(held=False)
