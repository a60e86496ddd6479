"""A horizontal run's contract as its members use it, and the order of its steps."""

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from veilscore.models.errors import DataError
from veilscore.models.horizontal.bins import ColumnTerms
from veilscore.models.horizontal.terms import Members, Privacy, Terms
from veilscore.models.scorecard import Scale
from veilscore.v1.training_pb2 import RunContract

OPTIMIZERS: Final[Mapping[str, Literal["average", "adam"]]] = {
    "average": "average",
    "adam": "adam",
}
OWN: Final = ("nothing", "intercept", "tables")


def steps(contract: RunContract) -> Iterator[str]:
    """Yield the names of a run's steps in order; each is one Flower round.

    All but the first and the last add up vectors: ``bins`` some, the rest one each, in
    ``evaluate`` for the comparison of the members' joint models.
    """
    yield from ("join", "bins")
    for number in range(1, contract.horizontal.rounds + 1):
        yield f"round-{number}"
    yield from ("evaluate", "register")


def terms_of(contract: RunContract, least: int) -> Terms:
    """Return how the joint model is trained, with sums of ``least`` members at least.

    Raises DataError naming what cannot be trained with.
    """
    asked = contract.horizontal
    if asked.optimizer not in OPTIMIZERS or asked.own not in OWN:
        raise DataError(
            f"optimizer {asked.optimizer!r} or own {asked.own!r} is none that we know",
            place="contract",
            remedy="Let all members use the same release",
        )
    privacy = None
    if asked.HasField("privacy"):
        noisy = asked.privacy
        privacy = Privacy(noisy.clip, noisy.noise, noisy.count_noise)
    return Terms(
        run=contract.run,
        members=Members(
            most=len(contract.roster),
            least=least,
            most_rows=contract.max_rows,
            colluding=asked.colluding,
        ),
        optimizer=OPTIMIZERS[asked.optimizer],
        rounds=asked.rounds,
        local_epochs=asked.local_epochs,
        batch=asked.batch,
        local_rate=asked.local_rate,
        proximal=asked.proximal,
        server_rate=asked.server_rate,
        decay=asked.decay,
        momentum=asked.momentum,
        second_momentum=asked.second_momentum,
        adaptivity=asked.adaptivity,
        ridge=asked.ridge,
        longest_change=asked.longest_change,
        privacy=privacy,
    )


def columns_of(contract: RunContract) -> tuple[ColumnTerms, ...]:
    """Return the columns, in the order in which the model has them."""
    return tuple(
        ColumnTerms(
            column.name,
            "text" if column.text else "number",
            levels=tuple(column.levels) or None,
        )
        for column in contract.horizontal.columns
    )


def scale_of(contract: RunContract) -> Scale:
    """Return the scale of the points."""
    return Scale(
        contract.base_points, contract.base_odds, contract.points_to_double_odds
    )
