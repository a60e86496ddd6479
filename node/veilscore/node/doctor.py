"""``veilscore node doctor``: what would keep this node from running well."""

import socket
import time
from collections.abc import Iterator

from veilscore.keys.certificates import TlsKey
from veilscore.keys.enrolment import WelcomeKit
from veilscore.keys.paillier.private import PrivateKey
from veilscore.models.errors import DataError
from veilscore.node import setup
from veilscore.node.clock import ahead_s, check_clock
from veilscore.node.columns import Feature
from veilscore.node.config import NodeSettings
from veilscore.node.errors import NodeError, SourceError
from veilscore.node.greeting import greet
from veilscore.node.hosting.cards import HostedCards
from veilscore.node.log.incidents import FOLDER, about_sums, about_the_log
from veilscore.node.log.recon_state import EVENTS, ReconState, is_overdue
from veilscore.node.sources.loading import load_columns
from veilscore.node.training.privacy_budget import epsilon
from veilscore.node.training.privacy_ledger import PrivacyLedger
from veilscore.node.web.face import NEARLY
from veilscore.runtime import checkup, joining
from veilscore.runtime.checkup import Finding
from veilscore.runtime.errors import UnreachableError
from veilscore.runtime.tls import TlsIdentity

DIAL_S = 3.0


def examine(settings: NodeSettings) -> Iterator[Finding]:
    """Make all checks, one after the other."""
    secret = [settings.passphrase_file, settings.keystore, settings.web.token_file]
    if settings.source is not None and settings.source.password_file is not None:
        secret.append(settings.source.password_file)
    secret += [hosted.file for hosted in settings.hosting.card]
    return checkup.examine(
        settings.party,
        {
            "private files": lambda: checkup.secret_files(secret),
            "keystore": lambda: _keystore(settings),
            "Paillier key": lambda: _paillier(settings),
            "coordinator's kit": lambda: _kit(settings),
            "certificate": lambda: _certificate(settings),
            "coordinator": lambda: _coordinator(settings),
            "audit log": lambda: _reconciled(settings),
            "secure sums": lambda: _misconduct(settings),
            "privacy budget": lambda: _privacy(settings),
            "data source": lambda: _source(settings),
            "hosted cards": lambda: _hosted(settings),
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


def _paillier(settings: NodeSettings) -> str:
    key = PrivateKey.from_bytes(setup.open_keystore(settings).get(setup.PAILLIER))
    primes = "safe" if key.has_safe_primes else "random"
    return f"{key.public.bits} bits, {primes} primes"


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


def _coordinator(settings: NodeSettings) -> str:
    kit = setup.load_kit(settings)
    _dial(kit)
    key = TlsKey.from_pem(setup.open_keystore(settings).get(joining.TLS)).private_pem()
    tls = TlsIdentity(kit.authority, kit.certificate, key)
    sent, health, received = greet(kit, tls)
    check_clock(ahead_s(sent, health.time, received))
    return "hub and Flower answer, the hub admits this node, the clocks agree"


def _dial(kit: WelcomeKit) -> None:
    for name in ("hub", "flower"):
        host, _, port = kit.addresses[name].rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), DIAL_S).close()
        except OSError as error:
            raise UnreachableError(
                f"the coordinator's {name} does not answer",
                party=kit.registry.coordinator.name,
                place=kit.addresses[name],
                remedy="Ask whether the coordinator runs (just started, its Flower "
                "needs some seconds), then look at the firewall: this node only dials "
                "out, to these two ports.",
            ) from error


def _reconciled(settings: NodeSettings) -> str:
    """Tell of the last comparison with our own log, and of what it has left behind."""
    folder = settings.state / FOLDER
    if left := about_the_log(folder):
        raise NodeError(
            f"the audit log contradicts this node: {len(left)} files show it",
            place=str(folder),
            remedy="Look at each by `veilscore audit evidence FILE`, show them to the "
            "other parties, then move them away; deploy/README.md says more.",
        )
    file, now = settings.state / EVENTS, time.time()
    last, since = ReconState.peek(file) if file.is_file() else (ReconState(), 0.0)
    hours = (now - since) / 3600
    if is_overdue(since, now, settings.log.recon_every_h * 3600):
        raise NodeError(
            f"it was compared with this node's own log {hours:.0f} hours ago"
            if last.at_ms
            else "it was never compared with this node's own log, which began "
            f"{hours:.0f} hours ago",
            place=str(file),
            remedy="Start the node if it does not run; of one that runs the page and "
            "the log file say what is in the way. If the coordinator keeps its log "
            "back, tell the other parties.",
        )
    if last.at_ms == 0:
        return "not compared with this node's own log yet"
    if last.found:
        first = last.differences[0]
        raise NodeError(
            f"differs from this node's own in {last.found} places, first: "
            f"{first.kind}, {first.what}",
            place=str(file),
            remedy="`veilscore audit recon` lists all, and deploy/README.md says what "
            "each kind means.",
        )
    return f"agrees with this node's own, {last.entries} entries {hours:.1f} hours ago"


def _misconduct(settings: NodeSettings) -> str:
    """Tell of parties that broke the rules of secure aggregation."""
    folder = settings.state / FOLDER
    if left := about_sums(folder):
        raise NodeError(
            f"a party broke the rules of secure sums: {len(left)} files show it",
            place=str(folder),
            remedy="Look at each by `veilscore audit evidence FILE`, ask whom it "
            "names, show it to the other members, then move it away.",
        )
    return "no misconduct is on file"


def _privacy(settings: NodeSettings) -> str:
    """Tell what is spent, and warn when next to nothing is left."""
    budget = settings.training.privacy
    if budget is None:
        return "none: runs with noise are refused"
    file = settings.state / EVENTS
    sums = PrivacyLedger.peek(file, budget.rows) if file.is_file() else []
    spent = epsilon(sums, budget.delta)
    told = (
        f"epsilon {spent:.3g} of {budget.epsilon:g} spent at delta {budget.delta:g} on "
        f"rows `{budget.rows}`"
    )
    if spent >= NEARLY * budget.epsilon:
        raise NodeError(
            told,
            place="[training.privacy] of node.toml",
            remedy="Runs over other rows have a budget of their own: name them by "
            "`rows`. Of these rows more may be told only if their owners agree to it.",
        )
    return told


def _source(settings: NodeSettings) -> str:
    if settings.source is None:
        return "none: this node only asks for scores"
    columns = load_columns(settings.source, settings.party)
    for feature in columns.features:
        _check_useful(feature)
    return (
        f"{len(columns)} entities, {len(columns.features)} features, "
        f"{len(columns.rejected)} rows rejected"
    )


def _hosted(settings: NodeSettings) -> str:
    cards = HostedCards.read(settings.hosting, settings.party)
    told = [f"{each.name} ({each.card.entropy_bits} bits)" for each in cards]
    return ", ".join(told) or "none"


def _check_useful(feature: Feature) -> None:
    """Refuse what no run over all rows could use; one over some of them might."""
    try:
        feature.cut()
    except DataError as error:
        raise SourceError(
            error.what, place=f"[source], column `{feature.name}`", remedy=error.remedy
        ) from error


def _ports(settings: NodeSettings) -> str:
    return checkup.ports(
        [
            (settings.web.host, settings.web.port),
            ("127.0.0.1", settings.flower.runtime_port),
        ]
    )
