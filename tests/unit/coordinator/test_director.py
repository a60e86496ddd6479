"""The director: who is asked what, and how a run ends."""

import dataclasses
import functools
import hashlib
import re
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.coordinator.staged_run import (
    COORDINATOR,
    ESTIMATES,
    HOLDERS,
    IDS,
    Stage,
    card_report,
    failed,
    ok,
)
from tests.unit.tlog.sample_log import Parties
from veilscore.coordinator.errors import PartyStoppedError, RunError
from veilscore.coordinator.fleet import StepReply
from veilscore.coordinator.replies import check_reply
from veilscore.coordinator.rounds import Director
from veilscore.coordinator.surroundings import Patience
from veilscore.fault import Fault
from veilscore.runtime.errors import PeerLostError
from veilscore.v1.envelope_pb2 import Envelope, EnvelopeHeader
from veilscore.v1.hub_pb2 import ReceivingKey, SignedKey
from veilscore.v1.score_pb2 import ModelManifest
from veilscore.v1.training_pb2 import (
    SetMarks,
    StepRequest,
    TrainingMessage,
)

STEPS = [
    "join", "rows", "counts", "moments", "cross", "solve", "calibrate", "evaluate",
    "register",
]  # fmt: skip


def test_every_party_is_asked_for_every_step_in_order(stage: Stage) -> None:
    manifest = stage.lead()
    assert [step for step, _ in stage.fleet.calls] == stage.notes.steps == STEPS
    body = stage.director.contract.SerializeToString(deterministic=True)
    requests = {
        step: [StepRequest.FromString(payload) for payload in payloads.values()]
        for step, payloads in stage.fleet.calls
    }
    assert all(len(asked) == len(HOLDERS) for asked in requests.values())
    for step, asked in requests.items():
        for request in asked:
            assert request.contract == (body if step == "join" else b"")
            assert request.manifest == (manifest if step == "register" else b"")
    assert stage.notes.estimates == ESTIMATES


def test_the_manifest_says_what_each_party_reported(stage: Stage) -> None:
    found = ModelManifest.FromString(stage.lead())
    agreed = stage.director.contract
    assert found.run == agreed.run
    body = agreed.SerializeToString(deterministic=True)
    assert found.contract == hashlib.sha256(body).digest()
    assert [entry.party for entry in found.cards] == sorted(HOLDERS)
    for entry in found.cards:
        report = card_report(entry.party)
        assert (entry.card, entry.max_abs_points) == (
            report.card,
            report.max_abs_points,
        )
    assert (found.base_points, found.base_odds, found.points_to_double_odds) == (
        600,
        20.0,
        40.0,
    )
    assert found.granularity == 5


def test_an_entity_has_one_place_in_the_run_wherever_it_is_known(stage: Stage) -> None:
    stage.lead()
    places: dict[str, set[int]] = {}
    rows = set[int]()
    for name, node in stage.nodes.items():
        assert node.alignment is not None
        rows.add(node.alignment.rows)
        for entity, place in zip(IDS[name], node.alignment.positions, strict=True):
            places.setdefault(entity, set()).add(int(place))
    assert len(rows) == 1
    assert all(len(found) == 1 for found in places.values())
    # every labelled row is in the run, in a place of its own
    labelled = [next(iter(places[entity])) for entity in IDS["bank"]]
    assert min(labelled) >= 0
    assert len(np.unique(labelled)) == len(labelled)


def test_a_refusal_ends_the_run_with_the_party_and_its_sentence(stage: Stage) -> None:
    sentence = "exact training is not allowed here"
    stage.nodes["bureau"].scripted["join"] = [
        lambda: failed("bureau", "refused", sentence)
    ]
    with pytest.raises(PartyStoppedError, match=sentence) as caught:
        stage.lead()
    assert (caught.value.party, caught.value.reason) == ("bureau", "refused")
    assert caught.value.place == "step join"
    assert stage.notes.refusals == ["bureau"]
    assert [step for step, _ in stage.fleet.calls] == ["join"]


def test_only_who_has_not_decided_is_asked_again(stage: Stage) -> None:
    node = stage.nodes["market"]
    node.scripted["join"] = [lambda: failed("market", "awaiting-approval")] * 2
    stage.lead()
    asked = [sorted(payloads) for step, payloads in stage.fleet.calls if step == "join"]
    assert asked == [list(HOLDERS), ["market"], ["market"]]
    assert [step for step, _ in stage.fleet.calls][3:] == STEPS[1:]


def test_a_node_that_flower_takes_for_gone_is_asked_again(stage: Stage) -> None:
    """As it does until the next heartbeat of a SuperNode that was started again."""
    gone = functools.partial(failed, "market", "node-unavailable")
    stage.nodes["market"].scripted["join"] = [gone] * 2
    assert stage.lead()


