"""What a holder tells the coordinator about each entry of its blinded set.

Seen by the coordinator, about pseudonyms: which entries are padding, which are the
canaries that must meet, which the label holder wants learned from.
"""

from enum import IntEnum

# Entries that every holder puts into its set under the same id. If the canaries of
# two sets do not meet exactly, somebody changed points or used a second key.
CANARIES = 64


class RowMark(IntEnum):
    """One byte an entry."""

    KNOWN = 0
    LABELLED = 1
    DUMMY = 2
    CANARY = 3


def canary(run: str, number: int) -> str:
    """Return the id of a canary; it is no normalised entity id."""
    return f"canary:{run}:{number}"
