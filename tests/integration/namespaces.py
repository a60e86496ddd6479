"""Hosts on one kernel: each with a network, a process table and a folder of its own.

    bank ────────┐
    regulator ───┤ router ─── coordinator          auditor (no cable)
    agriculture ─┘

A host is the process that holds its namespaces. It waits for the end of its input, and
as the first process of its process namespace it takes everything on the host with it:
when a test ends, in whatever way, the kernel closes the pipe and removes processes,
cables and mounts.

The router passes what is addressed to the two ports that the coordinator offers and
what is sent from these, and drops all else, so nobody can dial a node. It is a list of
addresses and ports without memory: the coordinator could dial a node from port 9443, if
its own hub did not hold that.

Shared are the kernel, the user and all files but the folders of the hosts.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.integration import port_scan
from tests.integration.coordinator_process import eventually

COORDINATOR_HOST = "coordinator.example.org"  # as deploy/README.md calls it
_NAMESPACES = ("--net", "--mount", "--pid")
_UNSHARE = ("unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc")
_TOOLS = ("ip", "mount", "nsenter", "ss", "unshare")


def require_namespaces() -> None:
    """Skip the test, loudly, where no host can be made."""
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if absent:
        pytest.skip(f"NO HOSTS OF THEIR OWN: install {', '.join(absent)}")
    tried = subprocess.run(
        [*_UNSHARE, "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"NO HOSTS OF THEIR OWN: be root ({tried.stderr.strip()})")


class Program:
    """A command that runs on a host until it ends or is stopped."""

    def __init__(self, words: Iterable[str], log: Path) -> None:
        self._log = log
        self._from = log.stat().st_size if log.exists() else 0
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [*words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        """Return what it has said since it was started."""
        return self._log.read_bytes()[self._from :].decode()

    def wait_for(self, words: str, seconds: float = 180.0) -> None:
        """Wait until it has said this; fails if it ends."""

        def has_said() -> bool:
            assert self._process.poll() is None, self.said()
            return words in self.said()

        eventually(has_said, seconds)

    def wait(self, seconds: float, *, status: int = 0) -> str:
        """Wait until it has ended, with this status, and return what it said."""
        assert self._process.wait(seconds) == status, self.said()
        return self.said()

    def stop(self, *, status: int = 0) -> None:
        """Stop it as ``systemctl stop`` does."""
        # nsenter stays outside and waits for the command, its child.
        (inside,) = psutil.Process(self._process.pid).children()
        inside.terminate()
        self.wait(20, status=status)

    def reap(self) -> None:
        """Take note of its end, after that of its host."""
        self._process.wait(20)


@dataclass(frozen=True)
class Host:
    """One host. All hosts see their own folder at the same place."""

    name: str
    address: str
    first_process: int
    folder: Path  # where the test finds it
    place: Path  # where the host finds it
    programs: list[Program] = field(default_factory=list[Program])

    def run(self, *words: str, seconds: float = 120.0) -> str:
        """Run a command to its end and return what it printed; it must succeed."""
        done = subprocess.run(
            self._entering(words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        said = f"{self.name}: {' '.join(words)}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, said
        return done.stdout

    def start(self, *words: str) -> Program:
        """Start a command that goes on; what it says is in a file beside the folder."""
        log = self.folder.parent.parent / f"{self.name}.{'-'.join(words[1:3])}.log"
        self.programs.append(Program(self._entering(words), log))
        return self.programs[-1]

    def sockets(self) -> set[tuple[str, str, int]]:
        """Return protocol, address and port of all that can be dialled here."""
        found: set[tuple[str, str, int]] = set()
        for line in self.run("ss", "-Hltun").splitlines():
            kind, _, _, _, local, *_ = line.split()
            address, _, port = local.rpartition(":")
            # A dual-stack socket may be bound to an IPv4 address.
            plain = address.strip("[]").removeprefix("::ffff:")
            found.add((kind, plain, int(port)))
        return found

    def scan(self, target: "Host", first: int, last: int) -> port_scan.Answers:
        """Dial the TCP ports of another host."""
        ports = (str(first), str(last))
        told = self.run("python", port_scan.__file__, target.address, *ports)
        return port_scan.read(told)

    def _entering(self, words: Iterable[str]) -> list[str]:
        path = f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}"
        there = ["nsenter", f"--target={self.first_process}", *_NAMESPACES]
        return [*there, "env", f"--chdir={self.place}", path, *words]


@dataclass(frozen=True)
class Network:
    """The hosts by name, and the router between them."""

    hosts: dict[str, Host]
    router: Host
    offered: str  # the coordinator's ports, as FIRST-LAST

    def guard(self) -> None:
        """Pass what is said to the coordinator's ports and from them, nothing else."""
        coordinator = self.hosts["coordinator"].address
        rule = ("ip", "rule", "add", "priority")
        offered = ("ipproto", "tcp", "dport", self.offered, "lookup", "main")
        answers = ("ipproto", "tcp", "sport", self.offered, "lookup", "main")
        self.router.run(*rule, "10", "to", coordinator, *offered)
        self.router.run(*rule, "11", "from", coordinator, *answers)
        self.router.run(*rule, "12", "blackhole")

    @contextmanager
    def unguarded(self) -> Generator[None]:
        """Pass everything for a while."""
        for priority in ("10", "11", "12"):
            self.router.run("ip", "rule", "del", "priority", priority)
        try:
            yield
        finally:
            self.guard()


