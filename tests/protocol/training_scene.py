"""A bank's training desk with real keys, log, ledgers and policy, and no peers.

It can be killed and started again from what is on disk, and its clock set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.protocol.score_world import START, Node, People, World
from tests.sample_contract import sample_contract
from veilscore.node.columns import CategoryColumn, Columns, NumericColumn
from veilscore.node.entities import Entities
from veilscore.node.training.desk import StoppedRun, TrainingDesk
from veilscore.node.training.horizontal_estimate import LearningSpeed
from veilscore.node.training.host_speed import HostSpeed
from veilscore.node.training.ledger import RunLedger
from veilscore.node.training.policy import TrainingSettings
from veilscore.node.training.privacy_budget import PrivacyBudget
from veilscore.node.training.surroundings import Surroundings
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.training_pb2 import (
    HorizontalPrivacy,
    HorizontalTerms,
    JointColumn,
    RunContract,
    StepRequest,
)

MEMBERS = ("bank", "bureau", "market")
SPEED = HostSpeed(1e-4, 1e-3, 1e-2, 1e-5)
LEARNING = LearningSpeed(1e-4, 1e-7)
# Three of such runs are (2, 1e-5)-private together, four are not.
NOISE = HorizontalPrivacy(clip=1.0, noise=25.0, count_noise=12.0)


def loans(rows: int = 400) -> Columns:
    """Return a member's table: labels of all rows, a quarter held out."""
    draw = np.random.default_rng(7)
    crops = draw.integers(0, 2, rows, np.int32)
    return Columns(
        ids=Entities.of([f"X:farm {number:05}" for number in range(rows)]),
        features=(
            NumericColumn("area", draw.normal(3, 1, rows)),
            CategoryColumn("crop", crops, ("rice", "tea")),
        ),
        labels=draw.integers(0, 2, rows, np.int8),
        holdout=np.arange(rows) % 4 == 0,
    )


def horizontal_contract(
    prints: Mapping[str, bytes],
    run: str,
    privacy: HorizontalPrivacy | None = None,
    **terms: Any,  # noqa: ANN401 - fields of HorizontalTerms
) -> RunContract:
    """Return a contract that members agree to; ``terms`` change what it is about."""
    asked: dict[str, Any] = {
        "columns": [
            JointColumn(name="area"),
            JointColumn(name="crop", text=True, levels=["rice", "tea"]),
        ],
        "optimizer": "adam",
        "rounds": 40,
        "local_epochs": 1,
        "batch": 128,
        "local_rate": 0.05,
        "server_rate": 0.3,
        "decay": True,
        "momentum": 0.8,
        "second_momentum": 0.95,
        "adaptivity": 1e-4,
        "ridge": 10.0,
        "longest_change": 2.0,
        "colluding": 1,
        "own": "intercept",
        "pull": 100.0,
    }
    made = sample_contract(MEMBERS, prints, run=run, label_holder="")
    made.horizontal.CopyFrom(HorizontalTerms(**(asked | terms), privacy=privacy))
    return made


@dataclass
class TrainingScene:
    """The desk of one node; ``open`` starts it from what is on disk."""

    hub: World
    people: People
    runs: Path
    settings: TrainingSettings
    source: Columns = field(default_factory=loans)
    now: float = START
    keys: list[SignedKey] = field(default_factory=list[SignedKey])

    def __post_init__(self) -> None:
        self.node: Node = self.hub.node("bank")
        self.open()

    def open(self) -> None:
        """Make the desk, its ledgers and its budget."""
        node, settings = self.node, self.settings
        self.ledger = RunLedger(self.runs, settings.runs_a_day)
        self.budget = PrivacyBudget(
            "bank", settings.privacy, node.database, node.receipts
        )
        self.desk = TrainingDesk(
            settings,
            self.surroundings,
            node.shelf,
            self.ledger,
            node.receipts,
            lambda _kind, _run, _step: None,
            lambda: SPEED,
            self.budget,
            node.incidents,
            self.clock,
        )
        self.desk.approvals.learning_speed = lambda: LEARNING

    def restart(self, settings: TrainingSettings | None = None) -> None:
        """Lose all that is not on disk, and begin again."""
        self.node.crash()
        self.ledger.close()
        self.settings = settings or self.settings
        self.node.open()
        self.open()

    def surroundings(self) -> Surroundings:
        return Surroundings(
            party="bank",
            coordinator="hub",
            signer=self.people.signers["bank"],
            registry=self.people.registry,
            private_key=self.people.paillier["bank"],
            workers=self.node.workers,
            source=self.source,
            send=lambda _party, _data: None,
            publish=self.keys.append,
            directory=lambda _purpose: self.keys,
            clock=self.clock,
            step_timeout_s=1.0,
            min_rows=self.settings.min_rows,
        )

    def clock(self) -> float:
        return self.now

    def contract(
        self,
        run: str,
        privacy: HorizontalPrivacy | None = NOISE,
        **terms: Any,  # noqa: ANN401 - fields of HorizontalTerms
    ) -> RunContract:
        prints = self.people.registry.fingerprints()
        return horizontal_contract(prints, run, privacy, **terms)

    def step(self, name: str, run: str, contract: bytes = b"") -> None:
        request = StepRequest(contract=contract)
        self.desk.handle(run, name, request.SerializeToString(), "message")

    def join(self, contract: RunContract) -> None:
        body = contract.SerializeToString(deterministic=True)
        self.step("join", contract.run, body)

    def stopped(self) -> StoppedRun:
        stopped = self.desk.stopped()
        assert stopped
        return stopped
