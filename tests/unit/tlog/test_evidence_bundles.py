"""Evidence bundles: honest ones pass, everything else fails at a named step."""

import json
import random
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.tlog.evidence_story import (
    HOLDERS,
    MODEL,
    QUERY,
    RUN,
    Change,
    Evidence,
    Said,
)
from tests.unit.tlog.published_log import MemoryExport
from tests.unit.tlog.sample_log import ORIGIN, Parties
from veilscore.keys.errors import AuditError, ProofError
from veilscore.keys.registry import Registry, Role
from veilscore.keys.tlog.audit import audit_export
from veilscore.keys.tlog.events import OpenedEvent
from veilscore.keys.tlog.evidence import audit, run, score, steps
from veilscore.keys.tlog.evidence.audit import EvidenceReport, audit_evidence
from veilscore.keys.tlog.evidence.bundle import EvidenceBundle
from veilscore.keys.tlog.export import log_document
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.note import NoteKey, sign_note, text_of
from veilscore.v1.audit_pb2 import (
    KeyPublished,
    ModelRegistered,
    PartyJoined,
    RunClosed,
    RunDecided,
    RunOpened,
    ScoreAnswered,
    ScoreDecided,
    ScoreRequested,
)


@pytest.fixture(scope="module")
def evidence(
    tmp_path_factory: pytest.TempPathFactory, parties: Parties
) -> Iterator[Evidence]:
    made = Evidence(tmp_path_factory.mktemp("evidence"), parties)
    yield made
    made.log.close()


@contextmanager
def changed(folder: Path, parties: Parties, change: Change) -> Generator[Evidence]:
    made = Evidence(folder, parties, change)
    yield made
    made.log.close()


def verified(evidence: Evidence, correlation: str) -> EvidenceReport:
    return audit_evidence(evidence.of(correlation), policy=evidence.log.policy)


def test_the_evidence_of_a_score_request_passes(evidence: Evidence) -> None:
    watched: list[str] = []
    report = audit_evidence(
        evidence.of(QUERY),
        policy=evidence.log.policy,
        watch=lambda step, _done, _total: watched.append(step),
    )
    assert (report.about, report.correlation) == ("score request", QUERY)
    assert report.witnesses == ("auditor", "bureau")
    assert report.size == evidence.log.store.size
    facts = dict(report.facts)
    assert facts["requester"] == "bank"
    assert facts["model"] == MODEL.hex()
    assert facts["made by run"] == RUN
    assert facts["Paillier key"] == "3072 bits, of bank"
    assert all(facts[holder].startswith("answered") for holder in HOLDERS)
    assert watched == [
        *(audit.HEAD, audit.WITNESSES, audit.INCLUSION, audit.PARTIES),
        *(audit.SIGNATURES, audit.JOINED),
        *(score.REQUEST, score.DECISIONS, steps.ENCRYPTION, steps.MODEL),
    ]
    assert report.remarks == ()


def test_the_evidence_of_a_run_passes(evidence: Evidence) -> None:
    report = verified(evidence, RUN)
    assert report.about == "training run"
    facts = dict(report.facts)
    assert facts["approved by"] == facts["parties"] == "bank, bureau, market"
    assert facts["Paillier keys, bits"] == "bank 3072, bureau 3072, market 3072"
    assert facts["ended"] == "with a model"


def test_a_bundle_holds_nothing_of_other_requests(evidence: Evidence) -> None:
    bundle = EvidenceBundle.parse(evidence.of(QUERY))
    assert len(bundle.events) < len(EvidenceBundle.parse(evidence.of(RUN)).events) + 5
    kinds = {event.opened.kind for event in bundle.events}
    assert "run_decided" not in kinds
    assert "run_closed" not in kinds


def test_without_a_pin_the_key_is_the_bundles_word(evidence: Evidence) -> None:
    assert len(audit_evidence(evidence.of(QUERY)).remarks) == 1
    fingerprint = evidence.log.parties.fingerprint
    assert audit_evidence(evidence.of(QUERY), fingerprint=fingerprint).remarks == ()
    with pytest.raises(AuditError, match="not the pinned one"):
        audit_evidence(evidence.of(QUERY), fingerprint=bytes(32))
    with pytest.raises(AuditError) as caught:
        audit_evidence(evidence.of(QUERY), policy=LogPolicy.parse(b"quorum none"))
    assert caught.value.step == audit.WITNESSES


def test_what_the_log_does_not_have_has_no_evidence(evidence: Evidence) -> None:
    with pytest.raises(ProofError, match="has no request or run"):
        evidence.of("00" * 16)


def test_one_changed_byte_is_noticed_anywhere(evidence: Evidence) -> None:
    """Each of some thousand bytes, by our error type and no other."""
    whole, policy = evidence.of(QUERY), evidence.log.policy
    draw = random.Random(11)
    for at in draw.sample(range(len(whole)), 400):
        data = bytearray(whole)
        data[at] ^= draw.randrange(1, 256)
        with pytest.raises(AuditError):
            audit_evidence(bytes(data), policy=policy)


