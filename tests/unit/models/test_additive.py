import numpy as np
import pytest
import torch
from torch.nn import functional

from veilscore.models.additive import AdditiveScorer
from veilscore.models.binning import CategoricalBins, Codes, NumericBins
from veilscore.models.errors import DataError
from veilscore.models.scorecard import Card, Feature, Scale

CARD = Card(
    run="r1",
    holder="north",
    scale=Scale(),
    granularity=1,
    features=(
        Feature.scaled(
            "age",
            NumericBins((25.0, 40.0), (None, None, None)),
            np.array([-0.05, -0.35, 0.07, 0.26]),
            Scale(),
        ),
        Feature.scaled(
            "state",
            CategoricalBins(("CA",), pooled=False),
            np.array([0.0, -0.69]),
            Scale(),
        ),
    ),
    parameters={},
)


def every_code() -> Codes:
    return np.array([(a, s) for a in range(4) for s in range(2)], dtype=np.uint16)


def score(model: AdditiveScorer, codes: Codes) -> torch.Tensor:
    result: torch.Tensor = model(torch.tensor(codes.tolist()))
    return result.detach()


def test_forward_adds_one_table_entry_a_feature() -> None:
    model = AdditiveScorer([4, 2])
    model.load_card(CARD, intercept=1.5)
    expected: list[float] = [
        1.5 + CARD.features[0].log_odds[age] + CARD.features[1].log_odds[state]
        for age, state in every_code().tolist()
    ]
    np.testing.assert_allclose(score(model, every_code()), expected, rtol=1e-6)


def test_a_card_survives_the_trip_through_the_module() -> None:
    model = AdditiveScorer([4, 2])
    model.load_card(CARD)
    again = model.to_card(CARD)
    assert [f.points for f in again.features] == [f.points for f in CARD.features]
    np.testing.assert_array_equal(
        again.partial_codes(every_code()), CARD.partial_codes(every_code())
    )


def test_parameters_are_the_tables_and_the_intercept_only() -> None:
    shapes = {
        name: tuple(p.shape) for name, p in AdditiveScorer([4, 2]).named_parameters()
    }
    assert shapes == {"tables.0": (4,), "tables.1": (2,), "intercept": ()}
    assert set(AdditiveScorer([4, 2]).state_dict()) == set(shapes)


def test_training_one_feature_finds_the_log_odds_of_each_bin() -> None:
    good, bad = [30, 80, 55], [20, 10, 45]
    codes = torch.tensor([[0], [1], [2]] * 2)
    is_good = torch.tensor([1.0] * 3 + [0.0] * 3)
    rows = torch.tensor(good + bad, dtype=torch.float32)
    model = AdditiveScorer([3])
    parameters = list(model.parameters())
    for _ in range(500):
        loss = functional.binary_cross_entropy_with_logits(
            model(codes), is_good, weight=rows / rows.mean()
        )
        slopes = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, slope in zip(parameters, slopes, strict=True):
                parameter.sub_(slope)
    fitted = score(model, np.array([[0], [1], [2]], dtype=np.uint16))
    expected = np.log(np.array(good) / np.array(bad))
    np.testing.assert_allclose(fitted, expected, atol=1e-3)


def test_a_card_with_other_bins_is_refused() -> None:
    with pytest.raises(DataError, match="bins of the model") as caught:
        AdditiveScorer([4, 3]).load_card(CARD)
    assert caught.value.party == "north"
