"""The coordinator's check of the ring: every hop raised a whole set by its one key.

Learns of each hop a random combination of the points before and after it, from the
holder that raised and from its two neighbours, and the proof that one key leads from
the one to the other (``veilscore.keys.dleq``). Where two disagree, one of them lies:
both are named.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from veilscore.coordinator.errors import RunError
from veilscore.keys import linkage
from veilscore.models.vertical.ring import Ring
from veilscore.models.vertical.script import Script, receive
from veilscore.v1.training_pb2 import HopClaim

_THREADS: Final = 2
_REMEDY: Final = (
    "Start the run again; if it recurs, one of them changes what others send."
)

_Hop = tuple[str, int]  # whose set, raised by how many keys


@dataclass(slots=True)
class HopProofs:
    """What all holders of a ring say about its hops."""

    ring: Ring
    # By who says it.
    _claims: dict[tuple[str, _Hop], HopClaim] = field(
        default_factory=dict[tuple[str, _Hop], HopClaim]
    )
    _composites: dict[tuple[str, _Hop], bytes] = field(
        default_factory=dict[tuple[str, _Hop], bytes]
    )

    def collect(self) -> Script:
        """Wait for what everybody says."""
        arrived = yield from receive("hop_claims", self.ring.holders)
        for sender, message in arrived.items():
            for claim in message.hop_claims.claims:
                self._claims[sender, (claim.owner, claim.hops)] = claim
        arrived = yield from receive("hop_checks", self.ring.holders)
        for sender, message in arrived.items():
            for check in message.hop_checks.checks:
                self._composites[sender, (check.owner, check.hops)] = check.composite

    def verify(self, finals: Mapping[str, bytes]) -> None:
        """Check every hop; ``finals`` holds the sets as they came here, by owner.

        Raises a Fault that names who changed a set, or the two that disagree.
        """
        for raiser in self.ring.holders:
            keys: set[bytes] = set()
            for hops in range(2, self.ring.size + 1):
                owner = self.ring.owner(raiser, hops)
                claim = self._claims.get((raiser, (owner, hops)))
                if claim is None:
                    raise RunError(f"proves no hop of the set of {owner}", party=raiser)
                before, after = self.ring.before(raiser), self.ring.after(raiser)
                self._compare(raiser, before, claim, claim.composite_before)
                if hops < self.ring.size:
                    self._compare(raiser, after, claim, claim.composite_after)
                else:
                    _check_final(raiser, claim, finals[owner])
                linkage.check_claim(claim, raiser)
                keys.add(claim.key)
            if len(keys) > 1:
                raise RunError("raised two sets by two keys", party=raiser)

    def _compare(
        self, raiser: str, neighbour: str, claim: HopClaim, claimed: bytes
    ) -> None:
        said = self._composites.get((neighbour, (claim.owner, claim.hops)))
        if said != claimed:
            raise RunError(
                f"disagree about the set of {claim.owner} that passed between them",
                party=f"{raiser} or {neighbour}",
                remedy=_REMEDY,
            )


def _check_final(raiser: str, claim: HopClaim, points: bytes) -> None:
    """Check the last hop, whose set came to the coordinator itself."""
    composite = linkage.statement(claim).composite(points, raiser, threads=_THREADS)
    if claim.after != sha256(points).digest() or claim.composite_after != composite:
        raise RunError(
            f"sent another set of {claim.owner} than it proves to have raised",
            party=raiser,
            remedy=_REMEDY,
        )
