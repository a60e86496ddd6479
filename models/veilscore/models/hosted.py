"""A hosted card: whole weights that its holder keeps, over a form that it publishes.

A requester encrypts its applicants' inputs as the form says, the holder sums them by
its weights without seeing one, and the requester decrypts the scores. The form tells
names, bins, levels and ranges of the inputs, and the width of a slot: it is proven from
the weights and tells how large the largest score is, and nothing else of them. How many
applicants share a plaintext, and what hides the rest of it, is in ``padded_batch``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self, TypeAlias

import numpy as np

from veilscore.models.binning import LARGEST, Bins, NumericBins
from veilscore.models.errors import BoundError, DataError

Value: TypeAlias = float | str | None
"""Of one input: a number, a text, or None where there is none."""
Applicant: TypeAlias = Mapping[str, Value]

MOST_INPUTS: Final = 1000  # of a form, all bins counted
# Of a weight and of an input: every program reads such integers from JSON as they are.
INTEGER_LIMIT: Final = 1 << 53
WIDEST_SLOT: Final = 128  # MOST_INPUTS products of two of these, and a sign


@dataclass(frozen=True, slots=True)
class OneHot:
    """A feature of which the bin is encrypted: 1 there and 0 in all other bins."""

    name: str
    bins: Bins

    @property
    def width(self) -> int:
        """How many inputs it takes."""
        return self.bins.count

    def inputs(self, value: Value) -> list[int]:
        """Return the inputs of one applicant; raises DataError without the value."""
        if isinstance(self.bins, NumericBins):
            number = math.nan if value is None else self._number(value)
            code = int(self.bins.apply(np.array([number]))[0])
        elif value is None or isinstance(value, str):
            code = int(self.bins.apply([value or None])[0])
        else:
            raise _wrong(self.name, "a text is expected")
        return [int(bin_ == code) for bin_ in range(self.width)]

    def extremes(self, weights: Sequence[int]) -> tuple[int, int]:
        """Return the least and the largest contribution to a score."""
        return min(weights), max(weights)

    def _number(self, value: float | str) -> float:
        if isinstance(value, str) or not abs(value) <= LARGEST:
            raise _wrong(self.name, "a number is expected")
        return float(value)


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """A number between ``low`` and ``high``, rounded to ``scale`` steps a unit."""

    name: str
    scale: int
    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse a range that holds no number or too large ones."""
        if not self.low <= self.high:
            raise DataError(
                f"feature {self.name!r} has a range without numbers",
                remedy="Let low be at most high",
            )
        largest = max(abs(self.low), abs(self.high))
        if not (1 <= self.scale < INTEGER_LIMIT and largest < INTEGER_LIMIT):
            raise _too_large(self.name)
        if max(map(abs, self._range())) >= INTEGER_LIMIT:
            raise _too_large(self.name)

    @property
    def width(self) -> int:
        """How many inputs it takes."""
        return 1

    def inputs(self, value: Value) -> list[int]:
        """Return the input of one applicant; raises DataError without the value."""
        if value is None:
            raise _wrong(self.name, "a value is missing")
        if isinstance(value, str):
            raise _wrong(self.name, "a number is expected")
        if not self.low <= value <= self.high:
            raise _wrong(
                self.name, f"the number is not from {self.low:g} to {self.high:g}"
            )
        return [round(value * self.scale)]

    def extremes(self, weights: Sequence[int]) -> tuple[int, int]:
        """Return the least and the largest contribution to a score."""
        products = [end * weights[0] for end in self._range()]
        return min(products), max(products)

    def _range(self) -> tuple[int, int]:
        return round(self.low * self.scale), round(self.high * self.scale)


Feature: TypeAlias = OneHot | FixedPoint


