"""The rounds of training: one sum each, and the same step at every member.

A member's part of a sum is its change of the model, cut to the contract's length, an
eighth of it in one entry, and weighted by its rows; the members learn the sum, the
coordinator nothing. The mean is over all rows that were counted with the bins, also
where a member was lost since, whose part counts as no change: how many rows are left,
or their loss, would tell those who are left what the lost one had. With ``privacy`` a
part is the sum of its rows' clipped gradients and a share of noise, and nothing else;
the step is then that of FedSGD, and of the sum only the number of members is checked.

Whether all kept to the bound on changes shows in the sum: it is at most that of all
rows' changes in one direction, in length and in each entry. A member that sends more is
not named, and its round is refused whole; what the others' changes leave of the bound
it can use.
"""

from collections.abc import Generator
from dataclasses import dataclass
from math import isqrt, sqrt
from typing import Final

import numpy as np

from veilscore.models.errors import DataError, ProtocolError
from veilscore.models.horizontal.fixed_point import FixedPoint, signed
from veilscore.models.horizontal.noise_shares import LONGEST, deviation, share
from veilscore.models.horizontal.ports import Floats, Learner, Words
from veilscore.models.horizontal.script import Contribution, Script, Total, total
from veilscore.models.horizontal.server_step import ServerStep
from veilscore.models.horizontal.terms import Privacy, Terms

# Entries that share a change of the greatest length: fewer cannot have it all.
SPREAD: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class JointModel:
    """The tables of all features one after the other, then the intercept."""

    vector: Floats
    digest: bytes


def train(
    learner: Learner, parameters: int, all_rows: int, terms: Terms
) -> Script[JointModel]:
    """Train the joint model with the other members.

    ``all_rows`` as in ``JointBins``. Raises ``BoundError`` before anything is sent if a
    sum could wrap, ``ProtocolError`` for a sum that breaks the contract's bounds.
    """
    if not 1 <= learner.rows <= terms.members.most_rows:
        raise DataError(
            f"{learner.rows} rows, the contract allows 1 to {terms.members.most_rows}",
            remedy="Learn from fewer rows or raise most_rows in the contract",
        )
    server = ServerStep(parameters, terms)
    one = _private_round if terms.privacy else _open_round
    for number in range(1, terms.rounds + 1):
        change = yield from one(learner, server, number, all_rows, terms)
        server.take(change)
    yield from _compare(server, terms)
    return JointModel(server.model, server.digest())


_RoundScript = Generator[Contribution, Words, Floats]


def _open_round(
    learner: Learner, server: ServerStep, number: int, all_rows: int, terms: Terms
) -> _RoundScript:
    changes = change_format(terms)
    learnt = learner.learn(server.model, number, all_rows)
    change = cut(learnt, terms.longest_change)
    head = np.array([_word(server.digest())])
    own = np.concatenate([head, changes.encode(learner.rows * change)])
    summed = yield from total(_label(terms, number), own, terms.members)
    _check_digest(summed, server)
    moved = summed.words[head.size :]
    check_length(moved, all_rows, summed.members, terms, number)
    return changes.decode(moved) / all_rows


def change_format(terms: Terms) -> FixedPoint:
    """Return how changes times rows travel; raises ``BoundError``."""
    largest = terms.longest_change * terms.members.most_rows
    return FixedPoint.fitting(largest, terms.members.most)


def cut(change: Floats, longest: float) -> Floats:
    """Cut each entry to an eighth of ``longest``, and then the L2 norm to ``longest``.

    Raises ``DataError`` if the change is not finite.
    """
    if not np.all(np.isfinite(change)):
        raise DataError(
            "local training did not end with finite numbers",
            remedy="Train with a smaller local_rate",
        )
    most = longest / isqrt(SPREAD)
    change = np.clip(change, -most, most)
    length = float(np.linalg.norm(change))
    return change if length <= longest else change * (longest / length)


def check_length(
    moved: Words, rows: int, members: int, terms: Terms, number: int
) -> None:
    """Refuse a sum that is longer than all ``rows`` times what a change may be.

    In integers, so that all members come to one verdict.
    """
    units = int(rows * terms.longest_change * 2.0 ** change_format(terms).bits)
    values = signed(moved).tolist()
    length = isqrt(sum(value * value for value in values))
    widest = max(abs(value) for value in values)
    # Each member rounds to units, and what it rounds was rounded to doubles.
    slack = members * (isqrt(moved.size) + 1) + (units >> 48)
    if length > units + slack or widest > units // isqrt(SPREAD) + slack:
        raise ProtocolError(
            f"the sum of round {number} breaks the contract's bound on changes: a "
            "member sent more than it may",
            remedy="Find the member outside of the protocol, and start the run "
            "without it",
        )


def _private_round(
    learner: Learner, server: ServerStep, number: int, all_rows: int, terms: Terms
) -> _RoundScript:
    privacy, members = terms.privacy, terms.members
    assert privacy is not None  # noqa: S101 - for the types: train asked
    size = server.model.size
    coded = gradient_format(privacy, terms)
    # One row changes a member's rounded sum by its clipped gradient and by rounding.
    touch = privacy.clip + sqrt(size) * coded.unit
    noise = share(size, privacy.noise * touch / coded.unit, members)
    gradient = learner.clipped_gradient(server.model)
    own = coded.encode(gradient) + noise.view(np.uint64)
    summed = yield from total(_label(terms, number), own, members)
    climb = coded.decode(summed.words)
    climb[:-1] -= terms.ridge * server.model[:-1]
    return climb / all_rows


def gradient_format(privacy: Privacy, terms: Terms) -> FixedPoint:
    """Return how gradients and noise travel; raises ``BoundError``."""
    tail = LONGEST * deviation(privacy.noise * privacy.clip, terms.members)
    largest = privacy.clip * terms.members.most_rows + 2 * tail
    return FixedPoint.fitting(largest, terms.members.most)


def _compare(server: ServerStep, terms: Terms) -> Script[None]:
    own = np.array([_word(server.digest())])
    _check_digest((yield from total(f"{terms.run} digest", own, terms.members)), server)


def _check_digest(summed: Total, server: ServerStep) -> None:
    """Refuse a round before which not all members had the same model."""
    own = int(_word(server.digest()))
    if int(summed.words[0]) != own * summed.members % (1 << 64):
        raise ProtocolError(
            "members do not all have the same joint model",
            remedy="Let all members use the same release and start the run again",
        )


def _word(digest: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(digest[:8], "big"))


def _label(terms: Terms, number: int) -> str:
    return f"{terms.run} round {number}"
