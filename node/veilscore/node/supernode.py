"""The node's SuperNode process: Flower's connection to the coordinator.

It dials out to the coordinator's SuperLink, proves the node's Flower key and keeps
messages in memory until the executor of this process takes them over a loopback
API. It executes nothing (``--isolation process``).
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from veilscore.keys.authority import DevelopmentAuthority
from veilscore.keys.certificates import TlsKey
from veilscore.runtime.flower.endpoint import Endpoint
from veilscore.runtime.flower.pin import environment, require_pinned
from veilscore.runtime.flower.worker import RuntimeApi
from veilscore.runtime.supervise import Child, SecretFiles, port_is_free

_HOST = "127.0.0.1"
_GRACE_S = 4.0
_DAYS = 3650  # of the loopback certificate, which lasts as long as this object


@dataclass(frozen=True, slots=True)
class SuperNodeConfig:
    """Where things are."""

    superlink: str  # host:port of the coordinator's guard
    runtime_port: int  # of the loopback API
    state_dir: Path


class SuperNode:
    """Owns the SuperNode process.

    ``flower_key`` is the node's private key in OpenSSH format, ``ca_certificates``
    the PEM of whoever signed the coordinator's certificate; Flower reads them from
    files, which only this user can read and which ``stop`` deletes. ``on_death`` gets
    the exit status whenever the process ended by itself; it comes back.
    """

    def __init__(
        self,
        config: SuperNodeConfig,
        *,
        flower_key: bytes,
        ca_certificates: bytes,
        on_death: Callable[[int], None],
    ) -> None:
        self._config = config
        home = config.state_dir / "flower"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._secrets = SecretFiles(home / "secrets")
        secret = secrets.token_bytes(48)
        # An authority for one certificate: whoever takes the port while the process
        # is down cannot pose as it.
        now = time.time()
        authority = DevelopmentAuthority.create("loopback", now, _DAYS)
        key = TlsKey.generate()
        certificate = authority.issue(
            key.request("loopback"), "loopback", now, _DAYS, [_HOST]
        )
        self.api = RuntimeApi(
            Endpoint(f"{_HOST}:{config.runtime_port}", authority.certificate_pem),
            secret,
        )
        write = self._secrets.write
        options = {
            "--superlink": config.superlink,
            "--root-certificates": write("ca.pem", ca_certificates),
            "--auth-supernode-private-key": write("flower.key", flower_key),
            "--host": _HOST,
            "--port": config.runtime_port,
            "--isolation": "process",
            "--superexec-auth-secret-file": write("executor.secret", secret),
            "--ssl-ca-certfile": write("loopback-ca.pem", authority.certificate_pem),
            "--ssl-certfile": write("loopback.pem", certificate),
            "--ssl-keyfile": write("loopback.key", key.private_pem()),
        }
        self._child = Child(
            "veilscore.runtime.flower.supernode_process",
            [str(word) for option in options.items() for word in option],
            environment=environment(home),
            log=home / "supernode.log",
            on_death=on_death,
        )

    @property
    def port(self) -> int:
        """Where its loopback API listens."""
        return self._config.runtime_port

    @property
    def pid(self) -> int | None:
        """The running process, or None between two of them."""
        return self._child.pid

    def start(self) -> None:
        """Spawn the process; it connects once it gets ``go``."""
        require_pinned()
        port_is_free(_HOST, self._config.runtime_port)
        self._child.start()

    def go(self) -> None:
        """Let it connect. Call this when the coordinator knows the node's key."""
        self._child.go()

    def poke(self) -> None:
        """Look for a message at the coordinator now."""
        self._child.poke()

    def stop(self) -> None:
        """End the process."""
        self._child.stop(_GRACE_S)
        self._secrets.delete()
