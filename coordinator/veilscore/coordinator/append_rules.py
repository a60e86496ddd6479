"""What a party may hand in for the log, before the log itself looks at it.

Its own events, few at a time, of kinds that are for a party to say, and signed not too
far in the future. An old event is no matter: it was spooled.
"""

from collections.abc import Sequence
from typing import Final

from veilscore.coordinator.errors import AppendError
from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.events import MOST_TOGETHER, read_event

AHEAD_MS: Final = 10 * 60 * 1000  # of an actor's clock
_OWN_KINDS: Final = {
    "party_joined",
    "run_opened",
    "run_closed",
    "registry_published",
    "sum_made",
}


def check_append(party: str, leaves: Sequence[bytes], now_ms: int) -> None:
    """Raise AppendError unless ``party`` may hand these events in now."""
    if not 1 <= len(leaves) <= MOST_TOGETHER:
        raise AppendError(
            f"{len(leaves)} events in one call, 1 to {MOST_TOGETHER} may be",
            party=party,
            remedy="Update that node.",
        )
    for leaf in leaves:
        try:
            opened = read_event(leaf)
        except ProofError as error:
            raise AppendError(error.what, party=party) from error
        event = opened.event
        if opened.kind in _OWN_KINDS:
            raise AppendError(
                f"{opened.kind} is for the coordinator to say", party=party
            )
        if event.actor != party:
            raise AppendError("an event of another party", party=party)
        if event.time_ms > now_ms + AHEAD_MS:
            raise AppendError(
                "an event of the future",
                party=party,
                remedy="Set the clock of that node.",
            )
