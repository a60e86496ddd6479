"""The coordinator's check of the ring: every hop raised a whole set by its one key.

Learns of each set, as it was between two hops, two random sums of its points, from the
holder that passed it on and from the one that took it, and the proof that one key leads
from all sums that a holder took to those it passed on. Where two disagree about a set,
one of them lies: both are named.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from veilscore.coordinator.errors import RunError
from veilscore.keys import dleq, small_exponents
from veilscore.models.script import Arrived, Script, Send, receive
from veilscore.models.vertical.ring import Ring
from veilscore.v1.training_pb2 import HopChallenge, HopSums, TrainingMessage

_REMEDY: Final = (
    "Start the run again; if it recurs, one of them changes what others send."
)


def check_hops(ring: Ring, finals: Mapping[str, Sequence[bytes]]) -> Script:
    """Have every hop proven; ``finals`` holds the parts that came here, by owner.

    Raises a Fault that names who changed a set, or the two that disagree.
    """
    keys = yield from receive("hop_key", ring.holders)
    # Drawn only now, when every set is where it will be added up.
    challenge = secrets.token_bytes(small_exponents.CHALLENGE)
    for name in ring.holders:
        drawn = HopChallenge(challenge=challenge)
        yield Send(name, TrainingMessage(hop_challenge=drawn))
    # While the holders add theirs up, which takes them as long a set.
    arrived = {
        owner: small_exponents.sums(finals[owner], challenge, owner, ring.before(owner))
        for owner in ring.holders
    }
    proofs = yield from receive("hop_proof", ring.holders)
    said = {name: _sums_by_owner(name, ring, proofs) for name in ring.holders}
    for owner in ring.holders:
        _follow(owner, ring, said)
        last = ring.before(owner)
        if list(said[last][owner].passed) != arrived[owner]:
            raise RunError(
                f"sent another set of {owner} than it proves to have raised",
                party=last,
                remedy=_REMEDY,
            )
    for name in ring.holders:
        others = [sums for owner, sums in said[name].items() if owner != name]
        taken = [point for sums in others for point in sums.taken]
        passed = [point for sums in others for point in sums.passed]
        proof = proofs[name].hop_proof.proof
        dleq.verify(keys[name].hop_key.key, taken, passed, proof, name)


def _sums_by_owner(name: str, ring: Ring, proofs: Arrived) -> dict[str, HopSums]:
    said = {sums.owner: sums for sums in proofs[name].hop_proof.sums}
    owners = [ring.owner(name, hops) for hops in range(1, ring.size + 1)]
    if list(said) != owners or any(
        len(sums.passed) != small_exponents.SUMS
        or len(sums.taken) != (0 if owner == name else small_exponents.SUMS)
        for owner, sums in said.items()
    ):
        raise RunError("does not account for every set of the ring", party=name)
    return said


def _follow(owner: str, ring: Ring, said: Mapping[str, Mapping[str, HopSums]]) -> None:
    """Compare what two neighbours say of a set that one passed to the other."""
    giver = owner
    while (taker := ring.after(giver)) != owner:
        if said[giver][owner].passed != said[taker][owner].taken:
            raise RunError(
                f"disagree about the set of {owner} that passed between them",
                party=f"{giver} or {taker}",
                remedy=_REMEDY,
            )
        giver = taker
