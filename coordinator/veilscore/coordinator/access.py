"""Who may call the hub: registered parties, by role and method, minus the denied.

The name comes from a certificate that TLS has verified. A denied party or
certificate is refused at its next call, and at the next heartbeat if it is attached:
gRPC itself reads no revocation lists. Nothing here touches a file; the caller hands
in a new registry or deny list when it has one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from veilscore.coordinator.errors import AccessError
from veilscore.keys.certificates import Certificate
from veilscore.keys.registry import Registry, Role

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
        party = certificate.party
        roles = self.registry.party(party).roles
        if party in self.denied_parties or certificate.serial in self.denied_serials:
            raise AccessError("this party or its certificate is denied", party=party)
        if not roles & METHOD_ROLES[method]:
            raise AccessError(f"no role of this party allows {method}", party=party)
        return party
