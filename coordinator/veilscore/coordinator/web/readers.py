"""Who may read on the coordinator's web, and who may change something.

The operator has the token and may do everything, with or without a certificate. Parties
and auditors show the certificate of their welcome kit: all of them read the log, an
auditor also sees the runs. None of them changes anything. Where everybody may read,
nobody is asked for a certificate.

Who is not let in learns its own name and role at most.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials

from veilscore.coordinator.access import Access
from veilscore.coordinator.errors import AccessError
from veilscore.keys.errors import InvalidKeyError
from veilscore.keys.registry import PartyRecord, Role
from veilscore.runtime.errors import UnauthorizedError
from veilscore.runtime.web.client_certificates import shown_certificate
from veilscore.runtime.web.problems import mark_at_home
from veilscore.runtime.web.tokens import BEARER, AccessToken

Presented = Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]


@dataclass(frozen=True, slots=True)
class Readers:
    """The dependencies of routes; each raises a Fault for whom it does not let pass.

    Without ``access`` everybody may read.
    """

    token: AccessToken
    access: Access | None = None
    clock: Callable[[], float] = time.time

    def may_read(self, request: Request, presented: Presented) -> None:
        """Let the operator and every reader of the log pass."""
        if not self._is_operator(request, presented) and self.access:
            self._party(request)

    def may_watch(self, request: Request, presented: Presented) -> None:
        """Let the operator and auditors pass."""
        if self._is_operator(request, presented):
            return
        party = self._party(request)
        if Role.AUDITOR not in party.roles:
            raise _only_reads(party, "this is for auditors and the operator")

    def may_change(self, request: Request, presented: Presented) -> None:
        """Let the operator pass and nobody else."""
        if not self._is_operator(request, presented):
            raise _only_reads(self._party(request), "this is for the operator")

    def _is_operator(
        self, request: Request, presented: HTTPAuthorizationCredentials | None
    ) -> bool:
        """Say whether a token was shown; raises UnauthorizedError for another one."""
        if presented is None:
            return False
        self.token.check(presented.credentials)
        mark_at_home(request)
        return True

    def _party(self, request: Request) -> PartyRecord:
        try:
            certificate = shown_certificate(request)
            if certificate is not None and self.access is not None:
                return self.access.reader(certificate, self.clock())
        except InvalidKeyError as error:
            raise AccessError(error.what) from error
        if self.access is None:
            self.token.check("")  # which says what is missing
        raise UnauthorizedError(
            "no certificate was shown",
            remedy="Show the certificate of a registered party or auditor; the "
            "coordinator's operator sends the token.",
        )


def _only_reads(party: PartyRecord, but: str) -> AccessError:
    roles = ", ".join(sorted(party.roles))
    return AccessError(
        f"the party {party.name} may only read here, as {roles}: {but}",
        party=party.name,
    )
