"""A horizontal run that makes a model, as events of a log."""

import hashlib

from tests.unit.tlog.evidence_story import NODES, RUN, Said
from veilscore.v1.audit_pb2 import (
    ModelRegistered,
    PrivacySpent,
    RunClosed,
    RunDecided,
    RunOpened,
    StepDone,
    SumMade,
)
from veilscore.v1.score_pb2 import CardEntry, ModelManifest
from veilscore.v1.training_pb2 import (
    HorizontalPrivacy,
    HorizontalTerms,
    JointColumn,
    RosterEntry,
    RunContract,
)

TERMS = HorizontalTerms(
    columns=[JointColumn(name="income"), JointColumn(name="debt")],
    rounds=2,
    colluding=1,
    privacy=HorizontalPrivacy(clip=1, noise=9.8, count_noise=4.4),
)
BODY = RunContract(
    run=RUN,
    roster=[RosterEntry(party=name, fingerprint=bytes(32)) for name in NODES],
    horizontal=TERMS,
).SerializeToString(deterministic=True)
CONTRACT = hashlib.sha256(BODY).digest()
STEPS = {"join": 0, "bins": 3, "round-1": 1, "round-2": 1, "evaluate": 1, "register": 0}
TOTALS = [hashlib.sha256(bytes([at])).digest() for at in range(6)]


def manifest(holders: tuple[str, ...] = NODES, *, whole: bool = True) -> bytes:
    cards = [
        CardEntry(party=name, card=bytes(32), max_abs_points=9) for name in holders
    ]
    made = ModelManifest(run=RUN, contract=CONTRACT, cards=cards, whole=whole)
    return made.SerializeToString(deterministic=True)


def registered(body: bytes) -> list[Said]:
    model = hashlib.sha256(body).digest()
    said = ModelRegistered(model=model, manifest=body)
    return [Said(name, said, RUN) for name in NODES]


def horizontal_story() -> list[Said]:
    """Return what honest parties say."""
    told = [
        Said("hub", RunOpened(contract=CONTRACT, contract_body=BODY), RUN),
        *(
            Said(name, RunDecided(contract=CONTRACT, approved=True), RUN)
            for name in NODES
        ),
        *(Said(name, PrivacySpent(epsilon=2.9, delta=1e-5), RUN) for name in NODES),
    ]
    at = 0
    for step, sums in STEPS.items():
        made = TOTALS[at : at + sums]
        for total in made:
            at += 1
            said = SumMade(round=at, attempt=1, members=NODES, total=total)
            told.append(Said("hub", said, RUN))
        digest = hashlib.sha256(b"".join(made)).digest() if made else b""
        done = StepDone(step=step, sent=bytes(32), sums=digest)
        told += [Said(name, done, RUN) for name in NODES]
    return [*told, *registered(manifest()), Said("hub", RunClosed(completed=True), RUN)]
