"""``veilscore coordinator run`` as its own process, and parties that talk to it."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from veilscore.coordinator import config, setup
from veilscore.coordinator.config import CoordinatorSettings
from veilscore.keys.certificates import FlowerKey, TlsKey
from veilscore.keys.enrolment import PartyCard, WelcomeKit
from veilscore.keys.identity import Signer
from veilscore.keys.registry import Role
from veilscore.keys.tlog.events import read_event
from veilscore.node.link import Link
from veilscore.runtime.tls import TlsIdentity, client_context
from veilscore.v1.audit_pb2 import Event

HOST = "127.0.0.1"
_MAIN = "from veilscore.runtime.cli import main; main()"


def free_ports(count: int) -> list[int]:
    held = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports: list[int] = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def eventually(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.05)


def veilscore(
    *arguments: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with these variables too."""
    words = [str(word) for word in arguments]
    return subprocess.run(
        [sys.executable, "-c", _MAIN, *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@dataclass
class Coordinator:
    """A coordinator's folder, and its process while there is one."""

    folder: Path
    fingerprint: bytes
    settings: CoordinatorSettings
    process: subprocess.Popen[str] | None = None

    @classmethod
    @contextlib.contextmanager
    def create(cls, folder: Path) -> Generator["Coordinator"]:
        """Make a folder; a process that the body leaves running is killed."""
        hub, flower, web = free_ports(3)
        new = setup.NewCoordinator(folder, HOST, hub, flower, web)
        fingerprint = setup.create(new, time.time())
        coordinator = cls(folder, fingerprint, config.read(folder / "coordinator.toml"))
        try:
            yield coordinator
        finally:
            if coordinator.process is not None:
                coordinator.process.kill()
                coordinator.process.wait()

    @property
    def toml(self) -> Path:
        return self.folder / "coordinator.toml"

    def close_log(self) -> None:
        """Let parties and auditors only read the log, from the next start on."""
        text = self.toml.read_text()
        assert 'readers = "everybody"' in text
        self.toml.write_text(text.replace('"everybody"\n', '"parties"\n'))
        self.settings = config.read(self.toml)

    @property
    def is_closed(self) -> bool:
        return self.settings.web.readers == "parties"

    @property
    def pages(self) -> str:
        return f"http{'s' if self.is_closed else ''}://{self.settings.web.address}"

    @property
    def trust(self) -> ssl.SSLContext | bool:
        authority = self.settings.authority.read_bytes()
        return client_context(authority) if self.is_closed else True

    @property
    def log_file(self) -> Path:
        return self.folder / "output.txt"

    def start(self) -> None:
        """Start the process and wait until runs can start."""
        self.spawn()
        eventually(self.ready)

    def spawn(self) -> None:
        """Start the process."""
        command = ["coordinator", "run", "--config", str(self.toml)]
        with self.log_file.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, *command],
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log_file.read_text()
        return self.why_not_ready() == []

    def why_not_ready(self) -> list[str]:
        """Return the reasons that it gives in public, or that it does not answer."""
        try:
            answer = httpx.get(f"{self.pages}/readyz", verify=self.trust)
        except httpx.HTTPError:
            return ["no answer"]
        reasons: list[str] = answer.json()["reasons"]
        assert answer.status_code == (503 if reasons else 200)
        return reasons

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """End the process; return its exit status and the seconds it took.

        Checks that no process of it is left.
        """
        assert self.process is not None
        family = psutil.Process(self.process.pid).children(recursive=True)
        assert family  # the SuperLink
        started = time.monotonic()
        os.kill(self.process.pid, number)
        status = self.process.wait(30)
        took = time.monotonic() - started
        self.process = None
        eventually(lambda: not [each for each in family if each.is_running()], 10)
        return status, took

    def ask(self, method: str, path: str, body: str = "") -> httpx.Response:
        """Ask the REST interface as the operator."""
        token = self.settings.web.token_file.read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.request(
            method, self.pages + path, content=body.encode(), headers=headers
        )

    def view(self, run: str) -> dict[str, object]:
        """Return a run as the operator sees it."""
        view: dict[str, object] = self.ask("GET", f"/v1/runs/{run}").json()
        return view

    def events(self, kind: str = "") -> list[Event]:
        """Return the events of the log, the oldest first."""
        rows = httpx.get(f"{self.pages}/events.json", params={"kind": kind}).json()
        indices = sorted(int(row["index"]) for row in rows)
        leaves = [httpx.get(f"{self.pages}/events/{i}/entry").content for i in indices]
        return [read_event(leaf).event for leaf in leaves]

    def admit(self, name: str, *, flower: bool = True) -> "Member":
        """Let a party in by the command."""
        signer, tls = Signer.generate(), TlsKey.generate()
        key = FlowerKey.generate().public_pem() if flower else ""
        card = self.folder / f"{name}.card"
        kit = self.folder / f"{name}.kit"
        card.write_bytes(
            PartyCard.sign(signer, name, {Role.DATA_HOLDER}, tls.request(name), key)
        )
        told = ("--fingerprint", signer.verify_key.fingerprint.hex())
        done = veilscore(
            "coordinator", "admit", card, *told, "--config", self.toml, "--out", kit
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == signer.verify_key.fingerprint.hex()
        welcome = WelcomeKit.load(kit.read_bytes(), self.fingerprint, name)
        return Member(name, signer, tls, welcome)


@dataclass
class Member:
    """A party with its keys and its kit."""

    name: str
    signer: Signer
    tls: TlsKey
    kit: WelcomeKit

    @contextlib.contextmanager
    def attached(self) -> Generator[Link]:
        """Keep a stream to the hub open."""
        link = Link(
            self.kit.addresses["hub"],
            TlsIdentity(
                self.kit.authority, self.kit.certificate, self.tls.private_pem()
            ),
            on_envelope=_ignore,
            on_notice=_ignore,
            on_lost=_ignore,
            on_state=_ignore,
            server_name=self.kit.addresses["server_name"],
        )
        link.start()
        try:
            link.wait_ready(20)
            yield link
        finally:
            link.close()


def _ignore(*_: object) -> None:
    """Take a callback of the link."""
