"""Evidence of horizontal runs: honest passes, everything else fails at a named step."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from tests.unit.tlog.evidence_story import NODES, RUN, Change, Evidence, Said
from tests.unit.tlog.horizontal_story import (
    TERMS,
    TOTALS,
    horizontal_story,
    manifest,
    registered,
)
from tests.unit.tlog.sample_log import Parties
from tests.unit.tlog.test_audit_commands import run
from veilscore.keys.errors import AuditError, ProofError
from veilscore.keys.tlog.evidence import steps, sums
from veilscore.keys.tlog.evidence.audit import EvidenceReport, audit_evidence
from veilscore.v1.audit_pb2 import Event, ModelRegistered, StepDone, SumMade
from veilscore.v1.training_pb2 import RosterEntry, RunContract

if TYPE_CHECKING:
    from veilscore.keys.tlog.evidence.steps import VerifiedEvents


def audited(
    folder: Path, parties: Parties, change: Change = lambda told: told
) -> EvidenceReport:
    made = Evidence(folder, parties, lambda _: change(horizontal_story()))
    try:
        return audit_evidence(made.of(RUN), policy=made.log.policy)
    finally:
        made.log.close()


def test_the_evidence_of_a_horizontal_run_passes(
    tmp_path: Path, parties: Parties
) -> None:
    facts = dict(audited(tmp_path, parties).facts)
    assert facts["kind"].startswith("horizontal")
    assert facts["parties"] == facts["approved by"] == "bank, bureau, market"
    assert facts["columns"] == "income, debt"
    assert facts["sums"] == "6, each of at least 3 of 3 members"
    assert facts["noise"].startswith("9.8 times")
    assert facts["privacy budget of bank"] == "epsilon 2.9 in all at delta 1e-05"
    assert "label holder" not in facts


def sum_of(number: int, made: SumMade, actor: str = "hub") -> Change:
    """Put another event in the place of a sum's."""

    def change(told: list[Said]) -> list[Said]:
        at = [isinstance(said.detail, SumMade) for said in told].index(True)
        place = at
        while not (
            isinstance(detail := told[place].detail, SumMade) and detail.round == number
        ):
            place += 1
        return [*told[:place], Said(actor, made, RUN), *told[place + 1 :]]

    return change


def made(**changed: object) -> SumMade:
    good = {"round": 4, "attempt": 1, "members": NODES, "total": TOTALS[3]}
    return SumMade(**(good | changed))  # type: ignore[arg-type] # fields by name


def step_of(actor: str, step: str, digest: bytes) -> Change:
    def change(told: list[Said]) -> list[Said]:
        done = StepDone(step=step, sent=bytes(32), sums=digest)
        return [
            Said(actor, done, RUN)
            if said.actor == actor
            and isinstance(said.detail, StepDone)
            and said.detail.step == step
            else said
            for said in told
        ]

    return change


def model_of(body: bytes) -> Change:
    def change(told: list[Said]) -> list[Said]:
        kept = [said for said in told if not isinstance(said.detail, ModelRegistered)]
        return [*kept[:-1], *registered(body), kept[-1]]

    return change


def without(kind: type, actor: str) -> Change:
    return lambda told: [
        said
        for said in told
        if not (isinstance(said.detail, kind) and said.actor == actor)
    ]


@pytest.mark.parametrize(
    ("change", "step", "what"),
    [
        (sum_of(4, made(), "bank"), sums.SUMS, "sum 5 stands where sum 4 should"),
        (sum_of(4, made(round=9)), sums.SUMS, "sum 9 stands where sum 4 should"),
        (sum_of(4, made(members=NODES[:2])), sums.SUMS, "fewer than 3"),
        (sum_of(4, made(members=[*NODES, "puppet"])), sums.SUMS, "other members"),
        (sum_of(4, made(members=[*NODES, "bank"])), sums.SUMS, "other members"),
        (sum_of(4, made(total=bytes(32))), sums.SUMS, "in step round-1 it was sent"),
        (step_of("bureau", "round-2", bytes(32)), sums.SUMS, "in step round-2 it was"),
        (step_of("bureau", "evaluate", b""), sums.SUMS, "not sent all sums"),
        (model_of(manifest(NODES[:2])), steps.MODEL, "fewer than 3 members"),
        (model_of(manifest(whole=False)), steps.MODEL, "another kind"),
        (without(ModelRegistered, "market"), steps.MODEL, "not registered the model"),
    ],
)
def test_what_is_wrong_with_a_horizontal_run_is_named(
    tmp_path: Path, parties: Parties, change: Change, step: str, what: str
) -> None:
    with pytest.raises(AuditError) as caught:
        audited(tmp_path, parties, change)
    assert caught.value.step == step
    assert what in caught.value.what


@dataclass
class SixMembers:
    """Verified events of a run among six, of whom the last leaves after two sums."""

    sent_to_the_last: bytes
    coordinator: str = "hub"
    names: tuple[str, ...] = tuple(f"county-{number}" for number in range(6))

    def own(self, kind: str) -> list[Event]:
        """Return three sums, each a step of its own, and what members say of them."""
        if kind == "sum_made":
            return [
                Event(actor="hub", sum_made=SumMade(
                    round=at + 1, attempt=1, total=TOTALS[at],
                    members=self.names if at < 2 else self.names[:-1],
                ))
                for at in range(3)
            ]  # fmt: skip
        sent = {
            (name, at): hashlib.sha256(TOTALS[at]).digest()
            for name in self.names
            for at in range(3 if name != self.names[-1] else 2)
        }
        sent[self.names[-1], 1] = self.sent_to_the_last
        return [
            Event(actor=name, step_done=StepDone(step=f"round-{at + 1}", sums=digest))
            for (name, at), digest in sent.items()
        ]

    def fact(self, what: str, told: str) -> None:
        """Take what is found out."""
        assert (what, told) == ("sums", "3, each of at least 4 of 6 members")


def test_what_a_member_that_left_was_sent_counts_too() -> None:
    honest = SixMembers(hashlib.sha256(TOTALS[1]).digest())
    contract = RunContract(
        roster=[RosterEntry(party=name) for name in honest.names], horizontal=TERMS
    )
    stayed = honest.names[:-1]
    sums.audit_sums(cast("VerifiedEvents", honest), contract, stayed)
    another = cast("VerifiedEvents", SixMembers(hashlib.sha256(b"another").digest()))
    with pytest.raises(ProofError, match="sent other sums") as caught:
        sums.audit_sums(another, contract, stayed)
    assert caught.value.party == honest.names[-1]


def test_an_auditor_takes_the_evidence_of_a_horizontal_run(
    tmp_path: Path, parties: Parties
) -> None:
    made = Evidence(tmp_path, parties, lambda _: horizontal_story())
    export, policy = tmp_path / "export", tmp_path / "log-policy.txt"
    for name, data in made.files.items():
        path = export / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    policy.write_text(made.log.policy_text())
    made.log.close()
    out = tmp_path / "evidence.json"
    taken = run("bundle", export, RUN, "--out", out, "--policy", policy)
    assert taken.exit_code == 0, taken.output
    assert "6, each of at least 3 of 3 members" in taken.output
    again = run("verify", out, "--policy", policy)
    assert again.exit_code == 0, again.output
