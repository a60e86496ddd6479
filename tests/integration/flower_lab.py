"""A coordinator and two nodes on loopback, with real Flower processes and TLS.

Coordinator and nodes share this process; each owns its children as in production.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from veilscore.coordinator import server_app
from veilscore.coordinator.fleet import Fleet, StepReply
from veilscore.coordinator.superlink import SuperLink, SuperLinkConfig
from veilscore.keys.authority import DevelopmentAuthority
from veilscore.keys.certificates import FlowerKey, TlsKey
from veilscore.node.errors import RefusedError
from veilscore.node.executor import Executor
from veilscore.node.supernode import SuperNode, SuperNodeConfig
from veilscore.runtime.flower.client_task import TaskRecord
from veilscore.runtime.flower.control import Control
from veilscore.runtime.flower.endpoint import Endpoint
from veilscore.runtime.supervise import port_is_free

HOST = "127.0.0.1"
NAMES = ("bank", "bureau")
BUSY = threading.Event()  # a handler has begun to take its time


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.05)


@dataclass
class Node:
    key: FlowerKey
    process: SuperNode
    executor: Executor
    deaths: list[int]
    audit: list[TaskRecord]
    state: Path


@dataclass
class Lab:
    superlink: SuperLink
    port: int
    authority: bytes
    state: Path
    deaths: list[int]
    nodes: dict[str, Node]

    def lead(
        self, run: str, director: Callable[[Fleet], None], app: bytes | None = None
    ) -> int:
        """Run ``director`` to its end; return Flower's id of the run."""
        ended = threading.Event()

        def led(fleet: Fleet) -> None:
            try:
                director(fleet)
            finally:
                ended.set()

        server_app.DIRECTORS[run] = led
        if app is None:
            run_id = self.superlink.start_run(run)
        else:
            control = Control(self.endpoint, self.token)
            run_id = control.start_run(run, app)
            control.close()
        assert ended.wait(60)
        eventually(lambda: self.superlink.run_status(run_id).status == "finished")
        return run_id

    def call(
        self, run: str, step: str, payloads: Mapping[str, bytes]
    ) -> dict[str, StepReply]:
        """Make one run of one step."""
        replies: dict[str, StepReply] = {}

        def director(fleet: Fleet) -> None:
            replies.update(fleet.call(step, payloads, timeout_s=40))

        self.lead(run, director)
        return replies

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"{HOST}:{self.port}", self.authority)

    @property
    def token(self) -> str:
        return (self.state / "flower" / "secrets" / "control.token").read_text()


def handle(run: str, step: str, payload: bytes, message_id: str) -> bytes:
    assert run
    assert len(message_id) == 64
    if step == "refuse":
        raise RefusedError("this run is not approved", place="/srv/secret")
    if step == "break":
        raise ValueError("91110000600037341L")
    if step == "hang":
        BUSY.set()
        time.sleep(2)
    return step.encode() + b":" + payload


@contextlib.contextmanager
def running_lab(state: Path) -> Generator[Lab]:
    """Start everything, and check at the end that nothing of it is left."""
    now = time.time()
    authority = DevelopmentAuthority.create("lab", now, 30)
    tls = TlsKey.generate()
    step_done = threading.Event()
    deaths: list[int] = []

    nodes: dict[str, Node] = {}

    def wake(run: str, parties: Collection[str], step: str) -> None:
        assert run
        assert step
        for party in parties:
            nodes[party].process.poke()
            nodes[party].executor.poke()

    def handler(run: str, step: str, payload: bytes, message_id: str) -> bytes:
        try:
            return handle(run, step, payload, message_id)
        finally:
            step_done.set()

    port = free_port()
    superlink = SuperLink(
        SuperLinkConfig(HOST, port, state / "coordinator"),
        ca_certificates=authority.certificate_pem,
        certificate=authority.issue(
            tls.request("coordinator"), "coordinator", now, 20, [HOST]
        ),
        private_key=tls.private_pem(),
        wake=wake,
        step_done=step_done,
        on_death=deaths.append,
    )
    superlink.start()
    for name in NAMES:
        key, fallen = FlowerKey.generate(), list[int]()
        process = SuperNode(
            SuperNodeConfig(f"{HOST}:{port}", free_port(), state / name),
            flower_key=key.private_openssh(),
            ca_certificates=authority.certificate_pem,
            on_death=fallen.append,
        )
        audit: list[TaskRecord] = []
        executor = Executor(process.api, handler, audit.append)
        nodes[name] = Node(key, process, executor, fallen, audit, state / name)
        process.start()
        executor.start()
    superlink.wait_until_healthy(60)
    for name, node in nodes.items():
        superlink.register_node(name, node.key.public_pem())
        node.process.go()
    eventually(lambda: superlink.online() == set(NAMES))
    yield Lab(
        superlink,
        port,
        authority.certificate_pem,
        state / "coordinator",
        deaths,
        nodes,
    )
    children = psutil.Process().children(recursive=True)
    for node in nodes.values():
        node.executor.stop(1)
        node.process.stop()
    superlink.stop()
    assert not [child for child in children if child.is_running()]
    assert not list(state.rglob("secrets"))
    for used in (port, *(n.process.port for n in nodes.values())):
        port_is_free(HOST, used)
