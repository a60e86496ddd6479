"""The coordinator's SuperLink: its process, its nodes, its runs.

The process is Flower's own program behind our guard; this module owns it, holds the
only control token, registers the parties' Flower keys and runs the ServerApp on a
thread of this process, so that no task token is seen on a command line.

Who learns what: Flower's database holds the names and public keys of nodes and the
payloads of steps.
"""

import contextlib
import functools
import secrets
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from flwr.serverapp import Grid

from veilscore.coordinator import server_app
from veilscore.coordinator.fleet import Fleet, Post
from veilscore.runtime.errors import FlowerError
from veilscore.runtime.flower.control import Control, RunStatus
from veilscore.runtime.flower.endpoint import Endpoint
from veilscore.runtime.flower.pin import environment, require_pinned
from veilscore.runtime.flower.server_task import serve_server_task
from veilscore.runtime.flower.thin_app import thin_app
from veilscore.runtime.flower.worker import RuntimeApi, Worker
from veilscore.runtime.supervise import Child, SecretFiles, port_is_free

_GRACE_S = 4.0
_ABORT_S = 2.0


@dataclass(frozen=True, slots=True)
class SuperLinkConfig:
    """Where things are."""

    host: str  # address to listen at
    port: int
    state_dir: Path
    local_host: str = "127.0.0.1"  # how this machine reaches it


class SuperLink:
    """Owns the SuperLink process and the resident ServerApp.

    All keys are PEM; ``certificate`` is valid for what nodes dial and for the
    configured ``local_host``. Flower reads them from files, which only this user can
    read and which ``stop`` deletes.

    ``wake(run, parties, step)`` tells nodes that a message waits for them;
    ``step_done`` is set by whoever hears that a node has answered. ``on_death`` gets
    the exit status whenever the process ended by itself; it comes back.
    """

    def __init__(
        self,
        config: SuperLinkConfig,
        *,
        ca_certificates: bytes,
        certificate: bytes,
        private_key: bytes,
        wake: Callable[[str, Collection[str], str], None],
        step_done: threading.Event,
        on_death: Callable[[int], None],
    ) -> None:
        self._config = config
        self._wake = wake
        self._step_done = step_done
        self._stopping = threading.Event()
        self._ids: dict[str, int] = {}
        self._fleet: Fleet | None = None
        home = config.state_dir / "flower"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log = home / "superlink.log"
        self._secrets = SecretFiles(home / "secrets")
        secret, token = secrets.token_bytes(48), secrets.token_urlsafe(48)
        local = f"{config.local_host}:{config.port}"
        endpoint = Endpoint(local, ca_certificates)
        self._control = Control(endpoint, token)
        self._worker = Worker(
            RuntimeApi(endpoint, secret),
            "flwr-serverapp",
            functools.partial(
                serve_server_task, endpoint, server_app.app, self._stopping
            ),
            threads=1,
        )
        write = self._secrets.write
        options = {
            "--host": config.host,
            "--port": config.port,
            "--database": home / "superlink.db",
            "--isolation": "process",
            "--superexec-auth-secret-file": write("serverapp.secret", secret),
            "--ssl-ca-certfile": write("ca.pem", ca_certificates),
            "--ssl-certfile": write("server.pem", certificate),
            "--ssl-keyfile": write("server.key", private_key),
        }
        flags = ["--enable-supernode-auth", "--disable-runtime-dependency-installation"]
        words = [str(word) for option in options.items() for word in option]
        self._child = Child(
            "veilscore.runtime.flower.superlink_process",
            [str(write("control.token", token.encode())), *words, *flags],
            environment=environment(home),
            log=self._log,
            on_death=on_death,
        )

    @property
    def pid(self) -> int | None:
        """The running process, or None between two of them."""
        return self._child.pid

    def start(self) -> None:
        """Spawn the process and begin to serve runs."""
        require_pinned()
        port_is_free(self._config.host, self._config.port)
        server_app.FLEET_OF = self._fleet_of
        self._child.start()
        self._child.go()
        self._worker.start()

    def wait_until_healthy(self, timeout_s: float) -> None:
        """Return when the SuperLink answers; raises FlowerError if it does not."""
        deadline = time.monotonic() + timeout_s
        while not self._control.healthy():
            if time.monotonic() > deadline:
                raise FlowerError(
                    f"the SuperLink did not answer within {timeout_s:g} s",
                    place=str(self._log),
                    remedy="Read the end of that file.",
                )
            time.sleep(0.1)

    def register_node(self, name: str, public_key: str) -> int:
        """Let a party's Flower key (PEM) in; returns its node's id, always the same."""
        node_id = self._control.register(name, public_key)
        self._ids[name] = node_id
        return node_id

    def unregister(self, name: str) -> None:
        """Shut a party's node out; its key can never be registered again."""
        self._control.unregister(self._ids.pop(name))

    def node_ids(self) -> dict[str, int]:
        """Return the ids of the nodes registered since the start, by name."""
        return dict(self._ids)

    def online(self) -> set[str]:
        """Return the names of the nodes whose SuperNode is connected."""
        alive = {node.node_id for node in self._control.nodes() if node.online}
        return {name for name, node_id in self._ids.items() if node_id in alive}

    def start_run(self, run: str) -> int:
        """Submit a run, whose director waits in ``server_app.DIRECTORS``.

        Returns Flower's id of it. There is one run at a time: what Flower takes for
        unfinished was left by a SuperLink or a coordinator that was killed, and
        SuperNodes might wait for the rest of its messages.
        """
        for left in self._control.unfinished_runs():
            with contextlib.suppress(FlowerError):  # it has finished meanwhile
                self._control.stop_run(left)
        run_id = self._control.start_run(run, thin_app())
        self._worker.poke()
        return run_id

    def stop_run(self, run_id: int) -> None:
        """Stop a run; its fleet's next call raises."""
        self._control.stop_run(run_id)
        self._step_done.set()

    def run_status(self, run_id: int) -> RunStatus:
        """Return how a run stands in Flower's books."""
        return self._control.run_status(run_id)

    def stop(self) -> None:
        """Abort the run in hand and end the process."""
        self._stopping.set()
        if self._fleet is not None:
            self._fleet.abort("the coordinator stops")
        self._worker.stop(_ABORT_S)
        self._control.close()
        self._child.stop(_GRACE_S)
        self._secrets.delete()

    def _fleet_of(self, grid: Grid, run: str) -> Fleet:
        self._fleet = Fleet(
            cast("Post", grid),  # the TaskGrid that ``serve_server_task`` makes
            run,
            self._ids,
            wake=functools.partial(self._wake, run),
            step_done=self._step_done,
        )
        return self._fleet
