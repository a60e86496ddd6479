"""One play from its plan to its verdict."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.protocol.score_world import START, People
from tests.simulation.judge import judge
from tests.simulation.operations import Operation
from tests.simulation.player import Player
from tests.simulation.virtual_threads import Scheduler, virtual


def play(
    people: People, plan: Sequence[Operation], seed: int = 0
) -> tuple[Player, list[str]]:
    """Play a plan; return who played it, and what is wrong, each thing once.

    The seed also says whether the log proves a request before or after its answers.
    """
    random = Random(seed)
    scheduler = Scheduler(START, defer=lambda: bool(random.getrandbits(1)))
    with TemporaryDirectory() as folder, virtual(scheduler):
        player = Player(Path(folder), people, scheduler)
        player.play(plan)
        wrong = judge(player)
        player.federation.close()
    return player, list(dict.fromkeys(wrong))
