"""Other libraries at the same work, where they are installed.

``sf-heu`` (module ``heu``) and ``pypaillier`` (module ``paillier``) are in the group
``bench`` of pyproject.toml. Neither is used by the product. Both take noise from short
exponents and safe primes; what they answer is re-randomised here with a fresh
encryption of zero, or by their own call, as far as they have one. OU is another scheme
than Paillier: with adversarial ciphertexts its decryptions give the key away.

Encryption and sums are measured on a part of the rows and scaled up: they are linear.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from tests.bench.histogram_workload import KERNEL_REPEATS, Gradients, naive
from tests.bench.measure import Cost, timed, timed_again
from tests.bench.optional import load_peer
from tests.bench.plain_phe import Operations
from tests.bench.rows import Measured, Sizes

_CUMULATIVE = False


def heu(schema: str, bits: int, sizes: Sizes) -> Iterator[Measured]:
    """Measure sf-heu with one of its schemas; raises MissingError."""
    load_peer("heu", "sf-heu")
    phe, arrays = import_module("heu.phe"), import_module("heu.numpy")
    kit, made = timed(lambda: arrays.setup(getattr(phe.SchemaType, schema), bits))
    encryptor, decryptor = kit.encryptor(), kit.decryptor()
    evaluator = kit.evaluator()
    integers = phe.IntegerEncoderParams(scale=1)
    by, data = f"sf-heu {schema}", Gradients.invent(sizes, sizes.peer_rows)

    def plain(values: Sequence[int]) -> Any:  # noqa: ANN401 - heu has no types
        return kit.array(np.array(values).reshape(-1, 1), integers)

    gradients, zeros = plain(data.values.tolist()), plain([0] * sizes.cells)
    everybody, bins = np.ones(sizes.peer_rows, np.int8), data.bins.astype(np.int8)
    rows, encrypted = timed(lambda: encryptor.encrypt(gradients))
    _, added = timed(lambda: evaluator.add(rows, rows))
    wanted = (everybody, bins, data.width, _CUMULATIVE)
    sums, kernel = timed_again(
        lambda: evaluator.feature_wise_bucket_sum(rows, *wanted), KERNEL_REPEATS
    )
    answers, answered = timed(lambda: evaluator.add(sums, encryptor.encrypt(zeros)))
    found, decrypted = timed(lambda: decryptor.decrypt(answers))
    _check(found.to_numpy(kit.integer_encoder(1)).ravel().tolist(), data, by)
    costs = _Costs(made, encrypted, added, kernel, answered, decrypted)
    yield from costs.rows(
        by, sizes, len(rows.serialize()) / sizes.peer_rows, len(answers.serialize())
    )


def pypaillier(bits: int, sizes: Sizes) -> Iterator[Measured]:
    """Measure pypaillier; raises MissingError."""
    peer, by = load_peer("paillier", "pypaillier"), "pypaillier"
    (public, secret), made = timed(lambda: peer.generate_keypair(bits))
    data = Gradients.invent(sizes, sizes.peer_rows)
    gradients = data.values.tolist()
    blocks = [
        np.flatnonzero(column == index).tolist()
        for column in data.bins.T
        for index in range(data.width)
    ]
    rows, encrypted = timed(lambda: peer.encrypt_integers(public, gradients))
    _, added = timed(lambda: peer.add_many(public, rows))
    sums, kernel = timed_again(
        lambda: peer.add_blocks(public, rows, blocks), KERNEL_REPEATS
    )
    answers, answered = timed(lambda: peer.rerandomize(public, sums))
    found, decrypted = timed(lambda: peer.decrypt_exact_many(secret, answers))
    _check([value for value, _ in found], data, by)
    costs = _Costs(made, encrypted, added, kernel, answered, decrypted)
    yield from costs.rows(by, sizes, len(rows[0]), sum(map(len, answers)))


@dataclass(frozen=True, slots=True)
class _Costs:
    """What a peer took for a part of the rows and for all bins."""

    made: Cost
    encrypted: Cost
    added: Cost
    kernel: Cost
    answered: Cost
    decrypted: Cost

    def rows(
        self, by: str, sizes: Sizes, row_bytes: float, answer_bytes: float
    ) -> Iterator[Measured]:
        """Return single operations, then the histogram, scaled to all rows."""
        part, scale = 1 / sizes.peer_rows, sizes.rows / sizes.peer_rows
        yield Measured("make a key", by, "key", self.made)
        for what, cost, naive_one in (
            ("encrypt", self.encrypted.times(part), Operations(encryptions=1)),
            ("add", self.added.times(part), Operations(additions=1)),
            (
                "decrypt",
                self.decrypted.times(1 / sizes.cells),
                Operations(decryptions=1),
            ),
        ):
            yield Measured(what, by, "operation", cost, naive_one)
        per = f"{sizes.rows:,} rows"
        kernel = self.kernel.times(scale)
        additions = Operations(additions=sizes.rows * sizes.columns)
        yield Measured("histogram: kernel", by, per, kernel, additions)
        total = self.encrypted.times(scale) + kernel + self.answered + self.decrypted
        sent = row_bytes * sizes.rows + answer_bytes
        yield Measured("histogram: all", by, per, total.sending(sent), naive(sizes))


def _check(found: list[int], data: Gradients, by: str) -> None:
    if found != data.sums():
        raise ArithmeticError(f"{by} does not decrypt the plain sums")
