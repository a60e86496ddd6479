"""What a lab found out about a horizontal run: plain values, and the checks on them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from veilscore.lab.bars import POOLED_BAR, ranks_alike

# What a member's node says of its AUC is computed on the same rows by other code.
_SAME: Final = 1e-6
# Of goods and of bads: where fewer are judged, chance alone passes the bars.
_LEAST_OF_A_KIND: Final = 100


@dataclass(frozen=True, slots=True)
class Figures:
    """How good a model is on a member's held-out rows."""

    auc: float
    ks: float
    brier: float


@dataclass(frozen=True, slots=True)
class MemberOutcome:
    """What one member gains, on its held-out rows.

    ``alone``: the same kind of model of its own rows only. ``pooled``: of all members'
    rows in one place. ``here``: its card, before its points were rounded.
    ``gain_error`` is the standard error of the gain in AUC, None where one kind of row
    occurs once. ``reported`` is the AUC that its node found.
    """

    learned: int
    learned_bad: int
    rows: int
    bad: int
    alone: Figures
    pooled: Figures
    here: Figures
    gain_error: float | None
    reported: float

    @property
    def gain(self) -> float:
        """AUC over the member's own model."""
        return self.here.auc - self.alone.auc

    @property
    def differs(self) -> bool:
        """Whether the gain or loss is more than chance: than two standard errors."""
        return self.gain_error is not None and abs(self.gain) > 2 * self.gain_error


@dataclass(frozen=True, slots=True)
class JointOutcome:
    """All members' rows together.

    ``own`` is what members fitted to their own rows: "nothing", the "intercept", or all
    "tables". ``auc`` is of the joint tables, the members' own intercepts left out;
    where members fit own tables, of each one's card on its rows. ``tables_apart`` is
    the largest difference between two members' cards in the log odds of one bin.
    """

    own: str
    rows: int
    bad: int
    auc: float
    pooled_auc: float
    tables_apart: float
    card_auc_apart: float
    judged_card_auc_apart: float

    @property
    def auc_apart(self) -> float:
        """Joint minus pooled."""
        return self.auc - self.pooled_auc

    @property
    def has_enough_rows(self) -> bool:
        """Whether there are rows enough to hold the AUC to a bar."""
        return min(self.bad, self.rows - self.bad) >= _LEAST_OF_A_KIND

    @property
    def card_holds(self) -> bool:
        """Whether the integer card ranks as the model that it was rounded from."""
        return ranks_alike(self.card_auc_apart, self.judged_card_auc_apart)


@dataclass(frozen=True, slots=True)
class JointRunOutcome:
    """One horizontal training run; ``private``: with noise in its sums."""

    name: str
    run: str
    model: str  # hash of the manifest
    seconds: float
    steps: Mapping[str, float]  # seconds each
    expected: Mapping[str, int]  # seconds of work, by each party
    private: bool
    members: Mapping[str, MemberOutcome]
    joint: JointOutcome

    @property
    def ranks_as_pooled(self) -> bool:
        """Whether it must: noise and own tables make another model."""
        another = self.private or self.joint.own == "tables"
        return self.joint.has_enough_rows and not another

    @property
    def rounds(self) -> int:
        """How many rounds of training there were."""
        return sum(step.startswith("round-") for step in self.steps)

    @property
    def round_seconds(self) -> float:
        """Mean time of a round of training."""
        times = [took for step, took in self.steps.items() if step.startswith("round-")]
        return sum(times) / len(times)

    def checks(self) -> Iterator[tuple[str, bool]]:
        """Yield what must hold, and whether it does."""
        named = f"run {self.name!r}"
        if self.joint.own != "tables":
            same = self.joint.tables_apart == 0
            yield f"all members of {named} have the same tables", same
        if self.ranks_as_pooled:
            ranks = abs(self.joint.auc_apart) <= POOLED_BAR
            yield f"{named} ranks as the model of pooled rows", ranks
        if self.joint.has_enough_rows:
            yield f"the points of {named} rank as its model", self.joint.card_holds
        yield (
            f"every member of {named} found its AUC as it is",
            all(
                abs(member.reported - member.here.auc) <= _SAME
                for member in self.members.values()
            ),
        )
