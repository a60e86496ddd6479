"""What can go wrong on a host: configuration, processes, wires."""

from veilscore.fault import Fault


class HostError(Fault):
    """Base of all errors of this package."""

    code = "host"


class ConfigError(HostError):
    """A configuration file that cannot be used as it is."""

    code = "config"
    exit_code = 2


class PortInUseError(HostError):
    """A port that another program holds."""

    code = "port-in-use"
    exit_code = 3


class UnreachableError(HostError):
    """A peer that does not answer."""

    code = "unreachable"
    exit_code = 4


class PeerLostError(HostError):
    """A party that was there and is gone."""

    code = "peer-lost"
    exit_code = 4


class WireError(HostError):
    """Bytes from a peer that break the wire's rules."""

    code = "wire"


class FlowerError(HostError):
    """Flower is not the pinned version, or refused what it should accept."""

    code = "flower"


class UnauthorizedError(HostError):
    """A web request without the right token or session."""

    code = "unauthorized"


class ForbiddenError(HostError):
    """A form that did not come from a page of this site."""

    code = "forbidden"


class BusyError(HostError):
    """More work than is done at once; the same request may come again.

    ``after_s`` says when, in seconds.
    """

    code = "busy"

    def __init__(self, what: str, *, after_s: int, remedy: str = "Ask again.") -> None:
        super().__init__(what, remedy=remedy)
        self.after_s = after_s


class RequestError(HostError):
    """A web request that cannot be read as its interface says.

    ``items`` name every flaw: the place as a JSON pointer (RFC 6901), and a sentence.
    """

    code = "bad-request"

    def __init__(
        self, what: str, *, items: tuple[tuple[str, str], ...] = (), remedy: str = ""
    ) -> None:
        super().__init__(what, remedy=remedy)
        self.items = items
