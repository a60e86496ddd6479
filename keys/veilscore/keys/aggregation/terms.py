"""What all parties of one attempt agree on before it, bound into all they sign.

An attempt is one execution of the protocol; one that fails is followed by another with
fresh keys. Nothing here is secret.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from veilscore.keys.identity import VerifyKey
from veilscore.v1.training_pb2 import RunContract

FEWEST: Final = 3  # of whose sum each learns no single other vector
# Below this many members one dropout ends the attempt: the sum of who is left would
# tell each of them about too few others.
TOLERANT_FROM: Final = 6
MOST: Final = 100  # everybody deals a share to everybody
# Words of a vector: with a signature and its seal they fit into an envelope of 64 MiB.
LONGEST: Final = (1 << 23) - (1 << 12)

_DIGEST: Final = 32
_RUN: Final = 64
_LAST: Final = 2**32 - 1


def fewest(members: int, colluders: int) -> int:
    """Return how many members every sum has at least."""
    if members < TOLERANT_FROM:
        return members
    return max(_threshold(members, colluders), FEWEST)


def fewest_of(contract: RunContract) -> int:
    """Return how many members every sum of a horizontal run has at least."""
    return fewest(len(contract.roster), contract.horizontal.colluding)


def _threshold(members: int, colluders: int) -> int:
    return (members + colluders) // 2 + 1


@dataclass(frozen=True, slots=True)
class Pinned:
    """A party under the signing key that the reader has pinned for it."""

    name: str
    key: VerifyKey


@dataclass(frozen=True)
class Terms:
    """One attempt; raises ValueError where no honest caller could mean it.

    ``contract`` is the SHA-256 of the run's contract, ``length`` the words of a vector,
    ``colluders`` how many members may work together with an active aggregator. Of a
    ``whole`` sum nobody on the roster may be missing, however many there are.
    """

    run: str
    round: int
    attempt: int
    roster: tuple[Pinned, ...]
    aggregator: Pinned
    contract: bytes
    length: int
    colluders: int = 1
    whole: bool = False

    def __post_init__(self) -> None:
        """Refuse terms under which the protocol protects nobody."""
        names = [party.name for party in (*self.roster, self.aggregator)]
        keys = [party.key for party in (*self.roster, self.aggregator)]
        if len(set(names)) != len(names) or len(set(keys)) != len(keys):
            raise ValueError("two parties have the same name or key")
        if not FEWEST <= len(self.roster) <= MOST:
            raise ValueError(f"an aggregation takes {FEWEST} to {MOST} members")
        if not 1 <= self.colluders <= len(self.roster) - 2:
            raise ValueError("no threshold withstands so many colluders")
        if not 1 <= self.length <= LONGEST or len(self.contract) != _DIGEST:
            raise ValueError("the vector's length or the contract's digest is wrong")
        if not (1 <= self.round <= _LAST and 1 <= self.attempt <= _LAST):
            raise ValueError("rounds and attempts are counted from 1")
        if not 1 <= len(self.run) <= _RUN:
            raise ValueError(f"a run's id has 1 to {_RUN} characters")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The members, in the order of the roster."""
        return tuple(party.name for party in self.roster)

    @cached_property
    def threshold(self) -> int:
        """Shares that open a secret, and signatures that a survivor set needs.

        Two sets of as many have more members in common than may collude, so that an
        honest one has signed both, which it does not (2t > n + c; CCS 2017, section 6).
        """
        return _threshold(len(self.roster), self.colluders)

    @cached_property
    def fewest(self) -> int:
        """Members without whom no step of the attempt ends."""
        members = len(self.roster)
        return members if self.whole else fewest(members, self.colluders)

    @cached_property
    def context(self) -> bytes:
        """SHA-256 of all of it: signed in every message, bound into every key."""
        bound = hashlib.sha256(b"veilscore-aggregation-context/1\0")
        numbers = (self.round, self.attempt, self.colluders, self.length, self.whole)
        bound.update(b"".join(number.to_bytes(8) for number in numbers))
        for party in (self.aggregator, *self.roster):
            bound.update(party.key.fingerprint + _sized(party.name))
        bound.update(self.contract + _sized(self.run))
        return bound.digest()

    @property
    def place(self) -> str:
        """Where an error of this attempt happened."""
        return f"run {self.run}, round {self.round}, attempt {self.attempt}"

    def key(self, name: str) -> VerifyKey | None:
        """Return the pinned key of a party of the attempt, or none."""
        for party in (self.aggregator, *self.roster):
            if party.name == name:
                return party.key
        return None

    def index(self, name: str) -> int:
        """Return a member's Shamir index, from 1: the share at 0 is the secret."""
        return self.names.index(name) + 1

    def ordered(self, names: frozenset[str]) -> tuple[str, ...]:
        """Return these members in the order of the roster."""
        return tuple(name for name in self.names if name in names)


def _sized(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(8) + raw
