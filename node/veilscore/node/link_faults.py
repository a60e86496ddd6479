"""Says in an operator's words why the coordinator could not be reached.

TLS tells a refused client nothing but that the connection closed, so the sentence
says what is known and where the reason stands. No clock: the time is an argument.
"""

import re

from veilscore.fault import Fault
from veilscore.keys.certificates import Certificate
from veilscore.keys.errors import InvalidKeyError
from veilscore.node.errors import CoordinatorRefusedError
from veilscore.runtime.errors import UnreachableError

# What the hub says; gRPC's own details do not look like it.
_REFUSAL = re.compile(r"([a-z-]+): (.+)")


def explain(
    details: str, coordinator: str, address: str, certificate: bytes, now: float
) -> Fault:
    """Return the fault behind a failed call to the coordinator at an address.

    ``details`` are those of its gRPC status, ``certificate`` is the node's in PEM.
    """
    if refusal := _REFUSAL.fullmatch(details):
        return CoordinatorRefusedError(
            refusal[2],
            reason=refusal[1],
            party=coordinator,
            place=address,
            remedy="Ask the coordinator's operator; the reason is in the hub's log.",
        )
    try:
        Certificate.parse(certificate).check(now)
    except InvalidKeyError as fault:
        return fault
    if "handshake" in details:
        return InvalidKeyError(
            "the coordinator's certificate is not one this node trusts",
            party=coordinator,
            place=address,
            remedy="Check the address, the authority's certificate from the welcome "
            "kit, and this machine's clock.",
        )
    if "Socket closed" in details or "reset by peer" in details:
        return UnreachableError(
            "the coordinator closed the connection; it may refuse this certificate",
            party=coordinator,
            place=address,
            remedy="Ask the coordinator's operator: the hub's log says why.",
        )
    return UnreachableError(
        "the coordinator does not answer",
        party=coordinator,
        place=address,
        remedy="Check the address, that the coordinator runs, and that this machine "
        "may connect to it.",
    )