def test_a_second_spelling_is_refused(evidence: Evidence) -> None:
    data = json.loads(evidence.of(QUERY))
    with pytest.raises(AuditError, match="second spelling"):
        audit_evidence(json.dumps(data).encode())
    data["events"][0]["path"] = data["events"][0]["path"][:-2]
    with pytest.raises(AuditError, match="cut off"):
        audit_evidence(json.dumps(data, indent=1).encode() + b"\n")
    data["format"] = 2
    with pytest.raises(AuditError, match="only format 1"):
        audit_evidence(json.dumps(data).encode())


def without(kind: type, actor: str) -> Change:
    """Let a party not say something."""
    return lambda told: [
        each
        for each in told
        if not (isinstance(each.detail, kind) and each.actor == actor)
    ]


def also(*said: Said) -> Change:
    """Let somebody say something more at the end."""
    return lambda told: [*told, *said]


def instead(kind: type, actor: str, change: Callable[[Said], Said]) -> Change:
    """Let a party say something else."""
    return lambda told: [
        change(each) if isinstance(each.detail, kind) and each.actor == actor else each
        for each in told
    ]


def answer(bits: int) -> Callable[[Said], Said]:
    detail = ScoreAnswered(commitment=bytes(32), ciphertexts=1, paillier_bits=bits)
    return lambda said: Said(said.actor, detail, said.correlation)


Kept = Callable[[OpenedEvent], bool]
ALLOWED = ScoreDecided(allowed=True, model=MODEL)
REFUSED = ScoreDecided(allowed=False, code="quota")


