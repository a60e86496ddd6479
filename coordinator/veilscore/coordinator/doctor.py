"""``veilscore coordinator doctor``: what would keep the coordinator from running well.

Every check is one function that returns what it found, or raises a Fault that says
what is wrong and what to do. Nothing is changed.
"""

import importlib.util
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from veilscore.coordinator import folder
from veilscore.coordinator.config import CoordinatorSettings, ListenSettings
from veilscore.coordinator.errors import CoordinatorError
from veilscore.fault import Fault
from veilscore.keys.certificates import Certificate
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.flower.pin import PINNED, require_pinned
from veilscore.runtime.supervise import port_is_free

_DAY_S: Final = 86_400
_LEAST_BYTES: Final = 1 << 30
_CLOCK_S: Final = 60.0
_RESTORE: Final = "Restore the coordinator's folder from a backup."


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``fault`` if that must be put right."""

    check: str
    found: str
    fault: Fault | None = None


def examine(settings: CoordinatorSettings, now: float) -> Iterator[Finding]:
    """Make all checks, one after the other."""
    checks: dict[str, Callable[[], str]] = {
        "private files": lambda: _modes(settings),
        "keys and registry": lambda: _keys(settings),
        "certificate": lambda: _certificate(settings, now),
        "clock": lambda: _clock(settings, now),
        "audit log": lambda: _log(settings),
        "ports": lambda: _ports(settings),
        "Flower": _flower,
        "byte-code": _byte_code,
        "temporary folder": _temporary,
        "disk": lambda: _disk(settings),
    }
    for name, check in checks.items():
        try:
            yield Finding(name, check())
        except Fault as fault:
            fault.remedy = fault.remedy or _RESTORE
            yield Finding(name, fault.what, fault)


def _modes(settings: CoordinatorSettings) -> str:
    secret = (settings.passphrase_file, settings.keystore, settings.web.token_file)
    for path in secret:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise ConfigError(
                f"the file cannot be looked at ({error.strerror})",
                place=str(path),
                remedy="Restore it from a backup.",
            ) from error
        if stat.S_IMODE(mode) & 0o077:
            raise ConfigError(
                "others than its owner may use a secret file",
                place=str(path),
                remedy=f"Run: chmod 600 {path}",
            )
    return "only their owner can read them"


def _keys(settings: CoordinatorSettings) -> str:
    registry = folder.open_registry(settings)
    parties = len(registry.records) - 1
    return f"registry version {registry.version}, {parties} parties"


def _certificate(settings: CoordinatorSettings, now: float) -> str:
    folder.open_identity(settings, folder.open_keystore(settings), now)
    certificate = Certificate.parse(folder.read_file(settings.certificate))
    days = int((certificate.not_after - now) // _DAY_S)
    if now >= certificate.renew_from:
        raise CoordinatorError(
            f"the certificate expires in {days} days",
            place=str(settings.certificate),
            remedy="Run: veilscore coordinator renew, then restart the coordinator.",
        )
    return f"valid for {days} days"


def _clock(settings: CoordinatorSettings, now: float) -> str:
    """Compare the clock with what was signed before; it should not run backwards."""
    with closing(folder.open_log(settings, folder.open_signer(settings))) as log:
        newest = log.entries(actor=settings.name, limit=1)
    latest = max((entry.opened.event.time_ms / 1000 for entry in newest), default=0)
    if now < latest - _CLOCK_S:
        raise CoordinatorError(
            f"the clock is {latest - now:.0f} s behind an event in the log",
            remedy="Set the clock of this machine, and keep it set (NTP).",
        )
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))


def _log(settings: CoordinatorSettings) -> str:
    with closing(folder.open_log(settings, folder.open_signer(settings))) as log:
        return f"{log.size} entries, the tree fits its checkpoint"


def _ports(settings: CoordinatorSettings) -> str:
    listening = (settings.hub, settings.flower, settings.web)
    if all(_answers(each) for each in listening):
        return "all three answer: the coordinator is running"
    for each in listening:
        port_is_free(each.host, each.port)
    return ", ".join(each.address for each in listening) + " are free"


def _answers(listen: ListenSettings) -> bool:
    try:
        socket.create_connection((listen.host, listen.port), 1.0).close()
    except OSError:
        return False
    return True


def _flower() -> str:
    require_pinned()
    return PINNED


def _byte_code() -> str:
    """Flower's processes take twice as long to start without compiled byte-code."""
    spec = importlib.util.find_spec("flwr")
    source = spec.origin if spec else None
    if source and not Path(importlib.util.cache_from_source(source)).exists():
        raise CoordinatorError(
            "the installed packages are not compiled",
            place=str(Path(source).parent),
            remedy=f"Run: python -m compileall -q {Path(source).parent.parent}",
        )
    return "compiled"


def _temporary() -> str:
    """One library unpacks and maps code there (rbcl)."""
    place = tempfile.gettempdir()
    if os.statvfs(place).f_flag & os.ST_NOEXEC:
        raise CoordinatorError(
            "code cannot be executed from the folder for temporary files",
            place=place,
            remedy="Set TMPDIR to a folder on a file system without noexec.",
        )
    return place


def _disk(settings: CoordinatorSettings) -> str:
    try:
        free = shutil.disk_usage(settings.state).free
    except OSError as error:
        raise ConfigError(
            f"the folder cannot be looked at ({error.strerror})",
            place=str(settings.state),
            remedy="Restore it from a backup.",
        ) from error
    if free < _LEAST_BYTES:
        raise CoordinatorError(
            f"only {free >> 20} MiB are free",
            place=str(settings.state),
            remedy="Free some space: a full disk stops the log and every score.",
        )
    return f"{free >> 30} GiB free"
