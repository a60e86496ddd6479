"""``veilscore coordinator doctor``: what would keep it from running well."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from veilscore.coordinator import folder
from veilscore.coordinator.config import CoordinatorSettings
from veilscore.coordinator.errors import CoordinatorError
from veilscore.keys import files
from veilscore.keys.certificates import Certificate
from veilscore.runtime import checkup
from veilscore.runtime.checkup import Finding

_DAY_S: Final = 86_400
_CLOCK_S: Final = 60.0
_RESTORE: Final = "Restore the coordinator's folder from a backup."


def examine(settings: CoordinatorSettings, now: float) -> Iterator[Finding]:
    """Make all checks, one after the other."""
    secret = (settings.passphrase_file, settings.keystore, settings.web.token_file)
    findings = checkup.examine(
        settings.name,
        {
            "private files": lambda: checkup.secret_files(secret),
            "keys and registry": lambda: _keys(settings),
            "certificate": lambda: _certificate(settings, now),
            "clock": lambda: _clock(settings, now),
            "audit log": lambda: _log(settings),
            "ports": lambda: _ports(settings),
            "Flower": checkup.flower,
            "byte-code": checkup.byte_code,
            "temporary folder": checkup.temporary_folder,
            "disk": lambda: checkup.disk(settings.state),
        },
    )
    for finding in findings:
        if finding.fault:
            finding.fault.remedy = finding.fault.remedy or _RESTORE
        yield finding


def _keys(settings: CoordinatorSettings) -> str:
    registry = folder.open_registry(settings)
    parties = len(registry.records) - 1
    return f"registry version {registry.version}, {parties} parties"


def _certificate(settings: CoordinatorSettings, now: float) -> str:
    folder.open_identity(settings, folder.open_keystore(settings), now)
    certificate = Certificate.parse(files.read(settings.certificate))
    days = int((certificate.not_after - now) // _DAY_S)
    if now >= certificate.renew_from:
        raise CoordinatorError(
            f"the certificate expires in {days} days",
            place=str(settings.certificate),
            remedy="Run: veilscore coordinator renew --config DIR/coordinator.toml; "
            "then restart the coordinator.",
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
    web = settings.web
    dialled = [
        (each.listen_host, each.port) for each in (settings.hub, settings.flower)
    ]
    return checkup.ports([*dialled, (web.host, web.port)])