@pytest.mark.parametrize(
    ("change", "step", "what"),
    [
        (also(Said("bureau", ALLOWED, QUERY)), score.DECISIONS, "decided oddly"),
        (without(ScoreDecided, "market"), score.DECISIONS, "decided oddly"),
        (
            instead(
                ScoreDecided,
                "market",
                lambda _: Said("market", ScoreDecided(allowed=True), QUERY),
            ),
            score.DECISIONS,
            "another model",
        ),
        (instead(ScoreAnswered, "bureau", answer(1024)), steps.ENCRYPTION, "1024"),
        (instead(ScoreAnswered, "bureau", answer(2048)), steps.ENCRYPTION, "2048"),
        (without(KeyPublished, "bank"), steps.ENCRYPTION, "published no key"),
        (without(ModelRegistered, "market"), steps.MODEL, "not registered the model"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(
    tmp_path: Path, parties: Parties, change: Change, step: str, what: str
) -> None:
    with changed(tmp_path, parties, change) as evidence:
        with pytest.raises(AuditError, match=what) as caught:
            verified(evidence, QUERY)
        assert caught.value.step == step


def test_refusals_and_silence_are_told(tmp_path: Path, parties: Parties) -> None:
    def change(told: list[Said]) -> list[Said]:
        silent = without(ScoreDecided, "market")(without(ScoreAnswered, "market")(told))
        return [*silent, Said("bureau", REFUSED, QUERY)]  # its answer did not leave

    with changed(tmp_path, parties, change) as evidence:
        facts = dict(verified(evidence, QUERY).facts)
        assert facts["bureau"] == "refused: quota"
        assert facts["market"] == "no decision in this bundle"


def test_a_hosted_score_is_told_from_a_joint_one(
    tmp_path: Path, parties: Parties
) -> None:
    form = bytes(range(32))

    def change(told: list[Said]) -> list[Said]:
        asked = ScoreRequested(
            terms=bytes(32), model=form, purpose="pre_loan", holders=["bureau"]
        )
        decided = ScoreDecided(allowed=True, model=form)
        answered = answer(3072)(Said("bureau", decided, "ab" * 32))
        return [
            *told,
            Said("bank", asked, "ab" * 32),
            Said("bureau", decided, "ab" * 32),
            answered,
        ]

    with changed(tmp_path, parties, change) as evidence:
        facts = dict(verified(evidence, "ab" * 32).facts)
        assert "bureau may host it as a card" in facts["kind"]


@pytest.mark.parametrize(
    ("change", "step", "what"),
    [
        (without(RunDecided, "bureau"), run.APPROVALS, "did not approve"),
        (
            instead(
                RunDecided,
                "bureau",
                lambda _: Said("bureau", RunDecided(approved=True), RUN),
            ),
            run.APPROVALS,
            "did not approve this contract",
        ),
        (without(ModelRegistered, "bank"), steps.MODEL, "not registered the model"),
        (without(RunClosed, "hub"), run.END, "0 events of the end"),
        (without(KeyPublished, "market"), steps.ENCRYPTION, "a key of 0 bits"),
    ],
)
def test_what_is_wrong_with_a_run_is_named(
    tmp_path: Path, parties: Parties, change: Change, step: str, what: str
) -> None:
    with changed(tmp_path, parties, change) as evidence:
        with pytest.raises(AuditError, match=what) as caught:
            verified(evidence, RUN)
        assert caught.value.step == step


OTHER_MODEL = ModelRegistered(model=MODEL, manifest=b"\xff")
STRANGERS: dict[str, Change] = {
    "a joined party": also(Said("market", PartyJoined(party="hub"))),
    "a model": also(
        Said("market", ModelRegistered(model=MODEL, manifest=b"\xff"), RUN)
    ),
    "a model without manifest": also(Said("market", ModelRegistered(model=MODEL), RUN)),
    "a request": also(Said("market", ScoreRequested(model=MODEL), QUERY)),
    "a run of the request": also(Said("market", RunOpened(), QUERY)),
    "a run": lambda told: [Said("market", RunOpened(), RUN), *told],
    "an end": also(Said("market", RunClosed(completed=True), RUN)),
    "a decision": also(Said("hub", ALLOWED, QUERY)),
}


@pytest.mark.parametrize("change", STRANGERS.values(), ids=STRANGERS)
def test_no_stranger_spoils_the_evidence_of_others(
    tmp_path: Path,
    parties: Parties,
    change: Change,
    evidence: Evidence,
    request: pytest.FixtureRequest,
) -> None:
    """Any party may write events of any kind, and about any request."""
    with changed(tmp_path, parties, change) as spoilt:
        assert verified(spoilt, QUERY).facts == verified(evidence, QUERY).facts
        if "model" not in request.node.callspec.id:  # in its own run that is news
            assert verified(spoilt, RUN).facts == verified(evidence, RUN).facts


def with_events(evidence: Evidence, correlation: str, kept: Kept) -> bytes:
    """Return a bundle of which somebody has left out events."""
    bundle = EvidenceBundle.parse(evidence.of(correlation))
    events = tuple(event for event in bundle.events if kept(event.opened))
    return replace(bundle, events=events).data


def test_what_was_left_out_of_a_bundle_is_not_said(evidence: Evidence) -> None:
    policy = evidence.log.policy
    alone = with_events(evidence, QUERY, lambda each: each.event.actor != "market")
    with pytest.raises(AuditError, match="not registered the model"):
        audit_evidence(alone, policy=policy)
    silent = with_events(
        evidence,
        QUERY,
        lambda each: not each.kind.startswith("score_") or each.event.actor != "market",
    )
    facts = dict(audit_evidence(silent, policy=policy).facts)
    assert facts["market"] == "no decision in this bundle"
    for kind in ("score_requested", "key_published", "party_joined", "run_opened"):
        data = with_events(evidence, QUERY, lambda each, kind=kind: each.kind != kind)  # type: ignore[misc]
        with pytest.raises(AuditError):
            audit_evidence(data, policy=policy)


def test_a_second_signature_on_the_checkpoint_gives_nobody_a_log(
    evidence: Evidence,
) -> None:
    """A party signs the true checkpoint too, and a registry of its own."""
    log = evidence.log
    bank = log.parties.signers["bank"]
    true = EvidenceBundle.parse(evidence.of(QUERY))
    text = text_of(true.checkpoint)
    line = sign_note(text, ORIGIN, bank).removeprefix(f"{text}\n")
    records = [
        replace(each, roles=frozenset({Role.COORDINATOR}))
        if each.name == "bank"
        else replace(each, roles=each.roles - {Role.COORDINATOR})
        for each in log.parties.registry.records
    ]
    forged = replace(
        true,
        log=NoteKey(ORIGIN, bank.verify_key),
        checkpoint=true.checkpoint + line,
        registry=Registry.sign(records, bank, 1),
    )
    with pytest.raises(AuditError, match="not under this key") as caught:
        audit_evidence(forged.data, policy=log.policy)
    assert caught.value.step == audit.WITNESSES
    files = MemoryExport(evidence.files)
    files["log.v1.json"] = log_document(forged.log)
    files["checkpoint"] = forged.checkpoint.encode()
    files["registry.json"] = forged.registry
    with pytest.raises(AuditError, match="not under this key"):
        audit_export(files, policy=log.policy)


def test_a_stopped_run_has_evidence_too(tmp_path: Path, parties: Parties) -> None:
    stopped = RunClosed(completed=False, party="market", reason="lost in step rows")

    def change(told: list[Said]) -> list[Said]:
        kept = [each for each in told if not isinstance(each.detail, ModelRegistered)]
        return instead(RunClosed, "hub", lambda _: Said("hub", stopped, RUN))(kept)

    with changed(tmp_path, parties, change) as evidence:
        facts = dict(verified(evidence, RUN).facts)
        assert facts["ended"] == "stopped: lost in step rows"
