"""What a refused caller is told: a stable code and a fixed sentence.

Everything else about a fault stays in the coordinator's own log.
"""

from collections.abc import Mapping
from typing import Final

import grpc

from veilscore.fault import Fault

_REFUSALS: Final[Mapping[str, tuple[grpc.StatusCode, str]]] = {
    "registry": (
        grpc.StatusCode.PERMISSION_DENIED,
        "this party is not in the coordinator's registry",
    ),
    "access": (
        grpc.StatusCode.PERMISSION_DENIED,
        "the coordinator does not allow this to this party",
    ),
    "invalid-key": (grpc.StatusCode.INVALID_ARGUMENT, "the key must not be used"),
    "bad-signature": (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the signature does not verify",
    ),
    "replay": (
        grpc.StatusCode.ALREADY_EXISTS,
        "this, or something newer, was received before",
    ),
    "append": (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the log does not accept this event",
    ),
    "bad-proof": (
        grpc.StatusCode.NOT_FOUND,
        "the log has no such file",
    ),
    "log-store": (
        grpc.StatusCode.UNAVAILABLE,
        "the log cannot be used at the moment",
    ),
    "wire": (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the stream broke the rules of the wire",
    ),
    "overload": (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "too much waits at the coordinator; send it again later",
    ),
    "replaced": (
        grpc.StatusCode.ABORTED,
        "another stream of this party took over",
    ),
    "peer-lost": (
        grpc.StatusCode.ABORTED,
        "the coordinator gave this party up; attach anew",
    ),
}
_INTERNAL: Final = (grpc.StatusCode.INTERNAL, "the coordinator could not do this")


def refusal(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Return the status of an error and its public details, "code: sentence"."""
    code = error.code if isinstance(error, Fault) else "internal"
    if code not in _REFUSALS:
        code = "internal"
    status, sentence = _REFUSALS.get(code, _INTERNAL)
    return status, f"{code}: {sentence}"