def test_a_node_that_stays_away_ends_the_run(parties: Parties) -> None:
    stage = Stage(parties, Patience(online_s=0.05, again_s=0.01))
    gone = functools.partial(failed, "market", "node-unavailable")
    stage.nodes["market"].scripted["join"] = [gone] * 100
    with pytest.raises(PartyStoppedError, match="node-unavailable") as caught:
        stage.lead()
    assert caught.value.party == "market"


def test_waiting_for_approval_has_an_end(parties: Parties) -> None:
    stage = Stage(parties, Patience(approval_s=0.05, again_s=0.01))
    for name in ("bank", "market"):
        waiting = functools.partial(failed, name, "awaiting-approval")
        stage.nodes[name].scripted["join"] = [waiting] * 100
    with pytest.raises(PartyStoppedError, match="did not decide within") as caught:
        stage.lead()
    assert caught.value.party == "bank, market"
    assert caught.value.reason == "awaiting-approval"


def test_supernodes_that_are_starting_are_waited_for(parties: Parties) -> None:
    stage = Stage(parties, Patience(online_s=0.2, again_s=0.01))
    stage.online.clear()
    threading.Timer(0.05, stage.online.update, [HOLDERS]).start()
    assert stage.lead()
    stage = Stage(parties, Patience(online_s=0.05, again_s=0.01))
    stage.online -= {"market", "bureau"}
    with pytest.raises(PartyStoppedError, match="SuperNode is not conn") as caught:
        stage.lead()
    assert (caught.value.party, caught.value.reason) == ("bureau, market", "absent")
    assert stage.fleet.calls == []


def test_a_failed_step_ends_the_run_though_others_wait(stage: Stage) -> None:
    stage.nodes["market"].scripted["counts"] = [lambda: failed("market", "data")]
    stage.hang("bank", "counts")
    started = time.monotonic()
    with pytest.raises(PartyStoppedError) as caught:
        stage.lead()
    assert time.monotonic() - started < 5
    assert str(caught.value) == (
        "market, step counts: data. Remedy: See that node's status page."
    )
    assert stage.fleet.calls[-1][0] == "counts"


def test_a_failed_step_of_alignment_ends_the_other_thread_too(stage: Stage) -> None:
    stage.nodes["bureau"].scripted["rows"] = [lambda: failed("bureau", "source")]
    for party in ("bank", "market"):
        stage.hang(party, "rows")
    with pytest.raises(PartyStoppedError) as caught:
        stage.lead()
    assert (caught.value.party, caught.value.reason) == ("bureau", "source")
    assert not [t for t in threading.enumerate() if t.name.startswith("rows")]


@pytest.mark.parametrize("step", ["join", "rows", "moments", "register"])
def test_a_lost_party_ends_the_run_within_a_second(stage: Stage, step: str) -> None:
    lost: list[float] = []

    def lose() -> None:
        lost.append(time.monotonic())
        stage.director.lose("bureau", "it has left")

    def answer() -> StepReply:
        threading.Timer(0.1, lose).start()
        return ok("bank")

    stage.hang("bureau", step)
    stage.nodes["bank"].scripted[step] = [answer]
    with pytest.raises(PeerLostError, match="it has left") as caught:
        stage.lead()
    assert time.monotonic() - lost[0] < 1
    assert caught.value.party == "bureau"
    assert stage.fleet.calls[-1][0] == step


def test_a_party_of_another_run_may_be_lost(stage: Stage) -> None:
    stage.director.lose("cooperative", "it has left")
    assert stage.lead()


def test_waiting_for_approval_ends_with_a_loss(parties: Parties) -> None:
    stage = Stage(parties, Patience(again_s=60))
    stage.nodes["bank"].scripted["join"] = [lambda: failed("bank", "awaiting-approval")]
    threading.Timer(0.2, stage.director.lose, ["market", "it has left"]).start()
    with pytest.raises(PeerLostError) as caught:
        stage.lead()
    assert caught.value.party == "market"


def test_the_first_reason_counts(stage: Stage) -> None:
    stage.director.stop(RunError("stopped by the operator"))
    stage.director.lose("bank", "it has left")
    with pytest.raises(RunError, match="stopped by the operator"):
        stage.lead()
    assert stage.fleet.calls == []


def test_nobody_is_asked_while_a_party_is_absent(stage: Stage) -> None:
    stage.attached -= {"bank", "market"}
    with pytest.raises(RunError, match="not connected") as caught:
        stage.lead()
    assert caught.value.party == "bank, market"
    assert stage.fleet.calls == []


@pytest.mark.parametrize(
    ("report", "sentence"),
    [(b"\xff\xff", "cannot be read"), (b"", "has made no card")],
)
def test_a_report_without_a_card_ends_the_run(
    stage: Stage, report: bytes, sentence: str
) -> None:
    answer = dataclasses.replace(ok("bureau"), payload=report)
    stage.nodes["bureau"].scripted["evaluate"] = [lambda: answer]
    with pytest.raises(RunError, match=sentence) as caught:
        stage.lead()
    assert caught.value.party == "bureau"


