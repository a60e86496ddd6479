"""Encrypted sums per bin: the label holder's gradients, a feature holder's bins.

One ciphertext a row goes up. Down come the sums of all bins, several in a ciphertext
and re-randomised. The result is compared with the plain sums.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.bench.measure import Cost, timed, timed_again
from tests.bench.plain_phe import Operations
from tests.bench.rows import Measured, Sizes
from veilscore.keys.paillier.answer_noise import NoisePool, draw_noise
from veilscore.keys.paillier.histogram import histogram
from veilscore.keys.paillier.owner_noise import OwnerEncryptor
from veilscore.keys.paillier.packing import Slot, SlotLayout, shift_and_pack
from veilscore.keys.paillier.private import PrivateKey

_GRADIENT_BITS = 27  # of a gradient in fixed point, without its sign
KERNEL_REPEATS = 3  # of which the cheapest counts, as of its baseline


@dataclass(frozen=True, slots=True)
class Gradients:
    """Invented gradients and bins; the same for everybody who is measured."""

    values: NDArray[np.int64]  # (rows,)
    bins: NDArray[np.uint8]  # (rows, columns)
    width: int  # bins of a column

    @classmethod
    def invent(cls, sizes: Sizes, rows: int) -> "Gradients":
        drawn = np.random.default_rng(1)
        limit = 1 << _GRADIENT_BITS
        return cls(
            drawn.integers(-limit, limit, rows),
            drawn.integers(0, sizes.bins, (rows, sizes.columns)).astype(np.uint8),
            sizes.bins,
        )

    def sums(self) -> list[int]:
        """Return the plain sums, bin after bin of column after column."""
        columns = self.bins.shape[1]
        cells = np.zeros((columns, self.width), np.int64)
        for column in range(columns):
            np.add.at(cells[column], self.bins[:, column], self.values)
        return cells.ravel().tolist()


def naive(sizes: Sizes) -> Operations:
    """Return the operations of the same workload in plain phe."""
    return Operations(
        encryptions=sizes.rows,
        additions=sizes.rows * sizes.columns,
        rerandomisations=sizes.cells,
        decryptions=sizes.cells,
        ciphertexts_sent=sizes.rows + sizes.cells,
    )


def histogram_workload(key: PrivateKey, by: str, sizes: Sizes) -> Iterator[Measured]:
    """Measure the whole workload, stage by stage."""
    public, data = key.public, Gradients.invent(sizes, sizes.rows)
    width = public.ciphertext_bytes
    per = f"{sizes.rows:,} rows"
    total = Cost()

    def stage(what: str, cost: Cost, operations: Operations | None) -> Measured:
        nonlocal total
        total += cost
        return Measured(f"histogram: {what}", by, per, cost, operations)

    residues = [public.to_residue(value) for value in data.values.tolist()]
    blob, cost = timed(lambda: public.encode(OwnerEncryptor(key).encrypt(residues)))
    yield stage(
        "tables, encrypt",
        cost.sending(len(blob)),
        Operations(encryptions=sizes.rows, ciphertexts_sent=sizes.rows),
    )
    rows, cost = timed(lambda: public.decode(blob, sizes.rows))
    yield stage("check", cost, None)
    sums, cost = timed_again(
        lambda: histogram(public, rows, data.bins, [sizes.bins] * sizes.columns),
        KERNEL_REPEATS,
    )
    yield stage("kernel", cost, Operations(additions=sizes.rows * sizes.columns))
    slot = Slot((sizes.rows << _GRADIENT_BITS).bit_length() + 1, signed=True)
    layout = SlotLayout.filled(public, slot)
    slots, flat = len(layout.slots), [bin_sum for column in sums for bin_sum in column]
    groups = [flat[start : start + slots] for start in range(0, len(flat), slots)]
    packed, cost = timed(
        lambda: [shift_and_pack(public, group, slot.bits) for group in groups]
    )
    yield stage("pack", cost, None)
    answers, cost = timed(
        lambda: NoisePool(public, draw_noise(public, len(packed))).rerandomise(packed)
    )
    yield stage(
        "answer",
        cost.sending(len(packed) * width),
        Operations(rerandomisations=sizes.cells, ciphertexts_sent=sizes.cells),
    )
    found, cost = timed(
        lambda: [
            value
            for residue in key.decrypt(answers)
            for value in layout.unpack(residue)
        ]
    )
    yield stage("decrypt, unpack", cost, Operations(decryptions=sizes.cells))
    if found[: sizes.cells] != data.sums():
        raise ArithmeticError("the decrypted sums are not the plain ones")
    yield Measured("histogram: all", by, per, total, naive(sizes))
