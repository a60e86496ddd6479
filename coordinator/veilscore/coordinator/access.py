"""Who may call the hub and read its web: registered parties, by role, minus the denied.

The name comes from a certificate that TLS has verified. A denied party or
certificate is refused at its next call, and at the next heartbeat if it is attached:
neither gRPC nor the web server reads revocation lists. Nothing here touches a file; the
caller hands in a new registry or deny list when it has one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from veilscore.coordinator.errors import AccessError
from veilscore.keys.certificates import Certificate
from veilscore.keys.errors import RegistryError
from veilscore.keys.registry import PartyRecord, Registry, Role

_NODES: Final = frozenset({Role.DATA_HOLDER, Role.REQUESTER})
METHOD_ROLES: Final[Mapping[str, frozenset[Role]]] = {
    "Attach": _NODES,
    "Publish": _NODES,
    "Directory": _NODES,
    "Append": _NODES | {Role.AUDITOR},
    "ReadLog": _NODES | {Role.AUDITOR},
    "Health": _NODES | {Role.AUDITOR},
}


@dataclass(slots=True)
class Access:
    """The registry and deny lists in force; replace a field to change one."""

    registry: Registry
    denied_parties: frozenset[str] = frozenset()
    denied_serials: frozenset[int] = frozenset()

    def check(self, certificate: Certificate, method: str) -> str:
        """Return the caller's name if it may call ``method`` of the hub.

        Raises InvalidKeyError, RegistryError or AccessError.
        """
        party = self._party(certificate)
        if not party.roles & METHOD_ROLES[method]:
            raise AccessError(
                f"no role of this party allows {method}", party=party.name
            )
        return party.name

    def reader(self, certificate: Certificate, now: float) -> PartyRecord:
        """Return the caller if it may read what parties and auditors may.

        That is every party with a role. Raises InvalidKeyError or AccessError.
        """
        certificate.check(now)  # which TLS did when the connection began
        try:
            party = self._party(certificate)
        except RegistryError as error:
            raise AccessError(
                f"the party {certificate.party} is not registered",
                party=certificate.party,
            ) from error
        if not party.roles:
            raise AccessError(
                f"the party {party.name} was expelled and has no role any more",
                party=party.name,
            )
        return party

    def _party(self, certificate: Certificate) -> PartyRecord:
        party = self.registry.party(certificate.party)
        denied = party.name in self.denied_parties
        if denied or certificate.serial in self.denied_serials:
            raise AccessError(
                "this party or its certificate is denied", party=party.name
            )
        return party
