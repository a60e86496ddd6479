"""Rounds over invented rows: what the sum is checked for, and what it changes."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.protocol.plain_sums import together
from veilscore.models.binning import Codes
from veilscore.models.errors import BoundError, DataError, ProtocolError
from veilscore.models.horizontal.local_training import LocalLearner
from veilscore.models.horizontal.ports import Booleans, Floats, Words
from veilscore.models.horizontal.rounds import JointModel, change_format, cut, train
from veilscore.models.horizontal.script import Contribution
from veilscore.models.horizontal.server_step import ServerStep
from veilscore.models.horizontal.terms import Members, Privacy, Terms

COUNTS = (4, 3)
SIZE = sum(COUNTS) + 1
RNG = np.random.default_rng(8)
CODES: Codes = np.column_stack([RNG.integers(0, n, 900) for n in COUNTS]).astype(
    np.uint16
)
BAD: Booleans = RNG.random(900) < CODES[:, 0] / 8 + 0.1
PARTS = {"north": slice(0, 500), "south": slice(500, 700), "west": slice(700, 900)}
TERMS = Terms(run="5f", members=Members(most=5, most_rows=600), rounds=6)
Tamper = Callable[[str, Contribution], Words]
# A quarter of the longest change of all rows: too much for one entry alone.
BEYOND = int(900 * TERMS.longest_change / 4 / change_format(TERMS).unit)


def learners(terms: Terms) -> dict[str, LocalLearner]:
    return {
        name: LocalLearner(CODES[rows], BAD[rows], COUNTS, terms)
        for name, rows in PARTS.items()
    }


def trained(
    terms: Terms = TERMS, tamper: Tamper | None = None
) -> dict[str, JointModel]:
    scripts = {
        name: train(learner, SIZE, len(BAD), terms)
        for name, learner in learners(terms).items()
    }
    return together(scripts, tamper=tamper)


def in_floats(terms: Terms) -> Floats:
    """Train as a server would that sees every change as a float."""
    server, each = ServerStep(SIZE, terms), learners(terms)
    for number in range(1, terms.rounds + 1):
        changes = [
            one.rows
            * cut(one.learn(server.model, number, len(BAD)), terms.longest_change)
            for one in each.values()
        ]
        server.take(np.sum(changes, axis=0) / len(BAD))
    return server.model


@pytest.mark.parametrize("optimizer", ["average", "adam"])
def test_masked_sums_change_no_parameter_by_a_ten_thousandth(optimizer: str) -> None:
    terms = replace(TERMS, optimizer="adam" if optimizer == "adam" else "average")
    found = trained(terms)["north"].vector
    np.testing.assert_allclose(found, in_floats(terms), rtol=0, atol=1e-6)


def log_loss(model: Floats) -> float:
    tables = (np.eye(n)[CODES[:, i]] for i, n in enumerate(COUNTS))
    design = np.column_stack([*tables, np.ones(len(BAD))])
    return float(np.mean(np.logaddexp(0, np.where(BAD, 1, -1) * (design @ model))))


def test_all_members_end_with_the_same_bits_of_a_model_that_learnt() -> None:
    north, south, west = trained().values()
    assert north.digest == south.digest == west.digest
    np.testing.assert_array_equal(north.vector, west.vector)
    assert log_loss(north.vector) < log_loss(np.zeros(SIZE)) == pytest.approx(np.log(2))


def test_a_lost_members_part_counts_as_no_change() -> None:
    """The mean is over all rows of the bins: those of who is left are told to none."""
    terms = replace(TERMS, rounds=1, members=Members(most=5, least=3, most_rows=600))
    left = learners(terms)
    scripts = {
        name: train(each, SIZE, len(BAD) + 300, terms) for name, each in left.items()
    }
    found = together(scripts)["north"].vector
    server = ServerStep(SIZE, terms)
    changes = [
        each.rows * cut(each.learn(server.model, 1, 1200), terms.longest_change)
        for each in left.values()
    ]
    server.take(np.sum(changes, axis=0) / 1200)
    np.testing.assert_allclose(found, server.model, rtol=0, atol=1e-6)


def changing(place: int, by: int, number: int = 2) -> Tamper:
    def tamper(party: str, given: Contribution) -> Words:
        words = given.words.copy()
        if party == "west" and given.label.endswith(f"round {number}"):
            words[place : place + 1] += np.uint64(by % (1 << 64))  # wraps around
        return words

    return tamper


@pytest.mark.parametrize(
    ("place", "by", "said"),
    [
        (0, 10, "of 13 members"),
        (0, -1, "of 2 members"),
        (1, 1, "same joint model"),
        (2, 1 << 61, "round 2 breaks the contract's bound on change"),
        (2, BEYOND, "round 2 breaks the contract's bound on change"),
    ],
)
def test_a_sum_beyond_the_contract_is_refused_by_everybody(
    place: int, by: int, said: str
) -> None:
    with pytest.raises(ProtocolError, match=said):
        trained(tamper=changing(place, by))


def test_members_that_drift_apart_are_noticed_at_the_next_sum() -> None:
    for rows, terms in ((901, TERMS), (900, replace(TERMS, server_rate=0.99))):
        scripts = {
            name: train(learner, SIZE, 900, TERMS)
            for name, learner in learners(TERMS).items()
        }
        scripts["west"] = train(learners(TERMS)["west"], SIZE, rows, terms)
        with pytest.raises(ProtocolError, match="same joint model"):
            together(scripts)


def test_a_change_is_cut_to_the_contracts_length() -> None:
    change = np.array([3.0, 4.0])
    np.testing.assert_array_equal(cut(change, 32.0), change)
    np.testing.assert_array_equal(cut(change, 28.0), [3.0, 3.5])
    many = np.full(256, 3.0)
    np.testing.assert_allclose(cut(many, 32.0), many * (32 / 48))
    assert np.linalg.norm(cut(many, 16.0)) == pytest.approx(16.0)
    with pytest.raises(DataError, match="finite"):
        cut(np.array([np.nan]), 1.0)


def test_a_contract_whose_sums_wrap_fails_before_anything_is_sent() -> None:
    terms = replace(TERMS, longest_change=1e16)
    script = train(learners(terms)["north"], SIZE, 900, terms)
    with pytest.raises(BoundError, match="do not add up"):
        next(script)
    few = replace(TERMS, members=Members(most=5, most_rows=499))
    script = train(learners(few)["north"], SIZE, 900, few)
    with pytest.raises(DataError, match="500 rows"):
        next(script)


def test_with_little_noise_private_rounds_climb_the_likelihood() -> None:
    privacy = Privacy(clip=10.0, noise=1e-3, count_noise=1.0)
    terms = replace(TERMS, privacy=privacy, rounds=40, decay=True)
    models = trained(terms)
    found = models["north"].vector
    assert len({each.digest for each in models.values()}) == 1
    assert log_loss(found) < 0.99 * log_loss(np.zeros(SIZE))


def test_two_private_runs_differ() -> None:
    privacy = Privacy(clip=1.0, noise=2.0, count_noise=1.0)
    terms = replace(TERMS, privacy=privacy, rounds=2)
    one, other = trained(terms)["north"], trained(terms)["north"]
    assert not np.any(one.vector == other.vector)


def test_scripts_import_neither_torch_nor_the_accountant() -> None:
    code = (
        "import sys, veilscore.models.horizontal.bins, "
        "veilscore.models.horizontal.rounds, veilscore.models.horizontal.joint_card;"
        "raise SystemExit('torch' in sys.modules or 'dp_accounting' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
