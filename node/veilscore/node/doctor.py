"""``veilscore node doctor``: what would keep this node from running well."""

import socket
import time
from collections.abc import Iterator

from veilscore.node import setup
from veilscore.node.config import NodeSettings
from veilscore.node.errors import NodeError
from veilscore.node.sources.loading import load_columns
from veilscore.runtime import checkup
from veilscore.runtime.checkup import Finding
from veilscore.runtime.errors import UnreachableError

DIAL_S = 3.0


def examine(settings: NodeSettings) -> Iterator[Finding]:
    """Make all checks, one after the other."""
    secret = (settings.passphrase_file, settings.keystore, settings.web.token_file)
    return checkup.examine(
        settings.party,
        {
            "private files": lambda: checkup.secret_files(secret),
            "keystore": lambda: _keystore(settings),
            "coordinator's kit": lambda: _kit(settings),
            "certificate": lambda: _certificate(settings),
            "coordinator": lambda: _reachable(settings),
            "data source": lambda: _source(settings),
            "ports": lambda: _ports(settings),
            "Flower": checkup.flower,
            "byte-code": checkup.byte_code,
            "temporary folder": checkup.temporary_folder,
            "disk": lambda: checkup.disk(settings.state),
        },
    )


def _keystore(settings: NodeSettings) -> str:
    names = setup.open_keystore(settings).names()
    return f"opens; holds {', '.join(sorted(names))}"


def _kit(settings: NodeSettings) -> str:
    kit = setup.load_kit(settings)
    others = sorted(set(kit.registry.fingerprints()) - {settings.party})
    return f"registry version {kit.registry.version}: {', '.join(others)}"


def _certificate(settings: NodeSettings) -> str:
    now = time.time()
    certificate = setup.valid_certificate(settings, setup.load_kit(settings), now)
    days = int((certificate.not_after - now) // 86_400)
    if now >= certificate.renew_from:
        raise NodeError(
            f"the certificate expires in {days} days",
            place=str(settings.kit),
            remedy="Hand card.json to the coordinator again and join with the new kit.",
        )
    return f"valid for {days} days"


def _reachable(settings: NodeSettings) -> str:
    kit = setup.load_kit(settings)
    addresses = kit.addresses
    for name in ("hub", "flower"):
        host, _, port = addresses[name].rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), DIAL_S).close()
        except OSError as error:
            raise UnreachableError(
                f"the coordinator's {name} does not answer",
                party=kit.registry.coordinator.name,
                place=addresses[name],
                remedy="Ask whether the coordinator runs, then look at the firewall: "
                "this node only dials out, to these two ports.",
            ) from error
    return "hub and Flower answer"


def _source(settings: NodeSettings) -> str:
    if settings.source is None:
        return "none: this node only asks for scores"
    columns = load_columns(settings.source, settings.party)
    return (
        f"{len(columns)} entities, {len(columns.features)} features, "
        f"{len(columns.rejected)} rows rejected"
    )


def _ports(settings: NodeSettings) -> str:
    return checkup.ports(
        [
            (settings.web.host, settings.web.port),
            ("127.0.0.1", settings.flower.runtime_port),
        ]
    )
