"""What one member remembers of a run's rounds, and what it refuses because of that.

One sum says little of a single vector, sums over different members do: a round with
and one without a member differ by its vector. Hence three rules. A cohort, once a
member's shares have left for its sum, stays for ``cohort_rounds`` such rounds, unless
members add noise (differential privacy). In one round shares leave for one survivor
set, whatever the number of attempts. A round whose sum is known is not tried again.

And each member says in its next keys which sum it was shown last, so that an aggregator
that shows two different ones is convicted by its own signatures.
"""

from dataclasses import dataclass, field
from typing import Final

from veilscore.keys.aggregation.terms import Terms
from veilscore.keys.aggregation.wire import Statement
from veilscore.keys.errors import Breach, MisconductError

COHORT_ROUNDS: Final = 5


@dataclass(slots=True)
class RoundHistory:
    """Of one member and one run, from its first round to its last."""

    cohort_rounds: int = COHORT_ROUNDS
    noise: bool = False  # members add noise, so that a changed cohort does no harm
    _last: tuple[int, int] = (0, 0)  # round and attempt
    _cohort: frozenset[bytes] = frozenset()
    _rounds: int = 0  # in which shares left for a sum of this cohort
    _released: tuple[int, frozenset[str]] = (0, frozenset())
    _sums: dict[int, Statement] = field(default_factory=dict[int, Statement])

    @property
    def last_sum(self) -> bytes:
        """The aggregator's signature on the last sum that came here, or nothing."""
        return self._sums[max(self._sums)].signed if self._sums else b""

    def begin(self, terms: Terms) -> None:
        """Take part in an attempt; raises MisconductError if the rules forbid it."""
        asked = (terms.round, terms.attempt)
        if asked <= self._last or terms.round in self._sums:
            raise MisconductError(
                Breach.REPLAY,
                "asks for an attempt that was made, or a round that has ended",
                party=terms.aggregator.name,
                place=terms.place,
                remedy="Count the attempt up, or go on with the next round.",
            )
        cohort = frozenset(party.key.fingerprint for party in terms.roster)
        if cohort != self._cohort:
            if 0 < self._rounds < self.cohort_rounds and not self.noise:
                raise MisconductError(
                    Breach.COHORT_CHANGE,
                    f"changes the members after {self._rounds} of "
                    f"{self.cohort_rounds} rounds",
                    party=terms.aggregator.name,
                    place=terms.place,
                    remedy="Go on with the same members, or start a new run.",
                )
            self._cohort, self._rounds = cohort, 0
        self._last = asked

    def compare(self, theirs: Statement, peer: str, terms: Terms) -> None:
        """Hold the sum that a peer was shown last against the one shown here.

        Raises MisconductError with both, which the aggregator signed.
        """
        ours = self._sums.get(theirs.round)
        if ours is not None and ours.digest != theirs.digest:
            raise MisconductError(
                Breach.SUM_SPLIT,
                f"signed two different sums of round {theirs.round}, one of them for "
                f"{peer}",
                party=terms.aggregator.name,
                place=terms.place,
                remedy="Stop the run: members no longer train the same model.",
                evidence=(ours.signed, theirs.signed),
            )

    def release(self, terms: Terms, survivors: frozenset[str]) -> None:
        """Note that shares leave for the sum of these; raises MisconductError."""
        earlier_round, earlier = self._released
        if earlier_round == terms.round:
            if earlier != survivors:
                raise MisconductError(
                    Breach.BOTH_SHARES,
                    "asks for another sum of a round for which shares have left",
                    party=terms.aggregator.name,
                    place=terms.place,
                    remedy="Give the round up; the next one has new updates.",
                )
            return
        self._released = (terms.round, survivors)
        self._rounds += 1

    def finish(self, total: Statement) -> None:
        """Keep the aggregator's signature on the sum of a round."""
        self._sums[total.round] = total
