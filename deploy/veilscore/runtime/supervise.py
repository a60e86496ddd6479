"""Child processes that never outlive their parent and come back when they die.

A ``Child`` is a Python module of ours run as its own process. A thread of its own
spawns it, waits for it, and spawns it again after a pause that doubles. The module
calls ``bind_to_parent`` first, imports whatever takes long, then holds at the gate
in ``wait_for_go``: start-up overlaps with what the go has to wait for. After the go
every byte on its standard input is a poke, and the end of it means the parent died.

Who learns what: standard input carries no data, secrets reach a child as paths of
files. Nothing here knows what the children do.
"""

import contextlib
import ctypes
import errno
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from veilscore.runtime.errors import ConfigError, PortInUseError

_LOG = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_STEADY_S = 30.0  # a child that lived this long starts again without a long pause
_LOG_BYTES = 8 * 2**20


class Child:
    """One supervised process: ``python -m module parent_pid *arguments``.

    ``on_death`` gets the exit status of every death that ``stop`` did not cause; it
    runs on the supervising thread and must not raise. The log starts anew, keeping
    one predecessor, when it is longer than 8 MiB at a start.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        on_death: Callable[[int], None],
    ) -> None:
        # -P: a file in the current directory must not shadow a module.
        python = (sys.executable, "-P", "-m")
        self._command = (*python, module, str(os.getpid()), *arguments)
        self._environment = dict(environment)
        self._log = log
        self._on_death = on_death
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._gate_open = False
        self._stopping = threading.Event()
        # PR_SET_PDEATHSIG fires when the *thread* that spawned the child ends, so
        # the thread that spawns is the one that stays until the child is gone.
        self._thread = threading.Thread(target=self._keep_alive, daemon=True)

    @property
    def pid(self) -> int | None:
        """The running process, or None between two of them."""
        process = self._process
        return process.pid if process else None

    def start(self) -> None:
        """Spawn the process; it waits at its gate for ``go``."""
        self._thread.start()

    def go(self) -> None:
        """Open the gate, for this process and for those that replace it."""
        with self._lock:
            if not self._gate_open:
                self._gate_open = True
                self._write()

    def poke(self) -> None:
        """Wake the child if it is past its gate."""
        with self._lock:
            if self._gate_open:
                self._write()

    def stop(self, grace_s: float) -> None:
        """End the process: SIGTERM, and SIGKILL to its group after ``grace_s``."""
        self._stopping.set()
        if not self._thread.is_alive():
            return
        self._signal(signal.SIGTERM)
        self._thread.join(grace_s)
        if self._thread.is_alive():
            self._signal(signal.SIGKILL)
            self._thread.join()

    def _write(self) -> None:
        if self._process and self._process.stdin:
            pipe = self._process.stdin.fileno()
            os.set_blocking(pipe, False)
            # A full pipe holds pokes enough; a broken one belongs to a dying child.
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(pipe, b".")

    def _signal(self, number: int) -> None:
        with self._lock:
            if self._process:
                os.killpg(self._process.pid, number)

    def _keep_alive(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                status = self._run()
            except OSError:  # no memory, no descriptors, no disk: may pass
                _LOG.warning("cannot start %s", self._command[3], exc_info=True)
                status = os.EX_OSERR
            if self._stopping.is_set():
                return
            self._on_death(status)
            if time.monotonic() - started > _STEADY_S:
                pause = _FIRST_PAUSE_S
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _run(self) -> int:
        """Spawn the process, wait for its end, reap it and end its descendants."""
        process = self._spawn()
        if self._stopping.is_set():  # stop() came before there was a process
            self._signal(signal.SIGKILL)
        # Not reaped yet, so that its number still names its group and no other.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self._signal(signal.SIGKILL)
        with self._lock, process:  # closes its pipe and reaps it
            self._process = None
        return process.returncode

    def _spawn(self) -> subprocess.Popen[bytes]:
        log = _open_log(self._log)
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        finally:
            os.close(log)
        with self._lock:
            self._process = process
            if self._gate_open:
                self._write()
        return process


def _open_log(path: Path) -> int:
    """Return a descriptor to append to; only the owner may read the file."""
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(path.suffix + ".1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


class SecretFiles:
    """A directory of this user's for what a child can only read from files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, name: str, data: bytes) -> Path:
        """Write a file, in the place of one that an earlier process left."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / name
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        return path

    def delete(self) -> None:
        """Delete the directory and all files in it."""
        shutil.rmtree(self._directory, ignore_errors=True)


def bind_to_parent(parent: int) -> None:
    """Make the calling process end with its parent; a child's first act.

    Raises SystemExit if the parent ended before.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have died before the line above; then nobody would tell.
    if os.getppid() != parent:
        _leave()


def wait_for_go() -> None:
    """Hold the calling process at its gate; raises SystemExit if the parent ends."""
    if not os.read(0, 1):
        _leave()


def follow_parent(on_poke: Callable[[], None]) -> None:
    """Call ``on_poke``, on another thread, whenever the parent pokes.

    The end of the pipe is the end of the parent on every system, also where there
    is no PR_SET_PDEATHSIG.
    """

    def read() -> None:
        while os.read(0, 64):
            on_poke()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=read, daemon=True).start()


def _leave() -> NoReturn:
    raise SystemExit("the parent process is gone")


def port_is_free(host: str, port: int) -> None:
    """Raise unless a server could bind this address now.

    Raises PortInUseError if another program holds it and ConfigError if this
    machine cannot bind it at all.
    """
    place = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As uvicorn and gRPC do: connections in TIME_WAIT are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"port {port} is held by another program",
                place=place,
                remedy=f"Stop that program (ss -ltnp 'sport = :{port}' names it) or "
                "configure another port.",
            ) from error
        raise ConfigError(
            f"this machine cannot listen there ({error.strerror})",
            place=place,
            remedy="Configure an address of this machine and a port above 1023.",
        ) from error
