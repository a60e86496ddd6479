"""A coordinator's site for parties and auditors only, and their certificates."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date

import httpx

from tests.unit.tlog.sample_log import SampleLog
from tests.unit.web.sample_coordinator import SampleCoordinator, sample_coordinator_app
from veilscore.coordinator.access import Access
from veilscore.keys.authority import DevelopmentAuthority
from veilscore.keys.certificates import TlsKey
from veilscore.keys.identity import Signer
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.runtime.tls import TlsIdentity, client_context
from veilscore.runtime.web.server import WebServer


@dataclass
class Certifier:
    """An authority; makes keys and certificates for anybody."""

    authority: DevelopmentAuthority = field(
        default_factory=lambda: DevelopmentAuthority.create("test", time.time(), 30)
    )

    def identity(
        self, party: str, *hosts: str, now: float | None = None
    ) -> TlsIdentity:
        key = TlsKey.generate()
        began = time.time() if now is None else now
        certificate = self.authority.issue(
            key.request(party), party, began, 2, list(hosts)
        )
        root = self.authority.certificate_pem
        return TlsIdentity(root, certificate, key.private_pem())


def with_readers(registry: Registry) -> Registry:
    """Return a registry that also knows an auditor, and one that was expelled."""

    def record(name: str, *roles: Role) -> PartyRecord:
        key = Signer.generate().verify_key
        return PartyRecord(name, frozenset(roles), key, "", date(2026, 3, 1))

    added = (record("auditor-1", Role.AUDITOR), record("gone"))
    return replace(registry, records=(*registry.records, *added))


@dataclass
class ClosedSite:
    certifier: Certifier
    coordinator: SampleCoordinator
    access: Access
    address: str

    @contextmanager
    def client(
        self, party: str = "", *, by: Certifier | None = None
    ) -> Generator[httpx.Client]:
        """Yield a client with the certificate of a party, or without any."""
        shown = (by or self.certifier).identity(party) if party else None
        root = self.certifier.authority.certificate_pem
        shown = shown and replace(shown, authority=root)
        trust = client_context(root, shown)
        with httpx.Client(base_url=self.address, verify=trust, timeout=20) as client:
            yield client


@contextmanager
def closed_site(log: SampleLog) -> Generator[ClosedSite]:
    certifier, coordinator = Certifier(), SampleCoordinator(log)
    access = Access(with_readers(log.parties.registry))
    app = sample_coordinator_app(log, coordinator, access)
    tls = certifier.identity("hub", "localhost", "127.0.0.1")
    server = WebServer(app, "127.0.0.1", 0, tls)
    try:
        yield ClosedSite(certifier, coordinator, access, server.start())
    finally:
        server.stop()
