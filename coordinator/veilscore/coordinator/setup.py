"""Making the coordinator's folder, and admitting parties by exchanged files.

``create`` makes keys, an authority and a registry with one party, the coordinator.
``admit`` answers a party's card with a kit. Private keys never leave the folder.
"""

import fcntl
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from veilscore.coordinator.config import CoordinatorSettings, check_dialled
from veilscore.coordinator.folder import (
    AUTHORITY,
    LOG,
    SIGNING,
    TLS,
    open_keystore,
    origin,
)
from veilscore.fault import concerning
from veilscore.keys import files
from veilscore.keys.authority import DevelopmentAuthority
from veilscore.keys.certificates import Certificate, TlsKey
from veilscore.keys.enrolment import PartyCard, WelcomeKit
from veilscore.keys.errors import RegistryError
from veilscore.keys.identity import Signer
from veilscore.keys.keystore import Keystore, read_passphrase
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.store import LogStore
from veilscore.runtime import party_folder
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.web.tokens import AccessToken

NAME: Final = "coordinator"
_AUTHORITY_DAYS: Final = 3650
_CERTIFICATE_DAYS: Final = 730
_POLICY: Final = "log-policy.txt"
_GUARD: Final = "log-guard.db"
_POLICY_TEXT: Final = """\
# Whose checkpoints of the audit log count (https://c2sp.org/tlog-policy). Every node
# gets a copy when it joins, and from then on believes its own copy.
log {vkey}

# Whoever runs a witness has its line from `veilscore witness init`. With two that must
# both cosign, for instance:
#   witness auditor VKEY http://auditor.example:9090
#   witness bureau VKEY http://bureau.example:9090
#   group witnesses all auditor bureau
#   quorum witnesses
quorum none
"""


@dataclass(frozen=True, slots=True)
class NewCoordinator:
    """What ``coordinator init`` is told."""

    folder: Path
    host: str
    hub_port: int
    flower_port: int
    web_port: int
    passphrase_file: Path | None = None
    listen_everywhere: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """A party that was let in, and the kit for its operator."""

    record: PartyRecord
    registry_version: int
    kit: bytes


def create(new: NewCoordinator, now: float) -> bytes:
    """Make the folder and return the fingerprint of the signing key.

    Raises ConfigError if the folder holds anything, or nodes could not dial the host,
    FileError or KeystoreError for the passphrase file. Nothing is made then.
    """
    try:
        check_dialled(new.host)
    except ValueError as error:
        raise ConfigError(
            "nodes cannot dial this host",
            party=NAME,
            place=new.host,
            remedy="Name by --host this machine as nodes reach it, for instance "
            "coordinator.example.org or 192.0.2.7.",
        ) from error
    if new.passphrase_file:
        with concerning(NAME):
            read_passphrase(new.passphrase_file)
    party_folder.make(new.folder, NAME)
    passphrase_file = party_folder.passphrase_file(new.folder, new.passphrase_file)
    signer, tls = Signer.generate(), TlsKey.generate()
    authority = DevelopmentAuthority.create("Veilscore", now, _AUTHORITY_DAYS)
    keystore = Keystore.create(
        new.folder / "keystore", read_passphrase(passphrase_file)
    )
    keystore.put(SIGNING, signer.private_bytes())
    keystore.put(TLS, tls.private_pem())
    keystore.put(AUTHORITY, authority.key_pem)
    certificate = _issue_own(authority, tls.request(NAME), NAME, now, [new.host])
    own = PartyRecord(
        name=NAME,
        roles=frozenset({Role.COORDINATOR}),
        key=signer.verify_key,
        flower_key="",
        joined=datetime.fromtimestamp(now, UTC).date(),
    )
    files.create(new.folder / "authority.pem", authority.certificate_pem)
    files.create(new.folder / "coordinator.pem", certificate)
    files.create(new.folder / "registry.json", Registry.sign([own], signer, 1))
    AccessToken.create(new.folder / "web.token")
    # Here and nowhere else: a lost log must not be replaced by an empty one.
    log = new.folder / "state" / LOG
    name = origin(signer.verify_key)
    LogStore.create(log, name, signer, guard=new.folder / _GUARD).close()
    policy = _POLICY_TEXT.format(vkey=NoteKey(name, signer.verify_key).vkey)
    files.create(new.folder / _POLICY, policy.encode())
    files.create(new.folder / "coordinator.toml", _toml(new, passphrase_file).encode())
    return signer.verify_key.fingerprint


