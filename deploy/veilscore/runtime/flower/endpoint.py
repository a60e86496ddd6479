"""Clients of a Flower API on this machine, with none of Flower's reflexes.

Flower's own clients follow redirects and the environment's proxies, which would
carry secrets elsewhere, and the retries that come with them interrupt the whole
process (SIGINT) when a run is stopped. These do neither: every error is an exception.
"""

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import httpx
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ConfirmMessageReceivedResponse,
    PullObjectRequest,
    PullObjectResponse,
)
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError
from flwr.supercore.protobuf.client import ProtobufClient, ProtobufClientInterceptor
from flwr.supercore.runtime import RuntimeHttpClient

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

_TIMEOUT_S = 30.0
# Less than the 5 s after which a SuperNode closes an idle connection: what is sent at
# that moment is lost. More than the second between two polls.
_IDLE = httpx.Limits(keepalive_expiry=2.5)
# A SuperLink that was killed is back within this time.
_BACK_S = 20.0
_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an API listens, and whose signature makes its certificate good."""

    address: str  # host:port
    ca_certificates: bytes  # PEM


class _Direct(ProtobufClient):
    """A client that talks to its endpoint and to nothing else."""

    def __init__(
        self, endpoint: Endpoint, interceptors: Sequence[ProtobufClientInterceptor]
    ) -> None:
        tls = ssl.create_default_context(cadata=endpoint.ca_certificates.decode())
        base = f"https://{endpoint.address}"
        super().__init__(base, interceptors=interceptors, verify=tls)
        self._client.close()
        self._client = httpx.Client(
            verify=tls, timeout=_TIMEOUT_S, trust_env=False, limits=_IDLE
        )

    def healthy(self) -> bool:
        """Return whether the server answers."""
        try:
            return self._client.get(f"{self._base_url}/health").is_success
        except httpx.HTTPError:
            return False


class RuntimeClient(_Direct, RuntimeHttpClient):
    """A client of the Runtime API: tasks and their messages.

    Flower hands out a message only once, before its parts are fetched. With an event
    ``stopping`` these are asked for again while the server does not answer, for as long
    as one that was killed takes to come back, or until the event is set. Parts that the
    sender never sent are waited for while ``wanted`` says so.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        interceptors: Sequence[ProtobufClientInterceptor],
        stopping: threading.Event | None = None,
    ) -> None:
        super().__init__(endpoint, interceptors)
        self._stopping = stopping
        self.wanted: Callable[[], bool] = lambda: True

    def PullObject(self, request: PullObjectRequest) -> PullObjectResponse:  # noqa: N802 - Flower's
        """Fetch one part of a message that was handed out.

        Raises ObjectPullError if nobody wants the message any more.
        """
        pull = super().PullObject

        def pull_wanted(request: PullObjectRequest) -> PullObjectResponse:
            if not self.wanted():
                raise ObjectPullError(request.object_id, "nobody waits for it any more")
            return pull(request)

        return self._until_back(pull_wanted, request)

    def ConfirmMessageReceived(  # noqa: N802 - Flower's
        self, request: ConfirmMessageReceivedRequest
    ) -> ConfirmMessageReceivedResponse:
        """Let the server delete a message that was fetched."""
        return self._until_back(super().ConfirmMessageReceived, request)

    def _until_back(
        self, call: Callable[[_Request], _Response], request: _Request
    ) -> _Response:
        deadline = time.monotonic() + _BACK_S
        while True:
            try:
                return call(request)
            except httpx.TransportError:
                if self._stopping is None or time.monotonic() > deadline:
                    raise
                if self._stopping.wait(_AGAIN_S):
                    raise


class ControlClient(_Direct, ControlHttpClient):
    """A client of the Control API: nodes and runs."""
