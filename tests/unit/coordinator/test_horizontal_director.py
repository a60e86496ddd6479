"""The director of a horizontal run: its sums, and who it goes on without."""

import functools
import hashlib
import threading
import time
from pathlib import Path

import pytest

from tests.protocol.aggregation_round import NAMES
from tests.unit.coordinator.horizontal_stage import LENGTH, RUN, SUMS, HorizontalStage
from tests.unit.coordinator.staged_run import failed, ok
from veilscore.coordinator.errors import PartyStoppedError, RunError
from veilscore.coordinator.fleet import StepReply
from veilscore.coordinator.surroundings import Patience
from veilscore.fault import Fault
from veilscore.keys.aggregation.evidence import MisconductEvidence
from veilscore.keys.errors import MisconductError
from veilscore.runtime.errors import PeerLostError
from veilscore.v1.audit_pb2 import Incident
from veilscore.v1.score_pb2 import ModelManifest
from veilscore.v1.training_pb2 import (
    StepReport,
    StepRequest,
    SumMessage,
    SumWanted,
)

STEPS = ["join", *SUMS, "register"]
ALL_SUMS = sum(SUMS.values())
LOST = NAMES[1]
HASTY = Patience(again_s=0.01, phase_s=2.0)

IN_BINS = [("bins", "wanted"), ("bins", "keys"), ("bins", "revealed")]
LATER = [
    ("round-1", "wanted"),
    ("round-1", "keys"),
    ("round-1", "shares"),
    ("round-1", "masked"),
    ("round-2", "agreement"),
    ("evaluate", "revealed"),
]


def test_every_sum_is_in_the_log_before_the_next_begins(tmp_path: Path) -> None:
    stage = HorizontalStage(3, tmp_path)
    manifest = ModelManifest.FromString(stage.lead())
    assert [step for step, _ in stage.fleet.calls] == stage.notes.steps == STEPS
    assert [(each.round, each.attempt) for each in stage.made] == [
        (number, 1) for number in range(1, ALL_SUMS + 1)
    ]
    assert {tuple(each.members) for each in stage.made} == {stage.names}
    for node in stage.nodes.values():
        assert node.begun == [(number + 1, number) for number in range(ALL_SUMS)]
        assert [each.digest for each in node.player.sums] == [
            each.total for each in stage.made
        ]
    assert manifest.whole
    assert [card.party for card in manifest.cards] == list(stage.names)
    assert (stage.ended, stage.notes.left) == ([], {})


def test_members_are_bound_to_the_contract_as_they_were_sent_it(tmp_path: Path) -> None:
    stage = HorizontalStage(3, tmp_path)
    stage.lead()
    (_, payloads), *_ = stage.fleet.calls
    sent = {StepRequest.FromString(payload).contract for payload in payloads.values()}
    (body,) = sent
    assert stage.terms.contract == hashlib.sha256(body).digest()
    assert stage.terms.names == stage.names


@pytest.mark.parametrize(("step", "message"), IN_BINS + LATER)
def test_below_six_a_member_that_is_lost_ends_the_run(
    tmp_path: Path, step: str, message: str
) -> None:
    stage = HorizontalStage(3, tmp_path)
    stage.nodes[LOST].dies_before = (step, message)
    began = time.monotonic()
    with pytest.raises(PeerLostError, match="it has left") as caught:
        stage.lead()
    assert caught.value.party == LOST
    assert stage.director.step == step
    assert time.monotonic() - began < 20  # no phase was waited for
    assert stage.notes.left == {}
    assert not [each for each in threading.enumerate() if each.name.startswith("sums")]


@pytest.mark.parametrize(("step", "message"), IN_BINS)
def test_while_bins_are_chosen_a_lost_member_ends_any_run(
    tmp_path: Path, step: str, message: str
) -> None:
    stage = HorizontalStage(7, tmp_path)
    stage.nodes[LOST].dies_before = (step, message)
    with pytest.raises(PeerLostError, match="it has left") as caught:
        stage.lead()
    assert caught.value.party == LOST
    assert stage.director.step == step
    assert stage.notes.left == {}
    # Counts without its rows, beside those with them, would show its own.
    assert all(LOST in each.members for each in stage.made)


@pytest.mark.parametrize(("step", "message"), LATER)
def test_from_six_on_the_run_goes_on_without_it(
    tmp_path: Path, step: str, message: str
) -> None:
    stage = HorizontalStage(6, tmp_path)
    stage.nodes[LOST].dies_before = (step, message)
    manifest = ModelManifest.FromString(stage.lead())
    others = [name for name in stage.names if name != LOST]
    assert [card.party for card in manifest.cards] == others
    assert len(stage.made) == ALL_SUMS
    assert len(stage.nodes[others[0]].player.sums) == ALL_SUMS
    assert stage.notes.left.keys() == {LOST}
    assert stage.ended == [LOST]
    assert stage.nodes[LOST].asked == STEPS[: STEPS.index(step) + 1]
    (register,) = [asked for name, asked in stage.fleet.calls if name == "register"]
    assert sorted(register) == others
    assert len(set(register.values())) == 1


