"""A federation whose bank asks for joint scores."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.protocol.score_cards import HOLDERS, entity
from tests.protocol.score_world import People, World, world
from veilscore.node.scoring.requester import EntityScore

NAMES = [entity(number) for number in range(200)]


@contextmanager
def all_holders(folder: Path, people: People) -> Generator[World]:
    """Run a hub to which every holder of a card is attached."""
    with world(folder, people) as running:
        for party in HOLDERS:
            running.node(party)
        yield running


def ask(
    hub: World, names: list[str], party: str = "bank", model: bytes | None = None
) -> list[EntityScore]:
    answered = hub.nodes[party].desk.ask(
        names, model=model, purpose="pre_loan", consent="contract 17"
    )
    return answered.scores
