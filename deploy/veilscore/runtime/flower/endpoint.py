"""Clients of a Flower API on this machine, with none of Flower's reflexes.

Flower's own clients follow redirects and the environment's proxies, which would
carry secrets elsewhere, and the retries that come with them interrupt the whole
process (SIGINT) when a run is stopped. These do neither: every error is an exception.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.protobuf.client import ProtobufClient, ProtobufClientInterceptor
from flwr.supercore.runtime import RuntimeHttpClient

_TIMEOUT_S = 30.0


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
        self._client = httpx.Client(verify=tls, timeout=_TIMEOUT_S, trust_env=False)

    def healthy(self) -> bool:
        """Return whether the server answers."""
        try:
            return self._client.get(f"{self._base_url}/health").is_success
        except httpx.HTTPError:
            return False


class RuntimeClient(_Direct, RuntimeHttpClient):
    """A client of the Runtime API: tasks and their messages."""


class ControlClient(_Direct, ControlHttpClient):
    """A client of the Control API: nodes and runs."""
