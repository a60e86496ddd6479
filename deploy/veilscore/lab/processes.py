"""Run ``veilscore`` commands: to their end, or as the parties of a lab.

Every process is the installed command, in a session of its own, and dies with the lab:
with its main thread, to be exact, so only that may start one. What a party writes goes
to its log file, for people; nothing here reads it but to show its end.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from veilscore.lab.errors import CommandFailedError, LabError
from veilscore.lab.usage import family

_GRACE_S = 15.0
_ORPHAN_GRACE_S = 3.0
_LAST_LINES = 12
_REMEDY = "Look into the logs of the lab."


def _command(words: Iterable[str | Path]) -> list[str]:
    # -P: a file in the current directory must not shadow a module.
    python = [sys.executable, "-P", "-m", "veilscore.lab.party_process"]
    return [*python, str(os.getpid()), *map(str, words)]


def veilscore(*words: str | Path, party: str = "", timeout_s: float = 120.0) -> str:
    """Run one command to its end and return what it printed.

    Raises CommandFailedError with what it said if it ends with an error, LabError if it
    does not end.
    """
    named = f"veilscore {' '.join(map(str, words[:2]))}"
    try:
        done = subprocess.run(
            _command(words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(
            f"`{named}` did not end within {timeout_s:.0f} s",
            party=party,
            remedy=_REMEDY,
        ) from error
    if done.returncode:
        said = _end_of(done.stderr or done.stdout)
        raise CommandFailedError(
            f"`{named}` ended with status {done.returncode}: {said}",
            party=party,
            remedy=_REMEDY,
            exit_code=max(done.returncode, 1),  # negative: a signal ended it
        )
    return done.stdout


class PartyProcess:
    """One party's ``run`` command, running from here on."""

    def __init__(self, party: str, log: Path, *words: str | Path) -> None:
        self.party = party
        self._log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                _command(words),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise LabError if the process has ended by itself."""
        status = self._process.poll()
        if status is not None:
            text = self._log.read_text(encoding="utf-8", errors="replace")
            raise LabError(
                f"its process ended with status {status}: {_end_of(text)}",
                party=self.party,
                remedy=_REMEDY,
            )

    def family(self) -> list[int]:
        """Return the numbers of the process and of its descendants."""
        return family(self._process.pid) if self._process.poll() is None else []

    def terminate(self) -> None:
        """Ask the process to end."""
        self._process.terminate()

    def wait(self, deadline: float) -> None:
        """Wait until the process has ended or ``deadline``, monotonic, has passed."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))


def stop_all(parties: Iterable[PartyProcess]) -> int:
    """Stop the parties; return how many of all their processes had to be killed.

    A party's own children run in sessions of their own. They hear of its end, but one
    that is stuck does nothing about it.
    """
    parties = list(parties)
    processes: list[int] = []
    for party in parties:
        for pid in party.family():
            with suppress(ProcessLookupError):
                # A descriptor, because a number may be another process's by then.
                processes.append(os.pidfd_open(pid))
    for party in parties:
        party.terminate()
    deadline = time.monotonic() + _GRACE_S
    for party in parties:
        party.wait(deadline)
    deadline = time.monotonic() + _ORPHAN_GRACE_S
    killed = sum(_kill_after(deadline, process) for process in processes)
    for party in parties:
        party.wait(deadline + _ORPHAN_GRACE_S)
    return killed


def _kill_after(deadline: float, process: int) -> bool:
    """Return whether the process with this descriptor had to be killed."""
    remaining_s = max(0.0, deadline - time.monotonic())
    # Readable: it has ended.
    killed = not select.select([process], [], [], remaining_s)[0]
    if killed:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        select.select([process], [], [], _ORPHAN_GRACE_S)
    os.close(process)
    return killed


def _end_of(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_LAST_LINES:])
