"""What a node's operator allows a run to do."""

import pytest

from tests.sample_contract import sample_contract
from veilscore.models.vertical.layout import (
    HIDING,
    MOST_HIDING,
    SCORE_BITS,
    SCORE_LIMIT,
)
from veilscore.node.errors import RefusedError
from veilscore.node.training.policy import (
    MAX_NOISY_STEPS,
    MAX_POLISH_STEPS,
    TrainingSettings,
    check,
    check_columns,
)
from veilscore.v1.training_pb2 import RunContract

PARTIES = ("agriculture", "bank", "regulator")


def contract(**clauses: float | bool) -> RunContract:
    return sample_contract(PARTIES, {}, **clauses)


def two_parties() -> RunContract:
    made = contract(allow_two_party=True)
    del made.roster[0]
    return made


STRICT = TrainingSettings()


def test_the_default_contract_is_allowed_by_default() -> None:
    check(contract(), "regulator", STRICT)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (contract(polish_steps=2, polish_noise=0.25), "polish steps are not allowed"),
        (contract(exact=True, polish_steps=8), "exact training is not allowed"),
        (contract(min_count=3), "counts as small"),
        (contract(max_rows=3_000_000), "so many rows"),
        (contract(ridge=0), "ridge penalty is out of range"),
        (contract(ridge=1e-7), "ridge penalty is out of range"),
        (contract(ridge=float("inf")), "ridge penalty is out of range"),
        (contract(ridge=1e308), "ridge penalty is out of range"),
        (contract(ridge=float("nan")), "ridge penalty is out of range"),
        (contract(count_epsilon=1e-7), "noise on counts is out of range"),
        (contract(count_epsilon=-1.0), "noise on counts is out of range"),
        (contract(count_epsilon=float("nan")), "noise on counts is out of range"),
        (contract(polish_noise=float("inf")), "noise of polish steps is out of range"),
        (contract(granularity=0), "granularity"),
        (contract(points_to_double_odds=201), "such fine points"),
        (contract(points_to_double_odds=0), "scale is out of range"),
        (contract(points_to_double_odds=1e-300), "scale is out of range"),
        (contract(points_to_double_odds=float("inf")), "such fine points"),
        (contract(points_to_double_odds=float("nan")), "such fine points"),
        (contract(base_odds=0), "scale is out of range"),
        (contract(base_odds=float("inf")), "scale is out of range"),
        (contract(base_points=10_000_000), "scale is out of range"),
        (contract(max_columns=0), "max_columns"),
        (contract(max_bins=0), "max_bins"),
        (two_parties(), "one feature holder is not allowed"),
    ],
)
def test_what_is_not_allowed_is_refused_with_a_fixed_sentence(
    made: RunContract, sentence: str
) -> None:
    with pytest.raises(RefusedError, match=sentence):
        check(made, "regulator", STRICT)


def test_a_node_that_is_not_on_the_roster_refuses() -> None:
    with pytest.raises(RefusedError, match="not on the run's roster"):
        check(contract(), "chain", STRICT)


def test_known_to_all_is_for_as_many_holders_as_can_hide_a_score() -> None:
    names = [f"holder-{number}" for number in range(MOST_HIDING)]
    fits = sample_contract(("bank", *names), {}, known_to_all=True)
    check(fits, "holder-0", STRICT)
    many = sample_contract(("bank", *names, "regulator"), {}, known_to_all=True)
    with pytest.raises(RefusedError, match="with so many feature holders"):
        check(many, "regulator", STRICT)
    many.known_to_all = False
    check(many, "regulator", STRICT)
    # All of them may hide one, and an honest score be added: it is still one slot.
    assert MOST_HIDING * SCORE_LIMIT + HIDING // 2 < 1 << SCORE_BITS - 1


def test_each_clause_needs_its_own_permission() -> None:
    polish = TrainingSettings(allow_polish=True)
    check(contract(polish_steps=2, polish_noise=0.25), "regulator", polish)
    with pytest.raises(RefusedError, match="so little noise"):
        check(contract(polish_steps=2, polish_noise=0.1), "regulator", polish)
    with pytest.raises(RefusedError, match="exact training"):
        check(contract(exact=True, polish_steps=8), "regulator", polish)
    exact = TrainingSettings(allow_exact=True)
    check(contract(exact=True, polish_steps=8), "regulator", exact)
    with pytest.raises(RefusedError, match="needs polish steps"):
        check(contract(exact=True), "regulator", exact)
    check(two_parties(), "regulator", TrainingSettings(allow_two_party=True))


def test_noise_is_averaged_over_few_steps_only() -> None:
    settings = TrainingSettings(allow_polish=True, allow_exact=True)
    check(contract(polish_steps=MAX_NOISY_STEPS, polish_noise=0.25), "bank", settings)
    check(contract(polish_steps=MAX_POLISH_STEPS, exact=True), "bank", settings)
    for made, sentence in (
        (contract(polish_steps=5, polish_noise=10.0), "more than 4 polish steps"),
        (contract(polish_steps=21, exact=True), "more than 20 exact steps"),
    ):
        with pytest.raises(RefusedError, match=sentence) as caught:
            check(made, "bank", settings)
        assert caught.value.party == "bank"
        assert caught.value.place == "contract of run r1"
        assert "another contract" in caught.value.remedy


def test_only_the_label_holder_minds_how_many_rows_cover_its_customers() -> None:
    few, many = contract(cover_ratio=0.5), contract(cover_ratio=1.0)
    check(few, "regulator", STRICT)
    check(many, "bank", STRICT)
    check(contract(), "bank", STRICT)
    check(few, "bank", TrainingSettings(min_cover=0.5))
    for wrong in (few, contract(cover_ratio=float("nan"))):
        with pytest.raises(RefusedError, match="few cover rows"):
            check(wrong, "bank", STRICT)


def test_a_feature_holder_of_one_or_two_columns_does_not_take_part() -> None:
    check_columns(contract(), "regulator", STRICT, 3)
    check_columns(contract(), "bank", STRICT, 1)  # it holds the labels
    check_columns(contract(), "regulator", TrainingSettings(min_columns=2), 2)
    with pytest.raises(RefusedError, match="so few columns"):
        check_columns(contract(), "regulator", STRICT, 2)


CAREFUL = TrainingSettings(independent=("agriculture", "tax"), min_independent=1)


def test_a_run_needs_as_many_independent_holders_as_the_operator_wants() -> None:
    check(contract(), "regulator", CAREFUL)
    for puppet in ("puppet", "bank2"):
        made = contract()
        made.roster[0].party = puppet
        with pytest.raises(RefusedError, match="so few independent"):
            check(made, "regulator", CAREFUL)


def test_neither_the_label_holder_nor_the_node_itself_hides_its_part() -> None:
    own = TrainingSettings(independent=("bank", "regulator"), min_independent=1)
    with pytest.raises(RefusedError, match="so few independent"):
        check(contract(), "regulator", own)
