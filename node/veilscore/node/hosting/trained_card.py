"""A trained card as the file of a hosted card, which scores applicants without ids.

Every bin becomes an input of the form with the bin's points as its weight, so a hosted
score of a row is ``Card.partial`` of it. What its requesters may learn then is bounded
by the budget of bits, not by who is asked about. The tables are those of every party of
the run: who learns the card of one knows nearly those of all, and the budgets that
several parties give the same requester for one model add up.
"""

import json
from collections.abc import Iterable

from veilscore.models.binning import NumericBins
from veilscore.models.scorecard import Card, Feature
from veilscore.runtime.errors import ConfigError

_HEADER = """\
# A hosted card, written from the card of run {run}. It is this institution's secret
# (mode 0600); its budgets are kept under its name.
name = {name}
intercept = {intercept}
"""


def encode(card: Card, name: str) -> bytes:
    """Return the TOML file; budgets are kept under ``name``.

    Raises ConfigError for a card that rounds its scores, which nobody can do with
    encrypted sums: hosted scores would tell more than the contract lets.
    """
    if card.granularity != 1:
        raise ConfigError(
            f"scores of the card are rounded to {card.granularity} points, hosted ones "
            "cannot be",
            party=card.holder,
            remedy="Host a card that was trained under `granularity = 1`.",
        )
    header = _HEADER.format(
        run=_text(card.run), name=_text(name), intercept=card.intercept_points
    )
    return "\n".join((header, *map(_feature, card.features))).encode()


def _feature(feature: Feature) -> str:
    bins = feature.bins
    if isinstance(bins, NumericBins):
        kind = [f"edges = {_list(map(repr, bins.edges))}"]
        missing = _list(map(repr, bins.missing))
    else:
        kind = [f"levels = {_list(map(_text, bins.levels))}"]
        kind += ["pooled = true"] * bins.pooled
        missing = _list(map(_text, bins.missing))
    lines = [
        "[[feature]]",
        f"name = {_text(feature.name)}",
        *kind,
        f"missing = {missing}",
        f"points = {list(feature.points)}",
    ]
    return "\n".join(lines) + "\n"


def _list(items: Iterable[str]) -> str:
    """Write one item a line: a file of settings may have few dots in one."""
    return "".join(("[", *(f"\n    {item}," for item in items), "\n]"))


def _text(text: str) -> str:
    """Return a basic string of TOML: one of JSON, but for DEL, which is escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