def test_a_report_of_misconduct_ends_the_run_for_all(tmp_path: Path) -> None:
    """Left out, its reporter could be put out by whom it accuses."""
    stage = HorizontalStage(6, tmp_path)
    code = MisconductError.code
    stage.nodes[LOST].scripted["round-1"] = functools.partial(failed, LOST, code)
    with pytest.raises(PartyStoppedError, match="broke the rules") as caught:
        stage.lead()
    assert caught.value.party == LOST
    assert caught.value.reason == code
    assert "state/incidents" in caught.value.remedy
    assert stage.notes.left == {}
    assert [each.round for each in stage.made] == [1, 2]  # those of bins


def test_a_member_that_says_nothing_is_given_three_attempts(tmp_path: Path) -> None:
    stage = HorizontalStage(3, tmp_path, Patience(again_s=0.01, phase_s=0.5))
    stage.nodes[LOST].dies_before = ("round-1", "masked")
    stage.nodes[LOST].is_noticed = False
    with pytest.raises(RunError, match="'keys' of a sum did not come") as caught:
        stage.lead()
    assert caught.value.party == LOST
    assert caught.value.place == f"run {RUN}, round 3, attempt 3"
    assert stage.nodes[NAMES[0]].begun == [(1, 0), (2, 1), (3, 2), (3, 2), (3, 2)]


def test_from_six_on_a_member_that_says_nothing_has_left(tmp_path: Path) -> None:
    stage = HorizontalStage(6, tmp_path, HASTY)
    stage.nodes[LOST].dies_before = ("round-1", "masked")
    stage.nodes[LOST].is_noticed = False
    manifest = ModelManifest.FromString(stage.lead())
    assert LOST not in [card.party for card in manifest.cards]
    assert stage.ended == [LOST]
    assert "'masked' of a sum did not come" in str(stage.notes.left[LOST])


def test_who_takes_nothing_has_left(tmp_path: Path) -> None:
    stage = HorizontalStage(6, tmp_path)

    def deafen() -> StepReply:
        del stage.nodes[LOST].scripted["round-1"]
        stage.unheard = {LOST}
        return stage.nodes[LOST].answer("round-1")

    stage.nodes[LOST].scripted["round-1"] = deafen
    manifest = ModelManifest.FromString(stage.lead())
    assert len(manifest.cards) == 5
    assert "does not take" in str(stage.notes.left[LOST])


def test_who_fails_a_step_has_left_from_six_on(tmp_path: Path) -> None:
    stage = HorizontalStage(6, tmp_path)
    stage.nodes[LOST].scripted["round-1"] = functools.partial(failed, LOST, "data")
    assert len(ModelManifest.FromString(stage.lead()).cards) == 5
    fault = stage.notes.left[LOST]
    assert isinstance(fault, PartyStoppedError)
    assert fault.reason == "data"

    stage = HorizontalStage(5, tmp_path)
    stage.nodes[LOST].scripted["round-1"] = functools.partial(failed, LOST, "data")
    with pytest.raises(PartyStoppedError) as caught:
        stage.lead()
    assert caught.value.party == LOST


def test_too_many_losses_end_the_run_with_the_last(tmp_path: Path) -> None:
    stage = HorizontalStage(7, tmp_path)
    for name in NAMES[:3]:  # five are needed
        stage.nodes[name].dies_before = ("round-1", "keys")
    with pytest.raises(PeerLostError) as caught:
        stage.lead()
    assert caught.value.party in NAMES[:3]
    assert len(stage.notes.left) == 2


def test_until_all_have_joined_nobody_may_be_missing(tmp_path: Path) -> None:
    stage = HorizontalStage(6, tmp_path)
    refuse = functools.partial(failed, LOST, "refused", "not approved")
    stage.nodes[LOST].scripted["join"] = refuse
    with pytest.raises(PartyStoppedError, match="not approved") as caught:
        stage.lead()
    assert caught.value.party == LOST
    assert stage.notes.refusals == [LOST]

    stage = HorizontalStage(6, tmp_path)

    def leave() -> None:
        stage.director.lose(LOST, "it has left")

    threading.Timer(0.1, leave).start()
    stage.nodes[LOST].scripted["join"] = lambda: failed(LOST, "awaiting-approval")
    with pytest.raises(PeerLostError) as lost:
        stage.lead()
    assert lost.value.party == LOST