@dataclass(frozen=True, slots=True)
class Form:
    """What a requester must know to ask: whose card it is and what goes in, in order.

    A score is the decrypted integer over ``denominator``.
    """

    holder: str
    card: str
    features: tuple[Feature, ...]
    bits: int  # of a slot
    denominator: int = 1

    def __post_init__(self) -> None:
        """Refuse a form that cannot be filled in."""
        names = {feature.name for feature in self.features}
        if not self.features or len(names) < len(self.features):
            raise DataError(
                "a form needs at least one feature, and no feature twice",
                remedy="Correct the list of features",
            )
        if self.inputs > MOST_INPUTS:
            raise DataError(
                f"a form of {self.inputs} inputs, {MOST_INPUTS} are allowed",
                remedy="Use fewer bins",
            )
        if not 1 <= self.bits <= WIDEST_SLOT:
            raise DataError(
                f"a slot of {self.bits} bits",
                remedy="Ask the data holder for its form again",
            )
        if not 1 <= self.denominator < INTEGER_LIMIT:
            raise DataError(
                f"a denominator of {self.denominator} is none", remedy="Use 1"
            )

    @property
    def inputs(self) -> int:
        """How many ciphertexts a plaintext's applicants take."""
        return sum(feature.width for feature in self.features)

    def score(self, total: int) -> int | float:
        """Return the score that a decrypted integer stands for."""
        return total if self.denominator == 1 else total / self.denominator

    def fill_in(self, applicant: Applicant) -> list[int]:
        """Return one applicant's inputs, (inputs,); other names than ours are ignored.

        Raises DataError that names the feature and never repeats the value.
        """
        filled: list[int] = []
        for feature in self.features:
            if feature.name not in applicant:
                raise _wrong(feature.name, "is not there, not even as missing")
            filled += feature.inputs(applicant[feature.name])
        return filled


@dataclass(frozen=True, slots=True)
class HostedCard:
    """The holder's secret: for every feature of the form one weight an input."""

    form: Form
    weights: tuple[tuple[int, ...], ...] = field(repr=False)
    intercept: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        """Refuse weights that do not fit the form or its slots."""
        pairs = list(zip(self.form.features, self.weights, strict=False))
        if len(self.weights) != len(self.form.features) or any(
            len(weights) != feature.width for feature, weights in pairs
        ):
            raise DataError(
                "the card does not have one weight an input of its form",
                remedy="Give one weight a bin, the missing one first",
            )
        if max(map(abs, (*self.exponents, self.intercept))) >= INTEGER_LIMIT:
            raise BoundError(
                "a weight has over 53 bits", remedy="Round the weights to fewer digits"
            )
        if self.width > self.form.bits:
            raise BoundError(
                f"scores of the card do not fit slots of {self.form.bits} bits",
                remedy="Make the form again and hand it out",
            )

    @classmethod
    def of(
        cls, form: Form, weights: Sequence[Sequence[int]], intercept: int = 0
    ) -> Self:
        """Return the card with the narrowest slots that every score of it fits.

        The ``bits`` of the form that is given do not count. Raises DataError and
        BoundError.
        """
        rows = tuple(tuple(row) for row in weights)
        widest = cls(replace(form, bits=WIDEST_SLOT), rows, intercept)
        return cls(replace(form, bits=widest.width), rows, intercept)

    @property
    def width(self) -> int:
        """Bits of the narrowest slot for every score that the form allows."""
        ends = [
            feature.extremes(weights)
            for feature, weights in zip(self.form.features, self.weights, strict=True)
        ]
        lowest = self.intercept + sum(low for low, _ in ends)
        highest = self.intercept + sum(high for _, high in ends)
        return 1 + max(
            (~low if low < 0 else low).bit_length() for low in (lowest, highest)
        )

    @property
    def exponents(self) -> list[int]:
        """All weights in the order of the form's inputs."""
        return [weight for row in self.weights for weight in row]

    @property
    def entropy_bits(self) -> int:
        """How many bits write all weights down, each with its sign and no more digits.

        The least that must leave before the card is known, unless its weights can be
        guessed from each other or from elsewhere: then it is less.
        """
        numbers = (*self.exponents, self.intercept)
        return sum(number.bit_length() + 1 for number in numbers)


def _wrong(name: str, what: str) -> DataError:
    return DataError(
        what, place=name, remedy="Correct the value, or leave the applicant out"
    )


def _too_large(name: str) -> DataError:
    return DataError(
        f"feature {name!r} has numbers of over 53 bits",
        remedy="Use a smaller scale or range",
    )
