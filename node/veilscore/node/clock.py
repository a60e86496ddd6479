"""Whether this host's clock agrees with the coordinator's.

Flower refuses a SuperNode whose clock is 5 s ahead, and a score request or an envelope
of a run is valid for a time that its sender counts by its own clock. A host whose clock
is wrong is refused with words that do not say so, so its operator is told here.
"""

from typing import Final

from veilscore.node.errors import ClockError

LIMIT_S: Final = 5.0


def ahead_s(sent: float, told: float, received: float) -> float:
    """Return by how many seconds our clock is ahead of one that somebody told.

    ``told`` was read between ``sent`` and ``received`` of our own clock: where that can
    be, the clocks agree, and the result is 0.
    """
    return max(0.0, sent - told) or min(0.0, received - told)


def check_clock(ahead: float) -> None:
    """Raise ClockError if our clock is too far from the coordinator's."""
    if abs(ahead) > LIMIT_S:
        side = "ahead of" if ahead > 0 else "behind"
        raise ClockError(
            f"this host's clock is {abs(ahead):.0f} s {side} the coordinator's",
            remedy=f"Set the clock; the hosts of a federation agree within "
            f"{LIMIT_S:g} s, best by an NTP server of the intranet.",
        )
