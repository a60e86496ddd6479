"""What this node hosts: the ``[hosting]`` table of a node's file.

A node without the table hosts nothing; a card is answered to nobody who is not listed.
"""

from typing import Annotated, Final

from pydantic import Field

from veilscore.node.scoring.settings import MOST_ENTITIES, Purpose
from veilscore.runtime.settings import LocalPath, Settings

_MOST_BITS: Final = 1 << 53


class HostedCardSettings(Settings):
    """One card, who may ask for its scores, why, and how much of it may leave.

    ``budget_bits`` is for each requester, ever: every answer is charged with the most
    that a made-up query could carry away. There is no default: whoever got as many bits
    as the card has may know the card.
    """

    file: LocalPath
    requesters: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    purposes: tuple[Purpose, ...] = ()
    budget_bits: int = Field(ge=1, le=_MOST_BITS)
    max_applicants: int = Field(default=1000, ge=1, le=MOST_ENTITIES)


class HostingSettings(Settings):
    """``[hosting]``: one ``[[hosting.card]]`` a card."""

    card: tuple[HostedCardSettings, ...] = ()
