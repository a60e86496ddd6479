"""Whole horizontal runs: what members end with, and what ends a run."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.protocol.counties import county
from tests.protocol.farm_tables import farms
from tests.protocol.plain_sums import together
from tests.protocol.region_run import KilledError, RegionRun
from veilscore.fault import Fault
from veilscore.keys.aggregation.wire import kind_of
from veilscore.models import card_file
from veilscore.models.binning import Bins
from veilscore.models.horizontal.bins import agree_bins
from veilscore.models.horizontal.local_training import LocalLearner
from veilscore.models.horizontal.ports import Floats
from veilscore.models.horizontal.rounds import train
from veilscore.models.horizontal.run import columns_of, terms_of
from veilscore.models.scorecard import Card, Column
from veilscore.node.columns import Columns, NumericColumn
from veilscore.v1.score_pb2 import ModelManifest
from veilscore.v1.training_pb2 import TrainingMessage


def cards(run: RegionRun, names: list[str]) -> dict[str, Card]:
    """Return what these members ended with."""
    found: dict[str, Card] = {}
    for name in names:
        finished = run.sessions[name].finished
        assert finished is not None
        found[name] = card_file.decode(finished.card)
    return found


def test_all_members_end_with_the_model_of_plain_sums(tmp_path: Path) -> None:
    run = RegionRun(tmp_path, members=3, rounds=3)
    manifest = ModelManifest.FromString(run.play())
    assert manifest.whole
    assert [entry.party for entry in manifest.cards] == run.names
    ended = cards(run, run.names)
    for name, card in ended.items():
        finished = run.sessions[name].finished
        assert finished is not None
        entry = next(each for each in manifest.cards if each.party == name)
        assert entry.card == hashlib.sha256(finished.card).digest()
        assert entry.max_abs_points >= card.max_abs_points
    bins, model = in_the_open(run)
    for card in ended.values():
        assert tuple(feature.bins for feature in card.features) == bins
        tables = np.concatenate([feature.log_odds for feature in card.features])
        np.testing.assert_array_equal(tables, model[:-1])
        assert card.intercept == model[-1]


def cells(table: Columns) -> dict[str, Column]:
    """Return numbers as an array and texts as a list, by column."""
    return {
        feature.name: feature.values
        if isinstance(feature, NumericColumn)
        else feature.texts()
        for feature in table.features
    }


def in_the_open(run: RegionRun) -> tuple[tuple[Bins, ...], Floats]:
    """Return bins and model of the same members, whose vectors nobody hides."""
    terms, columns = terms_of(run.contract, 3), columns_of(run.contract)
    tables = {county(number): farms(number) for number in range(run.members)}
    own = {
        name: table.take(np.flatnonzero(~table.holdout))
        for name, table in tables.items()
    }
    values = {name: cells(table) for name, table in own.items()}
    bins = together(
        {
            name: agree_bins(columns, each, terms, least=run.contract.min_count)
            for name, each in values.items()
        }
    )
    joint = bins[county(0)]
    counts = [each.count for each in joint.bins]
    trained = together(
        {
            name: train(
                LocalLearner(
                    np.column_stack(
                        [
                            each.apply(values[name][column.name])  # type: ignore[arg-type]  # of its kind
                            for each, column in zip(joint.bins, columns, strict=True)
                        ]
                    ),
                    own[name].labels == 1,
                    counts,
                    terms,
                ),
                sum(counts) + 1,
                joint.rows,
                terms,
            )
            for name in own
        }
    )
    return joint.bins, trained[county(0)].vector


def test_the_log_has_every_sum_and_who_is_in_it(tmp_path: Path) -> None:
    run = RegionRun(tmp_path, members=3, rounds=2)
    run.play()
    labels = [each.label for each in run.summands if each.party == county(0)]
    assert [each.round for each in run.made] == list(range(1, len(labels) + 1))
    assert all(list(each.members) == run.names for each in run.made)
    done = [each for each in run.made if each.members]
    assert len({each.total for each in done}) == len(done)
    assert [each.attempt for each in done] == [1] * len(done)


def test_members_fit_what_the_contract_says_to_their_own_rows(tmp_path: Path) -> None:
    joint = RegionRun(tmp_path / "a", members=3, rounds=2)
    joint.play()
    own = RegionRun(tmp_path / "b", members=3, rounds=2, own="intercept")
    own.play()
    for name in own.names:
        before, after = cards(joint, [name])[name], cards(own, [name])[name]
        assert after.features == before.features
        assert after.parameters["own"] == "intercept"
        finished = own.sessions[name].finished
        assert finished is not None
        assert finished.evaluation is not None
        assert finished.evaluation["learned"] == 180
        assert finished.evaluation["on_holdout"]
    assert len({card.intercept for card in cards(own, own.names).values()}) == 3


def kind_of_message(message: TrainingMessage) -> str:
    """Return what a member says in a sum."""
    said = message.sum
    if said.HasField("wanted"):
        return "wanted"
    return str(kind_of(said.signed))


SAID = ("wanted", "keys", "shares", "masked", "agreement", "revealed")


@dataclass
class Killer:
    """Kills a member as it says its n-th word of a kind."""

    party: str
    kind: str
    nth: int = 1
    since: str = "round 1"  # of the sums' labels
    _at: bool = False

    def __call__(self, sender: str, message: TrainingMessage) -> None:
        if sender != self.party:
            return
        self._at = self._at or message.sum.wanted.label.endswith(self.since)
        if self._at and kind_of_message(message) == self.kind:
            self.nth -= 1
            if self.nth == 0:
                raise KilledError


@pytest.mark.parametrize("kind", SAID)
def test_below_six_members_a_lost_one_ends_the_run_by_name(
    tmp_path: Path, kind: str
) -> None:
    run = RegionRun(tmp_path, members=3, rounds=2, on_heard=Killer(county(1), kind))
    with pytest.raises(Fault, match=r"lost|left") as caught:
        run.play()
    assert caught.value.party == county(1)
    assert not run.failed.keys() & {county(1)}
    run.check_sums()
    assert all(session.finished is None for session in run.sessions.values())


@pytest.mark.parametrize("kind", SAID)
def test_while_bins_are_chosen_a_lost_member_ends_any_run(
    tmp_path: Path, kind: str
) -> None:
    killer = Killer(county(4), kind, since="bins 1")
    run = RegionRun(tmp_path, members=6, rounds=2, on_heard=killer)
    with pytest.raises(Fault, match="lost") as caught:
        run.play()
    assert caught.value.party == county(4)
    # Nobody has counts without that member.
    assert all(list(each.members) == run.names for each in run.made)


@pytest.mark.parametrize("kind", SAID)
def test_from_six_members_on_the_others_go_on(tmp_path: Path, kind: str) -> None:
    run = RegionRun(tmp_path, members=6, rounds=2, on_heard=Killer(county(4), kind))
    manifest = ModelManifest.FromString(run.play())
    others = [name for name in run.names if name != county(4)]
    assert [entry.party for entry in manifest.cards] == others
    assert run.left.keys() == {county(4)}
    run.check_sums()
    assert [list(each.members) for each in run.made][-1] == others
    ended = cards(run, others)
    assert len({card.intercept for card in ended.values()}) == 1
    assert run.sessions[county(4)].finished is None


def test_too_many_losses_end_the_run(tmp_path: Path) -> None:
    """Of six members a sum takes four; the third loss is one too many."""
    killers = [
        Killer(county(number), "masked", since=f"round {number}")
        for number in (1, 2, 3)
    ]

    def kill(sender: str, message: TrainingMessage) -> None:
        for killer in killers:
            killer(sender, message)

    run = RegionRun(tmp_path, members=6, rounds=3, on_heard=kill)
    with pytest.raises(Fault) as caught:
        run.play()
    assert caught.value.party == county(3)
    run.check_sums()
