"""Evidence bundles: honest ones pass, everything else fails at a named step."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from tests.unit.tlog.sample_log import Parties
from veilscore.keys.errors import AuditError, ProofError
from veilscore.keys.tlog.evidence import audit, run, score, steps
from veilscore.keys.tlog.evidence.audit import EvidenceReport, audit_evidence
from veilscore.keys.tlog.evidence.bundle import EvidenceBundle
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.v1.audit_pb2 import (
    KeyPublished,
    ModelRegistered,
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
def changed(folder: Path, parties: Parties, change: Change) -> Iterator[Evidence]:
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
    with pytest.raises(ProofError, match="has no event of"):
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


ALLOWED = ScoreDecided(allowed=True, model=MODEL)
REFUSED = ScoreDecided(allowed=False, code="quota")


@pytest.mark.parametrize(
    ("change", "step", "what"),
    [
        (also(Said("hub", ALLOWED, QUERY)), score.DECISIONS, "it was not asked"),
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
        (
            also(Said("bank", ScoreRequested(model=MODEL), QUERY)),
            score.REQUEST,
            "2 events of the request",
        ),
        (instead(ScoreAnswered, "bureau", answer(1024)), steps.ENCRYPTION, "1024"),
        (instead(ScoreAnswered, "bureau", answer(2048)), steps.ENCRYPTION, "2048"),
        (
            lambda told: [
                each for each in told if not isinstance(each.detail, KeyPublished)
            ],
            steps.ENCRYPTION,
            "published no key",
        ),
        (without(ModelRegistered, "market"), steps.MODEL, "not registered the model"),
        (
            instead(
                ModelRegistered,
                "market",
                lambda _: Said(
                    "market", ModelRegistered(model=MODEL, manifest=b"x"), RUN
                ),
            ),
            steps.MODEL,
            "registered another model|not decodable",
        ),
        (without(RunOpened, "hub"), steps.MODEL, "0 events of the run of the model"),
        (
            instead(
                RunOpened,
                "hub",
                lambda _: Said("hub", RunOpened(contract=bytes(32)), RUN),
            ),
            steps.MODEL,
            "not the one whose hash was logged",
        ),
    ],
)
def test_what_is_wrong_with_a_request_is_named(
    tmp_path: Path, parties: Parties, change: Change, step: str, what: str
) -> None:
    with changed(tmp_path, parties, change) as evidence:
        try:
            data = evidence.of(QUERY)
        except ProofError as error:  # a manifest that cannot even be looked into
            assert "not decodable" in error.what  # noqa: PT017 - either is right
            return
        with pytest.raises(AuditError, match=what) as caught:
            audit_evidence(data, policy=evidence.log.policy)
        assert caught.value.step == step


def test_refusals_and_silence_are_told(tmp_path: Path, parties: Parties) -> None:
    def change(told: list[Said]) -> list[Said]:
        silent = without(ScoreDecided, "market")(without(ScoreAnswered, "market")(told))
        return [*silent, Said("bureau", REFUSED, QUERY)]  # its answer did not leave

    with changed(tmp_path, parties, change) as evidence:
        facts = dict(verified(evidence, QUERY).facts)
        assert facts["bureau"] == "refused: quota"
        assert facts["market"] == "did not decide"


def test_a_hosted_score_is_told_from_a_joint_one(
    tmp_path: Path, parties: Parties
) -> None:
    form = bytes(range(32))

    def change(told: list[Said]) -> list[Said]:
        asked = ScoreRequested(
            commitment=bytes(32), model=form, purpose="pre_loan", holders=["bureau"]
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
        assert facts["kind"].startswith("a hosted card of bureau")


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
        (also(Said("bank", RunClosed(completed=True), RUN)), run.END, "2 events"),
        (
            lambda told: [
                each
                for each in told
                if not (
                    each.actor == "market" and isinstance(each.detail, KeyPublished)
                )
            ],
            steps.ENCRYPTION,
            "a key of 0 bits",
        ),
    ],
)
def test_what_is_wrong_with_a_run_is_named(
    tmp_path: Path, parties: Parties, change: Change, step: str, what: str
) -> None:
    with changed(tmp_path, parties, change) as evidence:
        with pytest.raises(AuditError, match=what) as caught:
            verified(evidence, RUN)
        assert caught.value.step == step


def test_a_stopped_run_has_evidence_too(tmp_path: Path, parties: Parties) -> None:
    stopped = RunClosed(completed=False, party="market", reason="lost in step rows")

    def change(told: list[Said]) -> list[Said]:
        kept = [each for each in told if not isinstance(each.detail, ModelRegistered)]
        return instead(RunClosed, "hub", lambda _: Said("hub", stopped, RUN))(kept)

    with changed(tmp_path, parties, change) as evidence:
        facts = dict(verified(evidence, RUN).facts)
        assert facts["ended"] == "stopped: lost in step rows"
