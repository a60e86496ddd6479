"""The audit of a horizontal run's sums: whose they are, and that all got the same.

The coordinator logs the digest of every sum that it made, each member one digest over
those that it was sent. Nothing here says what a sum was.
"""

import hashlib
from collections.abc import Collection, Sequence
from typing import Final

from veilscore.keys.aggregation.terms import fewest_of
from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.evidence.steps import VerifiedEvents
from veilscore.v1.training_pb2 import RunContract

SUMS: Final = "sums"


def audit_sums(
    evidence: VerifiedEvents, contract: RunContract, stayed: Collection[str]
) -> None:
    """Verify all sums of a run; ``stayed`` were in it to the end. Raises ProofError.

    Of one that left counts what it was sent in the steps that it did.
    """
    roster = {entry.party for entry in contract.roster}
    least = fewest_of(contract)
    totals: list[bytes] = []
    for number, event in enumerate(evidence.own("sum_made"), 1):
        made = event.sum_made
        if event.actor != evidence.coordinator:
            raise ProofError("sums are made by the coordinator", party=event.actor)
        if made.round != number:
            raise ProofError(f"sum {made.round} stands where sum {number} should")
        members = set(made.members)
        if not members <= roster or not least <= len(members) == len(made.members):
            raise ProofError(
                f"sum {number} is of other members than the contract allows, or of "
                f"fewer than {least}"
            )
        if missing := sorted({*stayed} - members):
            raise ProofError(f"sum {number} is without it", party=missing[0])
        totals.append(made.total)
    for party in sorted(roster):
        told = _count_sent(evidence, party, totals)
        if party in stayed and told < len(totals):
            raise ProofError("it was not sent all sums that the log has", party=party)
    all_of = f"each of at least {least} of {len(roster)} members"
    evidence.fact("sums", f"{len(totals)}, {all_of}")


def _count_sent(evidence: VerifiedEvents, party: str, totals: Sequence[bytes]) -> int:
    """Return how many of these sums a party was sent, in this order, over its steps.

    Raises ProofError if it was sent others.
    """
    told = 0
    for event in evidence.own("step_done"):
        done = event.step_done
        if event.actor != party or not done.sums:
            continue
        running = hashlib.sha256()
        while running.digest() != done.sums:
            if told == len(totals):
                raise ProofError(
                    f"in step {done.step} it was sent other sums than the log has",
                    party=party,
                )
            running.update(totals[told])
            told += 1
    return told
