"""Encryption, histogram and joint score beside plain ``phe``, in one process.

The baseline is what a user of the library would write: ``phe`` keys, ``+`` and one
ciphertext a value. Ours must give the same plaintexts; that is checked on the way.
"""

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import phe
from rich.console import Console
from rich.progress import track
from rich.table import Table

from veilscore.keys.paillier.histogram import histogram
from veilscore.keys.paillier.owner_noise import OwnerEncryptor
from veilscore.keys.paillier.peer_noise import PeerEncryptor
from veilscore.keys.paillier.private import PrivateKey
from veilscore.models.vertical.layout import ScoreLayout

RESULTS = Path(__file__).with_name("results.json")
ROWS, COLUMNS, BINS, HOLDERS = 240, 13, 8, 3


@dataclass(frozen=True)
class Row:
    """One comparison: CPU seconds per item of the baseline and of ours."""

    what: str
    bits: int
    baseline_s: float
    ours_s: float

    @property
    def ratio(self) -> float:
        return self.baseline_s / self.ours_s


def cpu(work: Callable[[], object], items: int) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) / items


def encryption(key: PrivateKey) -> Row:
    own, plain = OwnerEncryptor(key), key.public.to_phe()
    values = list(range(ROWS))
    own.encrypt(values[:1])  # builds the tables
    few = values[: ROWS // 10]
    return Row(
        "owner's encryption",
        key.public.bits,
        cpu(lambda: [plain.encrypt(value) for value in few], len(few)),
        cpu(lambda: own.encrypt(values), len(values)),
    )


def ciphertext_histogram(key: PrivateKey) -> Row:
    public, plain = key.public, key.public.to_phe()
    rows = OwnerEncryptor(key).encrypt([1] * ROWS)
    codes = np.random.default_rng(1).integers(0, BINS, (ROWS, COLUMNS))
    numbers = [phe.EncryptedNumber(plain, row) for row in rows]
    nothing = phe.EncryptedNumber(plain, 1)

    def naive() -> None:
        sums = [[nothing] * BINS for _ in range(COLUMNS)]
        for number, bins in zip(numbers, codes.tolist(), strict=True):
            for column, index in enumerate(bins):
                sums[column][index] = sums[column][index] + number

    found: list[list[int]] = []
    ours = cpu(
        lambda: found.extend(
            histogram(public, rows, codes.astype(np.uint16), [BINS] * COLUMNS)
        ),
        ROWS,
    )
    counts = key.decrypt([value for column in found for value in column])
    expected = [np.bincount(codes[:, i], minlength=BINS) for i in range(COLUMNS)]
    assert counts == np.concatenate(expected).tolist()
    name = f"histogram row, {COLUMNS} x {BINS} bins"
    return Row(name, public.bits, cpu(naive, ROWS), ours)


def joint_score(key: PrivateKey) -> Row:
    public, plain, private = key.public, key.public.to_phe(), key.to_phe()
    layout = ScoreLayout.plan(public.n)
    points = [list(range(i, i + layout.slots * 4)) for i in range(HOLDERS)]
    encryptors = [PeerEncryptor(public) for _ in points]
    for encryptor in encryptors:
        encryptor.encrypt([0])  # builds the tables

    def naive() -> None:
        for index in range(3):
            total = plain.encrypt(points[0][index])
            for part in points[1:]:
                total = total + plain.encrypt(part[index])
            assert private.decrypt(total) == sum(part[index] for part in points)

    def ours() -> None:
        vectors = [
            encryptor.encrypt([public.to_residue(value) for value in layout.pack(part)])
            for encryptor, part in zip(encryptors, points, strict=True)
        ]
        total = vectors[0]
        for vector in vectors[1:]:
            total = public.add(total, vector)
        scores = layout.unpack(key.decrypt(total), len(points[0]), public.n, "bench")
        assert scores == [sum(parts) for parts in zip(*points, strict=True)]

    return Row(
        f"joint score, {HOLDERS} holders",
        public.bits,
        cpu(naive, 3),
        cpu(ours, len(points[0])),
    )


def main() -> None:
    rows = [
        measure(PrivateKey.generate(bits))
        for bits in (2048, 3072)
        for measure in track(
            (encryption, ciphertext_histogram, joint_score), f"{bits} bits"
        )
    ]
    table = Table("what", "bits", "phe, ms", "ours, ms", "ratio")
    for row in rows:
        table.add_row(
            row.what,
            str(row.bits),
            f"{row.baseline_s * 1e3:.3f}",
            f"{row.ours_s * 1e3:.3f}",
            f"{row.ratio:.1f}",
        )
    Console().print(table)
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.python_version()}"
    )
    figures = [asdict(row) | {"ratio": row.ratio} for row in rows]
    RESULTS.write_text(json.dumps({"machine": machine, "rows": figures}, indent=1))


if __name__ == "__main__":
    main()