@contextmanager
def network(
    root: Path, wired: Iterable[str], unwired: Iterable[str], offered: str
) -> Generator[Network]:
    """Make hosts with folders below ``root``, guarded; remove them afterwards.

    One of the wired hosts is the coordinator, and all know its address by name.
    """
    place = root / "hosts"
    with ExitStack() as stack:
        router = stack.enter_context(_host("router", "", place))
        router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        hosts: dict[str, Host] = {}
        for number, name in enumerate(wired, 1):
            link = f"10.0.{number}"
            host = stack.enter_context(_host(name, f"{link}.2", place))
            _connect(host, router, f"{link}.1")
            hosts[name] = host
        for name in unwired:
            hosts[name] = stack.enter_context(_host(name, "", place))
        known = root / "etc-hosts"
        names = {
            "127.0.0.1": "localhost",
            hosts["coordinator"].address: COORDINATOR_HOST,
        }
        known.write_text("".join(f"{at} {name}\n" for at, name in names.items()))
        for host in hosts.values():
            host.run("mount", "--bind", str(known), "/etc/hosts")
            host.run("mount", "--bind", str(host.folder), str(place))
        made = Network(hosts, router, offered)
        made.guard()
        yield made


@contextmanager
def _host(name: str, address: str, place: Path) -> Generator[Host]:
    folder = place / name
    folder.mkdir(parents=True)
    with subprocess.Popen(
        [*_UNSHARE, "sh", "-c", "ip link set lo up && echo made && exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"made\n"
        (first,) = psutil.Process(holder.pid).children()
        host = Host(name, address, first.pid, folder, place)
        try:
            yield host
        finally:
            holder.stdin.close()
            holder.wait()
            for program in host.programs:
                program.reap()


def _connect(host: Host, router: Host, gateway: str) -> None:
    """Lay a cable between a host and the router."""
    one = ("eth0", "netns", str(host.first_process))
    other = (host.name, "netns", str(router.first_process))
    cable = ("ip", "link", "add", *one, "type", "veth", "peer", "name", *other)
    subprocess.run(cable, check=True)
    ends = (host, "eth0", host.address), (router, host.name, gateway)
    for at, device, address in ends:
        at.run("ip", "address", "add", f"{address}/30", "dev", device)
        at.run("ip", "link", "set", device, "up")
    host.run("ip", "route", "add", "default", "via", gateway)
