"""What a node's operator allows a horizontal run to do."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.protocol.training_scene import MEMBERS, NOISE, horizontal_contract, loans
from veilscore.keys.aggregation.terms import MOST, fewest
from veilscore.node.columns import NumericColumn
from veilscore.node.errors import RefusedError
from veilscore.node.training.horizontal_policy import (
    check,
    learning_rows,
    trained_with,
)
from veilscore.node.training.policy import TrainingSettings
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.settings import loads
from veilscore.v1.training_pb2 import (
    HorizontalPrivacy,
    JointColumn,
    RosterEntry,
    RunContract,
)

SOURCE = loans()
STRICT = TrainingSettings()


def contract(privacy: HorizontalPrivacy | None = None, **terms: Any) -> RunContract:  # noqa: ANN401
    return horizontal_contract({}, "r1", privacy, **terms)


def changed(**clauses: float) -> RunContract:
    made = contract()
    for name, value in clauses.items():
        setattr(made, name, value)
    return made


def of(*members: str) -> RunContract:
    made = contract()
    del made.roster[:]
    made.roster.extend(RosterEntry(party=name) for name in members)
    return made


def noise(**values: float) -> HorizontalPrivacy:
    found = {"clip": 1.0, "noise": 25.0, "count_noise": 12.0} | values
    return HorizontalPrivacy(**found)


def test_the_default_run_is_allowed_by_default() -> None:
    check(contract(), "bank", STRICT, SOURCE)
    check(contract(NOISE), "bank", STRICT, SOURCE)  # a budget is another matter
    assert STRICT.approve_horizontal == "manual"


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (of("bureau", "market", "tax"), "not on the run's roster"),
        (of("bank", "bureau"), "so few members"),
        (of("bank", *(f"m{at}" for at in range(MOST))), "more than 100 members"),
        (changed(min_count=4), "counts as small"),
        (changed(max_rows=2_000_001), "so many rows"),
        (changed(granularity=0), "granularity"),
        (changed(points_to_double_odds=201), "such fine points"),
        (changed(base_odds=0), "scale is out of range"),
        (contract(columns=[]), "columns are too many, none"),
        (contract(columns=[JointColumn(name="area")] * 2), "one of them twice"),
        (contract(pull=-1.0), "pull of own tables"),
        (contract(pull=math.inf), "pull of own tables"),
        (contract(optimizer="newton"), "terms of the training"),
        (contract(own="everything"), "terms of the training"),
        (contract(rounds=0), "terms of the training"),
        (contract(rounds=1025), "terms of the training"),
        (contract(local_rate=math.nan), "terms of the training"),
        (contract(colluding=2), "terms of the training"),
        (contract(colluding=0), "terms of the training"),
        (contract(colluding=2**32 - 1), "terms of the training"),
        (contract(longest_change=1e300), "terms of the training"),
        (contract(noise(noise=0)), "terms of the training"),
        (contract(noise(clip=math.inf)), "terms of the training"),
        (contract(noise(clip=1e300)), "terms of the training"),
        # Shares of under four units would show that they are rounded.
        (contract(noise(count_noise=2.0)), "terms of the training"),
        (contract(noise(count_noise=1e300)), "terms of the training"),
        (
            contract(NOISE, columns=[JointColumn(name="crop", text=True)]),
            "cannot find the levels",
        ),
    ],
)
def test_what_is_not_allowed_is_refused_with_a_fixed_sentence(
    made: RunContract, sentence: str
) -> None:
    with pytest.raises(RefusedError, match=sentence) as caught:
        check(made, "bank", STRICT, SOURCE)
    assert caught.value.party == "bank"
    assert caught.value.place
    assert caught.value.remedy


def test_an_operator_may_ask_for_more_members_and_rows() -> None:
    check(contract(), "bank", TrainingSettings(min_rows=300), SOURCE)
    with pytest.raises(RefusedError, match="so few members"):
        check(contract(), "bank", TrainingSettings(min_members=4), SOURCE)
    with pytest.raises(RefusedError, match="so few labelled rows") as caught:
        check(contract(), "bank", TrainingSettings(min_rows=301), SOURCE)
    # How many there are stays here: what is said in public is the sentence.
    assert "300 rows" in caught.value.place
    assert "300" not in caught.value.what


def test_of_more_rows_than_a_contract_allows_some_are_drawn() -> None:
    """To refuse would tell others, contract by contract, how many there are."""
    for most in (299, 100, 1):
        check(changed(max_rows=most), "bank", TrainingSettings(), SOURCE)
    everything = learning_rows(contract(), SOURCE)
    few = changed(max_rows=100)
    drawn = learning_rows(few, SOURCE)
    assert drawn.size == 100
    assert (np.diff(drawn) > 0).all()
    assert np.isin(drawn, everything).all()
    np.testing.assert_array_equal(drawn, learning_rows(few, SOURCE))
    few.run = "1b" * 16  # another run draws others
    assert not np.array_equal(drawn, learning_rows(few, SOURCE))


def test_only_labelled_rows_that_are_not_held_out_are_learnt_from() -> None:
    labels = SOURCE.labels.copy()
    labels[:101] = -1
    some = replace(SOURCE, labels=labels)
    rows = learning_rows(contract(), some)
    assert rows.min() > 100
    assert not SOURCE.holdout[rows].any()
    assert rows.size == 225
    with pytest.raises(RefusedError, match="so few labelled rows"):
        check(contract(), "bank", TrainingSettings(min_rows=226), some)


def test_all_that_the_data_source_lacks_is_said_at_once() -> None:
    asked = [
        JointColumn(name="area", text=True),
        JointColumn(name="crop"),
        JointColumn(name="income"),
        JointColumn(name="town", text=True),
    ]
    unlabelled = replace(SOURCE, labels=np.full(len(SOURCE), -1, np.int8))
    with pytest.raises(RefusedError, match="columns or labels") as caught:
        check(contract(columns=asked), "bank", STRICT, unlabelled)
    assert caught.value.place == (
        "[source]: column `area` is not categorical; column `crop` is not numeric; "
        "no numeric column `income`; no categorical column `town`; no labels"
    )
    # The sentence is said in public, where nobody's columns belong.
    assert "area" not in caught.value.what
    many = [JointColumn(name=f"c{at}") for at in range(30)]
    with pytest.raises(RefusedError) as caught:
        check(contract(columns=many), "bank", STRICT, SOURCE)
    assert caught.value.place.endswith("`c19` and 10 more")


def test_columns_beside_those_of_the_contract_do_not_matter() -> None:
    more = NumericColumn("income", np.ones(len(SOURCE)))
    richer = replace(SOURCE, features=(*SOURCE.features, more))
    check(contract(), "bank", STRICT, richer)


@pytest.mark.parametrize("members", [3, 5, 6, 7, 20])
def test_sums_are_of_as_many_members_as_secure_aggregation_needs(members: int) -> None:
    made = of("bank", *(f"m{at:02}" for at in range(members - 1)))
    found = trained_with(made, "bank").members
    assert (found.most, found.least) == (members, fewest(members, 1))


@pytest.mark.parametrize(
    "table",
    [
        "min_members = 2",
        'approve_horizontal = "always"',
        "privacy = { epsilon = 1.0 }",
        "privacy = { epsilon = 0, delta = 1e-5 }",
        "privacy = { epsilon = 51, delta = 1e-5 }",
        "privacy = { epsilon = 1, delta = 0 }",
        "privacy = { epsilon = 1, delta = 0.1 }",
        "privacy = { epsilon = nan, delta = 1e-5 }",
        'privacy = { epsilon = 1, delta = 1e-5, rows = "" }',
    ],
)
def test_settings_under_which_nothing_is_protected_are_no_settings(table: str) -> None:
    with pytest.raises(ConfigError):
        loads(table.encode(), TrainingSettings, Path("node.toml"))


def test_the_roster_has_members_only() -> None:
    assert [entry.party for entry in contract().roster] == list(MEMBERS)
    assert contract().label_holder == ""