def wrong_marks(stage: Stage) -> None:
    """Send three marks for a set of many points."""

    def tamper(sent: TrainingMessage) -> TrainingMessage:
        if sent.HasField("set_marks"):
            return TrainingMessage(set_marks=SetMarks(marks=b"\1\1\1"))
        return sent

    stage.nodes["market"].tamper = tamper


def twice(stage: Stage) -> None:
    marks = TrainingMessage(set_marks=SetMarks(marks=b"\1"))
    stage.nodes["market"].send(COORDINATOR, marks)


def not_an_envelope(stage: Stage) -> None:
    stage.director.receive("market", b"\xff\xff\xff")


def a_changed_envelope(stage: Stage) -> None:
    envelope = bytearray(stage.nodes["market"].seal(TrainingMessage()))
    envelope[-1] ^= 1
    stage.director.receive("market", bytes(envelope))


def another_hand(stage: Stage) -> None:
    """Pass on what another node sealed."""
    stage.director.receive("market", stage.nodes["bank"].seal(TrainingMessage()))


@pytest.mark.parametrize(
    "attack", [wrong_marks, twice, not_an_envelope, a_changed_envelope, another_hand]
)
def test_what_a_party_sends_wrongly_ends_the_run_with_its_name(
    stage: Stage, attack: Callable[[Stage], None]
) -> None:
    def answer() -> StepReply:
        attack(stage)
        stage.nodes["market"].align()
        return ok("market")

    stage.nodes["market"].scripted["rows"] = [answer]
    with pytest.raises(Fault) as caught:
        stage.lead()
    assert caught.value.party == "market"


def test_envelopes_of_strangers_and_of_other_runs_are_dropped(stage: Stage) -> None:
    late = EnvelopeHeader(version=1, purpose="run:0a", sender="bank", seq=7)
    envelope = Envelope(header=late.SerializeToString())
    stage.director.receive("bank", envelope.SerializeToString())
    stage.director.receive("cooperative", b"\xff\xff\xff")
    assert stage.lead()


def test_a_key_of_somebody_else_does_not_stop_a_run(stage: Stage) -> None:
    """A party outside the roster may publish what it likes for the run."""
    bad = SignedKey(body=ReceivingKey(party="hub").SerializeToString())

    def directory(purpose: str) -> list[SignedKey]:
        return [*stage.directory.keys(purpose), bad]

    around = dataclasses.replace(stage.around, directory=directory)
    stage.director = Director(stage.director.contract, around, stage.notes)
    assert stage.lead()


def test_nodes_that_send_no_set_do_not_keep_the_run_waiting(stage: Stage) -> None:
    for name, node in stage.nodes.items():
        node.scripted["rows"] = [functools.partial(ok, name)]
    with pytest.raises(RunError, match="before their rows were placed"):
        stage.lead()


def test_who_published_no_key_is_named(stage: Stage) -> None:
    stage.nodes["bureau"].scripted["join"] = [lambda: ok("bureau")]
    with pytest.raises(RunError, match="published no key") as caught:
        stage.lead()
    assert caught.value.party == "bureau"


@pytest.mark.parametrize(
    ("reason", "blamed"),
    [("log-store", ""), ("internal", ""), ("append", "bank"), ("anything", "bank")],
)
def test_what_the_coordinator_could_not_do_is_no_party_s_fault(
    reason: str, blamed: str
) -> None:
    with pytest.raises(RunError) as caught:
        check_reply(failed("bank", "coordinator-refused", reason), "counts")
    assert caught.value.party == blamed
    assert caught.value.place == "step counts"
    assert ("bank handed in (" in caught.value.what) == (blamed == "")


@pytest.mark.parametrize(("broken", "blamed"), [(False, ""), (True, "bank")])
def test_a_hub_out_of_reach_is_the_coordinator_s_unless_the_line_broke(
    parties: Parties,
    broken: bool,  # noqa: FBT001 - a parameter of the test
    blamed: str,
) -> None:
    stage = Stage(parties, Patience(verdict_s=0.5))

    def answer() -> StepReply:
        if broken:
            threading.Timer(0.1, stage.director.lose, ["bank", "broken"]).start()
        return failed("bank", "unreachable")

    stage.nodes["bank"].scripted["moments"] = [answer]
    with pytest.raises(Fault) as caught:
        stage.lead()
    assert caught.value.party == blamed
    assert ("could not reach" in caught.value.what) != broken


@given(code=st.text(max_size=60), reason=st.text(max_size=60))
def test_whatever_a_party_answers_the_code_is_a_word(code: str, reason: str) -> None:
    assume(code != "unreachable")
    with pytest.raises(PartyStoppedError) as caught:
        check_reply(failed("bank", code, reason), "solve")
    assert re.fullmatch(r"[a-z0-9-]{1,40}", caught.value.reason)
    assert caught.value.what in {caught.value.reason, reason}
    if caught.value.reason != "refused":
        assert caught.value.what == caught.value.reason
