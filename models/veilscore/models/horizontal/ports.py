"""What a script of horizontal training needs from outside, as interfaces.

All that members tell each other are sums of vectors. How a sum is made so that nobody
learns a summand, and that only members learn the sum, is the caller's business.
"""

from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.uint16]  # (rows, features): bin of every row and feature
Integers: TypeAlias = NDArray[np.int64]
Booleans: TypeAlias = NDArray[np.bool_]
Words: TypeAlias = NDArray[np.uint64]  # (length,): integers modulo 2^64


class Sum(Protocol):
    """Adds one vector of every member, element by element, modulo 2^64.

    The coordinator learns neither a vector nor the sum.
    """

    def __call__(self, label: str, words: Words, /) -> Words:
        """Return the sum over the members that took part; a label is used once.

        All members give vectors of the same length under the same label.
        """
        ...


class Learner(Protocol):
    """One member's rows and labels, which stay where they are."""

    @property
    def rows(self) -> int:
        """How many rows there are to learn from."""
        ...

    def learn(self, model: Floats, number: int, all_rows: float) -> Floats:
        """Train from ``model`` for round ``number`` (from 1); return the change.

        The change has the shape of the model, (parameters,). ``all_rows`` are the rows
        of all members together, over which the penalty is spread.
        """
        ...

    def clipped_gradient(self, model: Floats) -> Floats:
        """Return the sum over the rows of their clipped gradients, (parameters,)."""
        ...
