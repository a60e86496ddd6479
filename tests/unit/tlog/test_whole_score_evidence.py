"""Evidence of a score of a whole model: one member's card, of a run that lost one."""

import hashlib
from datetime import date
from pathlib import Path

import pytest

from tests.unit.tlog.evidence_story import QUERY, RUN, Evidence, Said
from tests.unit.tlog.horizontal_story import TERMS
from tests.unit.tlog.sample_log import Parties
from veilscore.keys.errors import AuditError
from veilscore.keys.identity import Signer
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.keys.tlog.evidence import steps
from veilscore.keys.tlog.evidence.audit import audit_evidence
from veilscore.v1.audit_pb2 import (
    KeyPublished,
    ModelRegistered,
    RunClosed,
    RunOpened,
    ScoreAnswered,
    ScoreDecided,
    ScoreRequested,
)
from veilscore.v1.score_pb2 import CardEntry, ModelManifest
from veilscore.v1.training_pb2 import RosterEntry, RunContract

MEMBERS = ("bank", "bureau", "county", "market", "museum", "province")
LOST = "museum"
LEFT = tuple(name for name in MEMBERS if name != LOST)
BODY = RunContract(
    run=RUN,
    roster=[RosterEntry(party=name, fingerprint=bytes(32)) for name in MEMBERS],
    horizontal=TERMS,
).SerializeToString(deterministic=True)
CONTRACT = hashlib.sha256(BODY).digest()


@pytest.fixture(scope="module")
def federation() -> Parties:
    signers = {name: Signer.generate() for name in ("hub", *MEMBERS)}
    holder = frozenset({Role.DATA_HOLDER, Role.REQUESTER})
    records = [
        PartyRecord(
            name,
            frozenset({Role.COORDINATOR}) if name == "hub" else holder,
            signers[name].verify_key,
            "",
            date(2026, 3, 1),
        )
        for name in sorted(signers)
    ]
    file = Registry.sign(records, signers["hub"], 1)
    fingerprint = signers["hub"].verify_key.fingerprint
    return Parties(signers, Registry.load(file, fingerprint), file)


def story(
    asked: tuple[str, ...], holders: tuple[str, ...], registered: tuple[str, ...]
) -> list[Said]:
    """Return a run with the cards of ``holders``, and a request to ``asked``."""
    cards = [
        CardEntry(party=name, card=bytes(32), max_abs_points=9) for name in holders
    ]
    made = ModelManifest(run=RUN, contract=CONTRACT, cards=cards, whole=True)
    manifest = made.SerializeToString(deterministic=True)
    model = hashlib.sha256(manifest).digest()
    key = KeyPublished(purpose="score", digest=bytes(32), paillier_bits=3072)
    requested = ScoreRequested(
        terms=bytes(32),
        model=model,
        purpose="pre_loan",
        holders=asked,
        entities_bucket=4,
        entities=bytes(32),
    )
    answered = ScoreAnswered(commitment=bytes(32), ciphertexts=1, paillier_bits=3072)
    return [
        Said("bank", key),
        Said("hub", RunOpened(contract=CONTRACT, contract_body=BODY), RUN),
        *(
            Said(name, ModelRegistered(model=model, manifest=manifest), RUN)
            for name in registered
        ),
        Said("hub", RunClosed(completed=True), RUN),
        Said("bank", requested, QUERY),
        *(Said(name, ScoreDecided(allowed=True, model=model), QUERY) for name in asked),
        *(Said(name, answered, QUERY) for name in asked),
    ]


def facts_of(
    folder: Path,
    federation: Parties,
    asked: tuple[str, ...] = ("market",),
    holders: tuple[str, ...] = LEFT,
    registered: tuple[str, ...] = LEFT,
) -> dict[str, str]:
    made = Evidence(folder, federation, lambda _: story(asked, holders, registered))
    try:
        return dict(audit_evidence(made.of(QUERY), policy=made.log.policy).facts)
    finally:
        made.log.close()


def test_a_score_of_a_run_that_lost_a_member_passes(
    tmp_path: Path, federation: Parties
) -> None:
    facts = facts_of(tmp_path, federation)
    assert facts["made by run"] == RUN
    assert facts["market"].startswith("answered")


@pytest.mark.parametrize(
    ("asked", "holders", "registered", "what"),
    [
        (("bureau", "market"), LEFT, LEFT, "asked of one holder"),
        ((LOST,), LEFT, LEFT, "has no part of the model"),
        (("market",), LEFT, LEFT[:-1], "not registered the model"),
        (("market",), MEMBERS, LEFT, "not registered the model"),
        (("market",), LEFT[1:4], LEFT[1:4], "fewer than 4 members"),
    ],
)
def test_what_is_wrong_with_its_model_is_named(
    tmp_path: Path,
    federation: Parties,
    asked: tuple[str, ...],
    holders: tuple[str, ...],
    registered: tuple[str, ...],
    what: str,
) -> None:
    with pytest.raises(AuditError) as caught:
        facts_of(tmp_path, federation, asked, holders, registered)
    assert caught.value.step == steps.MODEL
    assert what in caught.value.what
