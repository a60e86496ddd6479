"""A node with realistic figures that serves pages and nothing else."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from tests.sample_contract import sample_contract
from tests.unit.web.sample_records import SampleRecords
from veilscore.fault import Fault
from veilscore.keys.entity_ids import EntityKind, complete_uscc, normalise
from veilscore.models.evaluation import Evaluation
from veilscore.models.hosted import Form
from veilscore.models.steps import steps
from veilscore.node.log.recon_state import Difference
from veilscore.node.scoring.answers import Scores
from veilscore.node.scoring.requester import EntityScore
from veilscore.node.web.app import node_app
from veilscore.node.web.face import (
    BudgetState,
    LinkState,
    LoggedEvent,
    ModelState,
    NodeStatus,
    PendingRun,
    Reconciled,
    RunState,
    ScoreReply,
    SourceState,
    Unready,
)
from veilscore.runtime.web.shell import WebApp
from veilscore.runtime.web.tokens import AccessToken
from veilscore.v1.training_pb2 import (
    HorizontalPrivacy,
    HorizontalTerms,
    JointColumn,
    RosterEntry,
    RunContract,
)

TOKEN = "node-token-" + "x" * 32
NOW_MS = 1_790_000_000_000
RUN = "5f3a9c0d7be24418a6c1f0e2d9b84c37"
FIRMS = [complete_uscc(f"9150010{number}MA5U8K2C") for number in range(3)]


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def request_id(number: int) -> str:
    """Return the id of that request, counted from 1."""
    return digest(f"request {number}").hex()


def contract(run: str = RUN) -> RunContract:
    names = ("agri-bureau", "bank-yuzhong", "market-office")
    return sample_contract(
        names,
        {name: digest(name) for name in names},
        run=run,
        label_holder="bank-yuzhong",
        key_bits=3072,
        min_count=20,
        polish_steps=2,
        polish_noise=0.25,
        max_rows=200_000,
    )


def horizontal_contract(members: int = 8) -> RunContract:
    """Return the contract of a horizontal run of so many counties, with noise."""
    names = sorted(["bank-yuzhong", *(f"bank-{at}" for at in range(members - 1))])
    made = contract("9b" * 16)
    del made.roster[:]
    made.roster.extend(
        RosterEntry(party=name, fingerprint=digest(name)) for name in names
    )
    return RunContract(
        run=made.run,
        roster=made.roster,
        min_count=5,
        max_rows=50_000,
        base_points=600,
        base_odds=20,
        points_to_double_odds=40,
        granularity=1,
        horizontal=HorizontalTerms(
            columns=[
                JointColumn(name="annual_income"),
                JointColumn(name="debt_ratio"),
                JointColumn(
                    name="industry", text=True, levels=["farming", "trade", "services"]
                ),
            ],
            optimizer="adam",
            rounds=40,
            local_epochs=1,
            batch=128,
            local_rate=0.05,
            server_rate=0.3,
            decay=True,
            momentum=0.8,
            second_momentum=0.95,
            adaptivity=1e-4,
            ridge=10,
            longest_change=2,
            colluding=1,
            own="intercept",
            pull=100,
            privacy=HorizontalPrivacy(clip=1.0, noise=9.833, count_noise=4.398),
        ),
    )


def full_status() -> NodeStatus:
    pending = contract("c1d2e3f4a5b60718293a4b5c6d7e8f90")
    return NodeStatus(
        party="bank-yuzhong",
        version="0.1.0",
        now_ms=NOW_MS,
        link=LinkState(
            connected=True,
            since_ms=NOW_MS - 3 * 3_600_000,
            coordinator="hub.credit.example:9443",
        ),
        supernode_online=True,
        certificate_days=61,
        unwitnessed=2,
        reconciled=Reconciled(at_ms=NOW_MS - 7_200_000, entries=4712),
        source=SourceState(
            name="loans-2026q3",
            rows=128_450,
            columns=23,
            rejected=0,
            as_of="2026-09-30",
        ),
        models=(
            ModelState(
                digest("joint"),
                RUN,
                NOW_MS - 86_400_000,
                Evaluation(
                    aligned=128_392,
                    learned=102_760,
                    rows=25_690,
                    on_holdout=True,
                    auc=0.7769,
                    ks=0.4212,
                    brier=0.1371,
                    alone_auc=0.7184,
                    alone_ks=0.3306,
                    calibration_intercept=-0.0312,
                    calibration_slope=1.0415,
                ),
            ),
            ModelState(digest("peer's"), "77" * 16, NOW_MS - 9 * 86_400_000, None),
            ModelState(
                digest("others'"),
                "78" * 16,
                NOW_MS - 10 * 86_400_000,
                None,
                ("county-1", "county-2", "county-3"),
                whole=True,
            ),
        ),
        run=RunState(
            run=RUN,
            steps=tuple(steps(contract())),
            step="moments",
            fraction=0.42,
            started_ms=NOW_MS - 95_000,
        ),
        pending=(
            PendingRun(
                pending,
                digest("pending"),
                proposed_ms=NOW_MS - 600_000,
                work_ms=754_000,
                sent_bytes=1_340_000_000,
            ),
        ),
        hosted=(
            BudgetState("farm-credit", "bank-fuling", 48_012, 60_000, 2_431),
            BudgetState("farm-credit", "bank-wanzhou", 0, 60_000, 2_431),
        ),
        events=(
            LoggedEvent(None, NOW_MS - 1_000, "score_requested", digest("q").hex()),
            LoggedEvent(4711, NOW_MS - 20_000, "step_done", RUN),
            LoggedEvent(4702, NOW_MS - 60_000, "step_done", RUN),
            LoggedEvent(4690, NOW_MS - 90_000, "run_decided", RUN),
            LoggedEvent(4688, NOW_MS - 3 * 3_600_000, "started", ""),
        ),
    )


def disagreeing() -> Reconciled:
    """Return what a node shows that found two differences and an incident."""
    return Reconciled(
        at_ms=NOW_MS - 7_200_000,
        entries=4712,
        found=2,
        differences=(
            Difference("unanswered", 4650, "agri-bureau did not decide", RUN),
            Difference("fork", 0, "the log shrank from 4712 to 4700 entries"),
        ),
    )


def empty_status() -> NodeStatus:
    return NodeStatus(
        party="bank-yuzhong",
        version="0.1.0",
        now_ms=NOW_MS,
        link=LinkState(
            connected=False,
            since_ms=NOW_MS - 65_000,
            coordinator="hub.credit.example:9443",
            detail="the certificate has expired",
        ),
        supernode_online=False,
        certificate_days=0,
    )


class SampleNode:
    """What the pages asked of it is kept; ``fault`` is raised instead of answers.

    Of ``unscored`` ids it says that a data holder does not know them. ``at_home`` is
    whether it scores by a card of its own.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.current = full_status()
        self.reasons: list[Unready] = []
        self.decisions: list[tuple[str, ...]] = []
        self.asked: list[tuple[list[tuple[EntityKind, str]], bytes | None, str]] = []
        self.holders: list[str | None] = []
        self.at_home = False
        self.manifests: list[bytes] = []
        self.consents: list[str] = []
        self.asked_hosted: list[tuple[Form, list[list[int]], str]] = []
        self.fault: Exception | None = None
        self.unscored: set[str] = set()
        self.kept = SampleRecords()

    def status(self) -> NodeStatus:
        return self.current

    def ready(self) -> Sequence[Unready]:
        return self.reasons

    def ask(
        self,
        entities: Sequence[tuple[EntityKind, str]],
        model: bytes | None,
        holder: str | None,
        purpose: str,
        consent: str,
    ) -> ScoreReply:
        if self.fault:
            raise self.fault
        self.holders.append(holder)
        self.asked.append((list(entities), model, purpose))
        self.consents.append(consent)
        scores = [
            EntityScore(normalise(kind, name), None, None, known=False)
            if name in self.unscored
            else EntityScore(
                normalise(kind, name), 612 - at, 0.031 + at / 100, at % 2 == 0
            )
            for at, (kind, name) in enumerate(entities)
        ]
        request = "" if self.at_home else self._request()
        return ScoreReply(model or digest("joint"), Scores(request, scores))

    def add_model(self, manifest: bytes) -> ModelState:
        if self.fault:
            raise self.fault
        self.manifests.append(manifest)
        holders = ("bank-fuling", "bank-wanzhou")
        hashed = hashlib.sha256(manifest).digest()
        return ModelState(hashed, RUN, NOW_MS, None, holders, whole=True)

    def ask_hosted(
        self, form: Form, rows: Sequence[Sequence[int]], purpose: str, consent: str
    ) -> Scores[int | float]:
        if self.fault:
            raise self.fault
        self.asked_hosted.append((form, [list(row) for row in rows], purpose))
        self.consents.append(consent)
        scores = [form.score(500 - at) for at in range(len(rows))]
        return Scores(self._request(), scores)

    def _request(self) -> str:
        return request_id(len(self.consents))

    @property
    def records(self) -> SampleRecords:
        if self.fault:
            raise self.fault
        return self.kept

    def approve(self, run: str) -> None:
        self._decide(("approve", run))

    def refuse(self, run: str, reason: str) -> None:
        self._decide(("refuse", run, reason))

    def _decide(self, decision: tuple[str, ...]) -> None:
        if self.fault:
            raise self.fault
        self.decisions.append(decision)
        self.current = replace(self.current, pending=())


def sample_node_app(node: SampleNode) -> WebApp:
    token = AccessToken(TOKEN)
    return node_app(node, token, party="bank-yuzhong", version="0.1.0")


class OwnFault(Fault):
    """A fault of no known kind."""

    code = "own"
