"""The ring that every holder's set goes round in alignment, each raising it once.

Known to everybody: it follows from the order of the holders' names in the contract.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ring:
    """All data holders of a run in their order; the last passes on to the first."""

    holders: tuple[str, ...]

    @property
    def size(self) -> int:
        """Return how many keys a set has been raised by after its round."""
        return len(self.holders)

    def after(self, name: str) -> str:
        """Return the holder that ``name`` passes sets on to."""
        return self._step(name, 1)

    def before(self, name: str) -> str:
        """Return the holder that passes sets on to ``name``."""
        return self._step(name, -1)

    def owner(self, raiser: str, hops: int) -> str:
        """Return whose set ``raiser`` raises as the ``hops``-th; owners are first."""
        return self._step(raiser, 1 - hops)

    def _step(self, name: str, places: int) -> str:
        return self.holders[(self.holders.index(name) + places) % self.size]
