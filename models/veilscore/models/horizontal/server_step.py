"""What the mean change of a round makes of the joint model, at every member alike.

The coordinator cannot take this step: it never sees the sum. So every member takes it,
and all must come to the same bits: only + - * / and square roots of doubles, element by
element, which IEEE 754 rounds correctly everywhere; no exp, log, power or sum of a
vector, whose last bits depend on the processor.

FedAvgM: Hsu, Qi and Brown, Measuring the Effects of Non-Identical Data Distribution
(2019), section 4.3. A change of length 1 moves the model by the rate times
1 / (1 - momentum) at most, spread over the rounds to come.

FedAdam: Reddi et al., Adaptive Federated Optimization (ICLR 2021), algorithm 2, without
correction of the first rounds' bias, both moments starting at zero. It divides by how
far changes spread, so its steps are of one size, however short the changes.
"""

import hashlib

import numpy as np

from veilscore.models.horizontal.ports import Floats
from veilscore.models.horizontal.terms import Terms


class ServerStep:
    """The joint model and the state of its optimiser."""

    def __init__(self, parameters: int, terms: Terms) -> None:
        self.model: Floats = np.zeros(parameters)
        self._terms = terms
        self._first: Floats = np.zeros(parameters)
        self._second: Floats = np.zeros(parameters)
        self._number = 0

    def take(self, change: Floats) -> None:
        """Move the model by what the mean change of the members asks for."""
        terms = self._terms
        rate = terms.server_rate
        if terms.decay:
            rate *= (terms.rounds - self._number) / terms.rounds
        self._number += 1
        if terms.optimizer == "average":
            self._first = terms.momentum * self._first + change
            self.model = self.model + rate * self._first
            return
        first, second = terms.momentum, terms.second_momentum
        self._first = first * self._first + (1.0 - first) * change
        self._second = second * self._second + (1.0 - second) * (change * change)
        spread = np.sqrt(self._second) + terms.adaptivity
        self.model = self.model + rate * (self._first / spread)

    def digest(self) -> bytes:
        """Return a SHA-256 of the model, equal where every bit is."""
        return hashlib.sha256(self.model.astype("<f8").tobytes()).digest()
