"""Measure the engine, whole workloads and other libraries beside plain ``phe``."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias

from tests.bench import machine, report
from tests.bench.histogram_workload import histogram_workload
from tests.bench.hosted_score import hosted_score
from tests.bench.joint_score import joint_score
from tests.bench.optional import MissingError
from tests.bench.peers import heu, pypaillier
from tests.bench.plain_phe import PlainPhe
from tests.bench.primitives import owner_encryption, primitives
from tests.bench.rows import FULL, QUICK, Measured, Row, Sizes
from veilscore.keys.paillier import safe_primes
from veilscore.keys.paillier.private import PrivateKey

SIZES_OF_KEYS = (2048, 3072)
OURS = "veilscore"
Group: TypeAlias = Callable[[], Iterable[Measured]]


def groups(bits: int, key: PrivateKey, sizes: Sizes) -> Iterator[tuple[str, Group]]:
    """Return every group of rows by name; each is measured beside its own baseline."""
    yield "operations", partial(primitives, key, OURS, sizes)
    yield "histogram", partial(histogram_workload, key, OURS, sizes)
    yield "joint score", partial(joint_score, key, OURS, sizes)
    yield "hosted score", partial(hosted_score, key, OURS)
    yield "safe primes", partial(short_exponents, bits, sizes)
    yield "sf-heu ZPaillier", partial(heu, "ZPaillier", bits, sizes)
    yield "sf-heu OU", partial(heu, "OU", bits, sizes)
    yield "pypaillier", partial(pypaillier, bits, sizes)


def short_exponents(bits: int, sizes: Sizes) -> Iterator[Measured]:
    """Measure what short exponents make faster."""
    key, by = safe_primes.generate(_ignore, bits), f"{OURS}, safe primes"
    yield from owner_encryption(key, by, sizes)
    yield from histogram_workload(key, by, sizes)
    yield from hosted_score(key, by)


def main() -> None:
    """Print the table; write the JSON and, after a complete run, RESULTS.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--bits", type=int, choices=SIZES_OF_KEYS, help="one key size")
    parser.add_argument("--quick", action="store_true", help="small workloads")
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    rows: list[Row] = []
    skipped: list[str] = []
    about, before = machine.describe(), machine.load()
    for bits in [options.bits] if options.bits else SIZES_OF_KEYS:
        key = PrivateKey.generate(bits)
        for name, work in groups(bits, key, sizes):
            print(f"{bits} bits: {name}", file=sys.stderr, flush=True)  # noqa: T201 - it is a program
            plain = PlainPhe.sample(key, sizes.samples)
            try:
                measured = list(work())
            except MissingError as missing:
                skipped.append(f"at {bits} bits {missing}")
                continue
            plain = plain.lower(PlainPhe.sample(key, sizes.samples))
            rows += [Row.of(bits, each, plain) for each in measured]
    about["load before and after"] = f"{before} and {machine.load()}"
    report.write_json(about, rows, skipped)
    if not (options.quick or options.bits):
        report.write_markdown(about, rows, skipped)
    report.show(rows, skipped)


def _ignore(count: int) -> None:
    """Show nothing of the search for primes."""


if __name__ == "__main__":
    main()
