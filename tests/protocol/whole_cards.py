"""Three members of a horizontal run: the whole model each, with an own intercept."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.protocol.score_cards import HOLDERS, ROWS, Row
from tests.protocol.score_world import SETTINGS, Node, People, World, changed, world
from veilscore.models.binning import CategoricalBins, NumericBins
from veilscore.models.card_file import digest, encode
from veilscore.models.horizontal.joint_card import joint_card
from veilscore.models.scorecard import Card, Parameter, Scale
from veilscore.node.scoring.settings import ScoringSettings
from veilscore.v1.score_pb2 import CardEntry, ModelManifest

ALONE = changed(SETTINGS, allow_two_party=True)

_BINS = (
    NumericBins((-40.0, -10.0, 0.0, 10.0, 40.0), (None,) * 6, (-99.0,)),
    CategoricalBins(("A", "B"), pooled=True, missing=("?",)),
)
_TABLES = np.random.default_rng(3).normal(0, 0.6, sum(each.count for each in _BINS))


def whole_card(
    member: str, parameters: Mapping[str, Parameter] | None = None, granularity: int = 1
) -> Card:
    """Return the joint tables with the intercept that the member fitted at home."""
    intercept = 1.5 + HOLDERS.index(member) / 3
    return joint_card(
        np.append(_TABLES, intercept),
        ("amount", "kind"),
        _BINS,
        run="horizontal run",
        holder=member,
        scale=Scale(),
        granularity=granularity,
        parameters=parameters or {},
    )


WHOLE: dict[str, Card] = {member: whole_card(member) for member in HOLDERS}


def whole_manifest(cards: Mapping[str, Card] = WHOLE) -> ModelManifest:
    return ModelManifest(
        run="horizontal run",
        contract=bytes(32),
        cards=[
            CardEntry(
                party=member,
                card=digest(encode(card)),
                max_abs_points=card.max_abs_points,
            )
            for member, card in cards.items()
        ],
        base_points=600,
        base_odds=20.0,
        points_to_double_odds=40.0,
        granularity=next(iter(cards.values())).granularity,
        whole=True,
    )


def written(manifest: ModelManifest) -> bytes:
    return manifest.SerializeToString(deterministic=True)


def plain_scores(member: str, names: Sequence[str]) -> list[int]:
    """Return what the member's card says of its own rows; of others, all missing."""
    absent: Row = (float("nan"), None)
    rows = [ROWS[member].get(name, absent) for name in names]
    amounts = np.array([amount for amount, _ in rows])
    points: list[int] = (
        WHOLE[member]
        .partial({"amount": amounts, "kind": [kind for _, kind in rows]})
        .tolist()
    )
    return points


def member_node(
    hub: World,
    member: str,
    settings: ScoringSettings = ALONE,
    cards: Mapping[str, Card] = WHOLE,
) -> Node:
    """Attach a member that has its own card on its shelf."""
    node = Node(hub, member, settings, None)
    node.shelve(written(whole_manifest(cards)), cards[member])
    node.start()
    hub.nodes[member] = node
    return node


@contextmanager
def all_members(folder: Path, people: People) -> Generator[World]:
    with world(folder, people) as running:
        for member in HOLDERS:
            member_node(running, member)
        yield running
