"""Federated cards on real credit data against pooled ones of the same kind.

The pooled reference is the optimum of the same penalised likelihood on the bins of all
rows. ``python -m tests.bench.horizontal`` prints what is only bounded here.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.protocol.region_data import (
    PRIVATE,
    SETS,
    TERMS,
    Regions,
    Trained,
    central,
    federated,
    in_floats,
    load,
)
from veilscore.models.horizontal.accounting import privacy_for
from veilscore.models.horizontal.joint_card import joint_card
from veilscore.models.horizontal.own_model import Fit, fit_own, judge
from veilscore.models.horizontal.ports import Booleans
from veilscore.models.metrics import auc
from veilscore.models.scorecard import Scale

pytestmark = pytest.mark.long


@cache
def data_of(name: str) -> Regions:
    return load(name)


@cache
def joint_of(name: str) -> Trained:
    return federated(data_of(name))


@cache
def pooled_of(name: str) -> Trained:
    data = data_of(name)
    return central(data, ~data.test)


def on(name: str, trained: Trained, rows: Booleans) -> Fit:
    return judge(
        trained.model, trained.codes[rows], data_of(name).bad[rows], trained.bin_counts
    )


@pytest.mark.parametrize("name", SETS)
def test_joint_bins_are_those_of_pooled_rows(name: str) -> None:
    joint, pooled = joint_of(name), pooled_of(name)
    assert joint.bin_counts == pooled.bin_counts
    moved = np.mean(joint.codes != pooled.codes, axis=0)
    assert moved.max() <= 0.002


@pytest.mark.parametrize("name", SETS)
def test_the_joint_card_ranks_as_the_pooled_one(name: str) -> None:
    test = data_of(name).test
    joint, pooled = joint_of(name), pooled_of(name)
    assert abs(on(name, joint, test).auc - on(name, pooled, test).auc) <= 0.003
    # Own intercepts take most of it back (models/README.md).
    assert on(name, joint, test).brier <= on(name, pooled, test).brier + 0.002


@pytest.mark.parametrize("name", SETS)
def test_fixed_point_sums_change_nothing_that_can_be_seen(name: str) -> None:
    data, joint = data_of(name), joint_of(name)
    floats = in_floats(data, joint)
    assert np.abs(floats.model - joint.model).max() <= 1e-4
    difference = on(name, floats, data.test).auc - on(name, joint, data.test).auc
    assert abs(difference) < 1e-6


@pytest.mark.parametrize("name", SETS)
def test_integer_points_score_as_the_model_does(name: str) -> None:
    data, joint = data_of(name), joint_of(name)
    card = joint_card(
        joint.model,
        list(data.columns),
        joint.bins,
        run=TERMS.run,
        holder="R1",
        scale=Scale(pdo=160.0),
        parameters={},
    )
    scores = card.partial(data.take(data.test)).astype(float)
    rounded = auc(data.bad[data.test], -scores)
    assert abs(rounded - on(name, joint, data.test).auc) <= 0.001


@pytest.mark.parametrize(
    ("name", "region", "least"),
    [("sba22k", "R5_west", 0.02), ("uci_default", "R4", 0.02)],
)
def test_a_region_with_200_rows_gains(name: str, region: str, least: float) -> None:
    data = data_of(name)
    places = np.flatnonzero(data.training(region))
    gains: list[float] = []
    for seed in range(2):
        few = np.zeros_like(data.test)
        drawn = np.random.default_rng(seed).choice(places, 200, replace=False)
        few[drawn] = True
        whose = {each: data.training(each) for each in data.names} | {region: few}
        test = data.test & (data.region == region)
        joint = on(name, federated(data, rows=whose), test).auc
        gains.append(joint - on(name, central(data, few), test).auc)
    assert np.mean(gains) >= least


def test_own_points_help_where_a_region_differs() -> None:
    """The midwest's own model beats the pooled one; its own points win most back."""
    data, joint = data_of("sba22k"), joint_of("sba22k")
    own = data.training("R2_midwest")
    test = data.test & (data.region == "R2_midwest")
    codes, bad, counts = joint.codes[own], data.bad[own], joint.bin_counts
    adapted = replace(
        joint, model=fit_own(joint.model, codes, bad, counts, what="tables")
    )
    gain = on("sba22k", adapted, test).auc - on("sba22k", joint, test).auc
    assert gain >= 0.01


def test_private_training_still_ranks() -> None:
    data = data_of("uci_default")
    clip = 0.5 * (len(data.columns) + 1) ** 0.5
    privacy = privacy_for(8.0, 1e-5, PRIVATE.rounds, clip)
    found = federated(data, replace(PRIVATE, privacy=privacy))
    assert on("uci_default", found, data.test).auc >= 0.76
