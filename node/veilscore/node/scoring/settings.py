"""What this node answers: the ``[scoring]`` table of a node's file.

Whatever is not listed is refused; a node without the table answers nobody.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from veilscore.runtime.settings import Settings

Purpose = Literal["pre_loan", "in_loan", "post_loan", "training", "audit"]

# A query over so many entities still fits an envelope of ``post.MAX_BYTES``.
MOST_ENTITIES: Final = 10_000


class ScoringSettings(Settings):
    """Who may ask this node for joint scores, why, and how many at once.

    ``allow_two_party``: also answer where no other data holder does, as for a whole
    model. The requester then learns this node's (partial) scores themselves.
    ``registered_consents_only``: as a requester, ask only under consents that are
    registered here.
    """

    requesters: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    purposes: tuple[Purpose, ...] = ()
    max_entities: int = Field(default=1000, ge=1, le=MOST_ENTITIES)
    allow_two_party: bool = False
    registered_consents_only: bool = False
