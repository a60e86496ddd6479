"""A run that makes a model and a score request that uses it, as events of a log.

Tests change what a party says, and see whether the evidence notices.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.unit.tlog.published_log import MemoryExport
from tests.unit.tlog.sample_log import NOW_MS, Parties
from tests.unit.tlog.witnessed_log import WitnessedLog
from veilscore.keys.tlog.events import Detail
from veilscore.keys.tlog.evidence.bundle import EvidenceBundle
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
from veilscore.v1.score_pb2 import CardEntry, ModelManifest
from veilscore.v1.training_pb2 import RosterEntry, RunContract

RUN, QUERY = "5a" * 16, "c3" * 32
NODES = ("bank", "bureau", "market")
HOLDERS = ("bureau", "market")


@dataclass(frozen=True)
class Said:
    """One event before it is signed."""

    actor: str
    detail: Detail
    correlation: str = ""


def contract() -> bytes:
    roster = [RosterEntry(party=name, fingerprint=bytes(32)) for name in NODES]
    made = RunContract(run=RUN, roster=roster, label_holder="bank", key_bits=2048)
    return made.SerializeToString(deterministic=True)


CONTRACT = hashlib.sha256(contract()).digest()
MANIFEST = ModelManifest(
    run=RUN,
    contract=CONTRACT,
    cards=[CardEntry(party=name, card=bytes(32), max_abs_points=9) for name in NODES],
).SerializeToString(deterministic=True)
MODEL = hashlib.sha256(MANIFEST).digest()


def story() -> list[Said]:
    """Return what honest parties say."""
    key = KeyPublished(purpose="score", digest=bytes(32), paillier_bits=3072)
    of_run = KeyPublished(purpose=f"run:{RUN}", digest=bytes(32), paillier_bits=3072)
    approved = RunDecided(contract=CONTRACT, approved=True)
    allowed = ScoreDecided(allowed=True, model=MODEL)
    requested = ScoreRequested(
        terms=bytes(32),
        model=MODEL,
        purpose="pre_loan",
        holders=HOLDERS,
        entities_bucket=4,
        entities=bytes(32),
    )
    return [
        *(Said(name, key) for name in NODES),
        Said("hub", RunOpened(contract=CONTRACT, contract_body=contract()), RUN),
        *(Said(name, approved, RUN) for name in NODES),
        *(Said(name, of_run, RUN) for name in NODES),
        *(
            Said(name, ModelRegistered(model=MODEL, manifest=MANIFEST), RUN)
            for name in NODES
        ),
        Said("hub", RunClosed(completed=True), RUN),
        Said("bank", requested, QUERY),
        *(Said(name, allowed, QUERY) for name in HOLDERS),
        *(
            Said(
                name,
                ScoreAnswered(commitment=bytes(32), ciphertexts=1, paillier_bits=3072),
                QUERY,
            )
            for name in HOLDERS
        ),
    ]


Change = Callable[[list[Said]], list[Said]]


class Evidence:
    """A witnessed log of a story, and the bundles that are taken from its export."""

    def __init__(
        self, folder: Path, parties: Parties, change: Change = lambda told: told
    ) -> None:
        self.log = WitnessedLog(folder, parties)
        self.log.announce()
        for said in change(story()):
            event = parties.event(
                said.actor,
                self.log.store.head(said.actor),
                said.detail,
                correlation=said.correlation,
                time_ms=NOW_MS,
            )
            self.log.service.append([event.leaf])
        self.log.cosign(0)
        self.files = MemoryExport(self.log.files())

    def of(self, correlation: str) -> bytes:
        return EvidenceBundle.gather(self.files, correlation).data
