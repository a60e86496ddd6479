"""``python -m tests.integration.recording_coordinator PARENT WORDS...``: on tap.

Runs ``veilscore WORDS...``, or the SuperLink, exactly as the lab does, and writes down
all that reaches it. It records inside the process, where TLS hands over what it has
decrypted: the last place that every byte passes and the first where it is in clear.
Whoever recorded on the wire would need the TLS keys of all parties, and would not see
through the compressed headers of HTTP/2. Recorded are

- the bytes of every gRPC message before they are decoded, unknown fields and all, and
  the metadata of every call, also of methods that do not exist. What gRPC keeps to
  itself of HTTP/2 (timeouts, window sizes) no code of the coordinator can get at;
- every byte of every HTTP connection, whether uvicorn can make a request of it or not;
- what the coordinator could open of the envelopes that were sealed to itself.

Nothing of the product is edited or left out; names in its modules are replaced.
"""

import functools
import itertools
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakKeyDictionary

import grpc
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.attacks.received import CALL, FLOWER, MESSAGE, OPENED, WEB, Recorder
from veilscore.coordinator import superlink
from veilscore.keys.registry import Registry
from veilscore.keys.sealing import Opener
from veilscore.lab import party_process
from veilscore.runtime.flower import pin, superlink_process
from veilscore.runtime.supervise import Child
from veilscore.v1.envelope_pb2 import EnvelopeHeader

FOLDER: Final = "VEILSCORE_TEST_RECORDS"  # the environment names where to write
MODULE: Final = "tests.integration.recording_coordinator"
_SUPERLINK: Final = "superlink"

if TYPE_CHECKING:  # only its stub is generic
    _Handler = grpc.RpcMethodHandler[Any, Any]


def main(parent: str, *words: str) -> None:
    """Become the command, or the coordinator's SuperLink, and record."""
    recorder = Recorder(Path(os.environ[FOLDER]) / f"{os.getpid()}.jsonl")
    if words[0] == _SUPERLINK:
        _record_http(FLOWER, recorder)
        superlink_process.main(parent, *words[1:])
        return
    _record_http(WEB, recorder)
    _record_opened(recorder)
    tap = _HubTap(recorder)
    grpc.aio.server = functools.partial(grpc.aio.server, interceptors=[tap])
    pin.replace(superlink, "Child", _RecordingChild)
    party_process.main(parent, *words)


class _RecordingChild(Child):
    """The SuperLink's process, started as a recording one."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        on_death: Callable[[int], None],
    ) -> None:
        assert module == superlink_process.__name__
        super().__init__(
            MODULE,
            [_SUPERLINK, *arguments],
            environment=environment,
            log=log,
            on_death=on_death,
        )


class _HubTap(grpc.aio.ServerInterceptor):
    """Records calls and messages of a gRPC server."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._numbers = itertools.count(1)

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_Handler | None":
        """Note the call, and have its messages noted."""
        call = f"{handler_call_details.method}, call {next(self._numbers)}"
        metadata = b"".join(
            name.encode() + b": " + (v if isinstance(v, bytes) else v.encode()) + b"\n"
            for name, v in handler_call_details.invocation_metadata
        )
        self._recorder.note(CALL, call, metadata)
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        decode = handler.request_deserializer

        def noted(data: bytes) -> object:
            self._recorder.note(MESSAGE, call, data)
            return data if decode is None else decode(data)

        # It is a named tuple, which its stub does not tell.
        changed = cast("Any", handler)._replace(request_deserializer=noted)
        return cast("_Handler", changed)


def _record_http(channel: str, recorder: Recorder) -> None:
    numbers: WeakKeyDictionary[object, str] = WeakKeyDictionary()
    count = itertools.count(1)

    def tapped(take: Callable[[Any, bytes], None]) -> Callable[[Any, bytes], None]:
        def noted(protocol: object, data: bytes) -> None:
            if protocol not in numbers:
                numbers[protocol] = f"connection {next(count)}"
            recorder.note(channel, numbers[protocol], data)
            take(protocol, data)

        return noted

    for kind in (H11Protocol, HttpToolsProtocol):
        setattr(kind, "data_received", tapped(kind.data_received))  # noqa: B010 - as said


def _record_opened(recorder: Recorder) -> None:
    unseal = Opener.open

    def noted(
        self: Opener, data: bytes, registry: Registry
    ) -> tuple[EnvelopeHeader, bytes]:
        header, plaintext = unseal(self, data, registry)
        recorder.note(OPENED, header.sender, plaintext)
        return header, plaintext

    Opener.open = noted  # type: ignore[method-assign] # as said


if __name__ == "__main__":
    main(*sys.argv[1:])
