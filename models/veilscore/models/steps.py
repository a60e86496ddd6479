"""The steps of a run, of whichever kind its contract is."""

from collections.abc import Iterator

from veilscore.models.horizontal import run as horizontal
from veilscore.models.vertical import run as vertical
from veilscore.v1.training_pb2 import RunContract


def steps(contract: RunContract) -> Iterator[str]:
    """Yield the names of a run's steps in order; each is one Flower round."""
    if contract.HasField("horizontal"):
        return horizontal.steps(contract)
    return vertical.steps(contract)