def test_who_does_not_answer_a_step_in_time_has_left(tmp_path: Path) -> None:
    stage = HorizontalStage(6, tmp_path)

    def answer() -> StepReply:
        stage.fleet.silent.append(LOST)
        stage.released.wait(60)
        return ok(LOST)

    stage.nodes[LOST].scripted["register"] = answer
    assert stage.lead()
    assert "no answer in time" in str(stage.notes.left[LOST])


def test_a_member_without_a_card_has_left(tmp_path: Path) -> None:
    stage = HorizontalStage(6, tmp_path)
    stage.nodes[LOST].report = StepReport()
    manifest = ModelManifest.FromString(stage.lead())
    assert LOST not in [card.party for card in manifest.cards]
    assert "has made no card" in str(stage.notes.left[LOST])


@pytest.mark.parametrize("members", [5, 6])
def test_who_breaks_the_rules_is_an_incident_and_has_left(
    tmp_path: Path, members: int
) -> None:
    stage = HorizontalStage(members, tmp_path)
    stage.break_rules(LOST)
    if members < 6:
        with pytest.raises(MisconductError) as caught:
            stage.lead()
        assert caught.value.party == LOST
    else:
        assert len(ModelManifest.FromString(stage.lead()).cards) == 5
        assert stage.ended == [LOST]
    (file,) = stage.folder.iterdir()
    shown = MisconductEvidence.load(file.read_bytes())
    assert (shown.accused, shown.terms.roster) == (LOST, stage.terms.roster)
    assert [each.sender for each in shown.statements] == [LOST, LOST]
    incidents = [each for _, each in stage.story if isinstance(each, Incident)]
    digest = hashlib.sha256(file.read_bytes()).digest()
    assert incidents == [Incident(kind="two-answers", evidence=digest)]
    place = stage.story.index(("logged", incidents[0]))
    assert ("ended", LOST) not in stage.story[:place]  # told first, then put out


@pytest.mark.parametrize("members", [5, 6])
def test_an_envelope_that_does_not_open_costs_its_sender_the_run(
    tmp_path: Path, members: int
) -> None:
    stage = HorizontalStage(members, tmp_path)

    def garbage(_: SumMessage) -> None:
        if stage.nodes[LOST].step == "round-1":
            stage.director.receive(LOST, b"\xff\xff\xff")

    stage.nodes[LOST].besides = garbage
    if members < 6:
        with pytest.raises(RunError, match="cannot be read") as caught:
            stage.lead()
        assert caught.value.party == LOST
    else:
        assert len(ModelManifest.FromString(stage.lead()).cards) == 5
        assert stage.notes.left.keys() == {LOST}


def test_members_of_other_releases_are_told_what_each_wants(tmp_path: Path) -> None:
    stage = HorizontalStage(3, tmp_path)
    other = SumMessage(wanted=SumWanted(label="other", length=LENGTH))
    stage.nodes[LOST].player.want = lambda *_: other  # type: ignore[method-assign]
    with pytest.raises(RunError, match=f"'other' of 4 words: {LOST}"):
        stage.lead()


def test_who_has_done_the_step_does_not_keep_others_waiting(tmp_path: Path) -> None:
    stage = HorizontalStage(3, tmp_path)
    stage.nodes[LOST].scripted["bins"] = functools.partial(ok, LOST)
    with pytest.raises(RunError, match=f"no more sum: {LOST}"):
        stage.lead()


def test_a_member_under_another_key_than_the_contract_s_is_named(
    tmp_path: Path,
) -> None:
    stage = HorizontalStage(3, tmp_path)
    stage.director.contract.roster[1].fingerprint = bytes(32)
    with pytest.raises(RunError, match="under another key") as caught:
        stage.lead()
    assert caught.value.party == LOST
    stage = HorizontalStage(3, tmp_path)
    stage.director.contract.horizontal.colluding = 2
    with pytest.raises(RunError, match="cannot add up anything"):
        stage.lead()
    assert stage.fleet.calls == []


def test_the_operator_stops_a_run_in_the_midst_of_a_sum(tmp_path: Path) -> None:
    stage = HorizontalStage(6, tmp_path)
    stopped: list[float] = []

    def stop(_: SumMessage) -> None:
        stopped.append(time.monotonic())
        stage.director.stop(RunError("stopped by the operator"))

    stage.nodes[LOST].besides = stop
    with pytest.raises(Fault, match="stopped by the operator"):
        stage.lead()
    assert time.monotonic() - stopped[0] < 5
    assert stage.ended == []