def admit(
    settings: CoordinatorSettings, card_file: bytes, fingerprint: bytes, now: float
) -> Admission:
    """Enter the author of a card in the registry and return its kit.

    ``fingerprint`` is the party's own word, from another way than the card. A party
    that is registered gets a new certificate, and may bring other roles and another
    Flower key, but no other signing key. Raises a Fault; then nothing changed.
    """
    card = PartyCard.load(card_file)
    if card.key.fingerprint != fingerprint:
        raise RegistryError(
            f"the card is signed by key {card.key.fingerprint.hex()}, not by the "
            "party's",
            party=card.name,
            remedy="Ask that party, by telephone, for the fingerprint that "
            "`veilscore node init` told it, and for its card.",
        )
    if Role.COORDINATOR in card.roles:
        raise RegistryError("a party cannot join as coordinator", party=card.name)
    keystore = open_keystore(settings)
    signer = Signer.from_private_bytes(keystore.get(SIGNING))
    authority = _open_authority(settings, keystore)
    certificate = authority.issue(card.tls_request, card.name, now, _CERTIFICATE_DAYS)
    record = card.record(datetime.fromtimestamp(now, UTC).date())

    def entered(registry: Registry) -> PartyRecord:
        for known in registry.records:
            if known.name == card.name:
                if known.key != record.key:
                    raise RegistryError(
                        "registered under another signing key",
                        party=card.name,
                        remedy="Ask that party for the card of its first folder, or "
                        "let the new one join under another name.",
                    )
                return replace(record, joined=known.joined)
        return record

    registry, registry_file = _change_registry(settings, signer, entered)
    kit = WelcomeKit.sign(
        signer,
        card.name,
        certificate=certificate,
        authority=authority.certificate_pem,
        registry_file=registry_file,
        log_policy=files.read(settings.log.policy),
        addresses={
            "hub": settings.hub.address,
            "flower": settings.flower.address,
            "server_name": settings.hub.host,
        },
    )
    return Admission(registry.party(card.name), registry.version, kit)


def expel(settings: CoordinatorSettings, party: str) -> int:
    """Take all roles from a party and return the registry's new version.

    Raises a Fault; then nothing changed.
    """
    keystore = open_keystore(settings)
    signer = Signer.from_private_bytes(keystore.get(SIGNING))

    def without_roles(registry: Registry) -> PartyRecord:
        record = registry.party(party)
        if Role.COORDINATOR in record.roles:
            raise RegistryError("the coordinator cannot be expelled", party=party)
        return replace(record, roles=frozenset(), flower_key="")

    registry, _ = _change_registry(settings, signer, without_roles)
    return registry.version


def renew(settings: CoordinatorSettings, now: float) -> Certificate:
    """Issue the coordinator a new certificate for its key and its hosts."""
    keystore = open_keystore(settings)
    authority = _open_authority(settings, keystore)
    request = TlsKey.from_pem(keystore.get(TLS)).request(settings.name)
    hosts = (settings.hub.host, settings.flower.host, *_named(settings.web.host))
    certificate = _issue_own(authority, request, settings.name, now, hosts)
    files.replace(settings.certificate, certificate)
    return Certificate.parse(certificate)


def _open_authority(
    settings: CoordinatorSettings, keystore: Keystore
) -> DevelopmentAuthority:
    key, certificate = keystore.get(AUTHORITY), files.read(settings.authority)
    return DevelopmentAuthority.from_pem(key, certificate)


def _issue_own(
    authority: DevelopmentAuthority,
    request: bytes,
    name: str,
    now: float,
    hosts: Iterable[str],
) -> bytes:
    names = list(dict.fromkeys((*hosts, "localhost", "127.0.0.1")))
    return authority.issue(request, name, now, _CERTIFICATE_DAYS, names)


def _named(host: str) -> Iterator[str]:
    """Yield the host of the web unless it stands for all addresses of this machine."""
    with suppress(ValueError):
        check_dialled(host)
        yield host


def _change_registry(
    settings: CoordinatorSettings,
    signer: Signer,
    change: Callable[[Registry], PartyRecord],
) -> tuple[Registry, bytes]:
    """Enter the record that ``change`` makes of the registry in force.

    Returns the next registry and its file. No other process changes it meanwhile.
    """
    path, fingerprint = settings.registry, signer.verify_key.fingerprint
    with path.with_name(path.name + ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        registry = Registry.load(files.read(path), fingerprint)
        record = change(registry)
        others = [each for each in registry.records if each.name != record.name]
        data = Registry.sign([*others, record], signer, registry.version + 1)
        files.replace(path, data)
    return Registry.load(data, fingerprint), data


def _toml(new: NewCoordinator, passphrase_file: Path) -> str:
    passphrase = party_folder.as_written(new.folder, passphrase_file)
    return f"""\
# The coordinator of Veilscore. Unknown keys are refused; secrets stand in files.
# Paths are relative to this file.
name = "{NAME}"
state = "state"
passphrase_file = {json.dumps(passphrase)}
keystore = "keystore"
authority = "authority.pem"
certificate = "coordinator.pem"
registry = "registry.json"

# Nodes dial these two; their certificate names the host.
[hub]
host = {json.dumps(new.host)}
port = {new.hub_port}
listen_everywhere = {json.dumps(new.listen_everywhere)}

[flower]
host = {json.dumps(new.host)}
port = {new.flower_port}
listen_everywhere = {json.dumps(new.listen_everywhere)}

# The audit log, and the REST interface for whoever has the token. The log is for
# "everybody" who reaches the port, without TLS: let a proxy that has it serve other
# machines. With "parties" it is HTTPS, for parties and auditors who show the
# certificate of their kit; other machines then reach it under the host of [hub].
[web]
host = "127.0.0.1"
port = {new.web_port}
token_file = "web.token"
readers = "everybody"

# Witnesses that must cosign the log stand in the policy. The guard remembers how far
# the log has come: never restore it from a backup.
[log]
policy = "{_POLICY}"
guard = "{_GUARD}"
"""
