"""What a lab found out: plain values, ready for JSON, and the checks on them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from veilscore.lab.bars import AUC_BAR, KS_BAR, PD_BAR, ranks_alike
from veilscore.lab.joint_outcome import JointRunOutcome


@dataclass(frozen=True, slots=True)
class HolderOutcome:
    """One party's data, and the memory its processes take when idle."""

    entities: int
    rejected: int
    columns: int
    memory_mib: float
    processes: int


@dataclass(frozen=True, slots=True)
class Quality:
    """The label holder's figures: all parties together, and its own columns alone.

    ``aligned`` is how many rows the run itself found, of which it learned from
    ``learned`` and judged on ``rows``.
    """

    aligned: int
    learned: int
    rows: int
    on_holdout: bool
    auc: float
    ks: float
    brier: float
    alone_auc: float
    alone_ks: float
    gini: float
    alone_gini: float
    calibration_intercept: float | None
    calibration_slope: float | None


@dataclass(frozen=True, slots=True)
class Parity:
    """The federated model beside central ones of the same bins, on the same rows.

    All held-out rows of the label holder are judged, also those that the run left out.
    ``alone`` is the central model of the label holder's columns only; ``federated`` is
    the model before its points were rounded. ``worst_pd`` and ``mean_pd`` are
    differences of the probability of default from the central model.
    What rounding changes of the AUC, up or down, is ``judged_card_auc_apart`` on the
    judged rows and ``card_auc_apart`` on all labelled rows. Among few bad rows chance
    alone passes the bar unless the points are fine (models/README.md has the figures).
    """

    rows: int
    alone_auc: float
    alone_ks: float
    central_auc: float
    central_ks: float
    federated_auc: float
    federated_ks: float
    worst_pd: float
    mean_pd: float
    card_auc_apart: float
    judged_card_auc_apart: float

    @property
    def auc_apart(self) -> float:
        """Federated minus central."""
        return self.federated_auc - self.central_auc

    @property
    def ks_apart(self) -> float:
        """Federated minus central."""
        return self.federated_ks - self.central_ks

    @property
    def holds(self) -> bool:
        """Whether the model is as good as the central one."""
        return (
            abs(self.auc_apart) <= AUC_BAR
            and abs(self.ks_apart) <= KS_BAR
            and self.worst_pd <= PD_BAR
        )

    @property
    def card_holds(self) -> bool:
        """Whether the integer card ranks as the model that it was rounded from."""
        return ranks_alike(self.card_auc_apart, self.judged_card_auc_apart)


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """One vertical training run."""

    name: str
    run: str
    model: str  # hash of the manifest
    seconds: float
    steps: Mapping[str, float]  # seconds each
    expected: Mapping[str, int]  # seconds of work, by each party
    quality: Quality
    exact: bool = False  # the contract promises the model of the pooled data
    parity: Parity | None = None
    parity_skipped: str = ""  # why a run that could be compared was not

    def checks(self) -> Iterator[tuple[str, bool]]:
        """Yield what must hold, and whether it does."""
        if self.exact and (self.parity is not None or self.parity_skipped):
            holds = self.parity is not None and self.parity.holds
            yield f"run {self.name!r} is as good as pooled data", holds
        if self.parity is not None:
            holds = self.parity.card_holds
            yield f"the points of run {self.name!r} rank as its model", holds


@dataclass(frozen=True, slots=True)
class ClearSteps:
    """One borrower's score, step by step, as only a lab can see it."""

    partials: Mapping[str, int]  # points by party
    total: int
    decrypted: int
    probability_of_default: float


@dataclass(frozen=True, slots=True)
class ScoreOutcome:
    """Scores that came through encryption, beside the sums of the cards."""

    asked: int
    answered: int
    queries: int
    mismatches: int
    seconds: float
    example: ClearSteps


@dataclass(frozen=True, slots=True)
class EvidenceOutcome:
    """The evidence of one score request, taken from the log and verified alone."""

    request: str
    bytes: int
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class LogOutcome:
    """The audit log, fetched and verified, or what was wrong with it."""

    remarks: tuple[str, ...]
    verified: bool = False
    entries: int = 0
    files: int = 0
    export_bytes: int = 0
    events: Mapping[str, int] = field(default_factory=dict[str, int])  # by party
    witnesses: tuple[str, ...] = ()  # that cosigned it
    evidence: EvidenceOutcome | None = None  # None: it does not verify
    reconciled: tuple[str, ...] = ()  # parties whose own events and receipts agree
    sought: int = 0  # ids, names and values, in every spelling
    leaks: tuple[str, ...] = ()  # where the log holds one of them


@dataclass(frozen=True, slots=True)
class LabOutcome:
    """Everything a lab found out."""

    name: str
    key_bits: int
    holders: Mapping[str, HolderOutcome]
    entities: int  # known to anybody, by the files of all parties
    shared_entities: int  # known to all, by the same files
    online_seconds: float
    runs: tuple[RunOutcome | JointRunOutcome, ...]
    scores: ScoreOutcome
    log: LogOutcome
    idle_cores: float  # processor time over wall time, all processes, doing nothing
    killed: int  # processes that did not end when told to
    seconds: float

    def checks(self) -> dict[str, bool]:
        """Return what must hold, and whether it does."""
        checks = {
            "every score asked for was answered": self.scores.answered
            == self.scores.asked,
            "every decrypted score is the sum of the cards": not self.scores.mismatches,
            "the audit log verifies": self.log.verified,
            "the evidence of a score request verifies": self.log.evidence is not None,
            "every party has events in the log": all(
                self.log.events.get(name) for name in self.holders
            ),
            "every party's own events and receipts agree with the log": all(
                name in self.log.reconciled for name in self.holders
            ),
            "no leaf of the log holds an id, a column's name or a value": (
                self.log.sought > 0 and not self.log.leaks
            ),
            "every process ended when told to": not self.killed,
        }
        for run in self.runs:
            checks.update(run.checks())
        return checks
