"""``python -m tests.bench.secure_aggregation``: what secure aggregation takes.

Members and aggregator in one process, one after the other, every message a byte string;
no sockets. CPU seconds of a member are those of all its steps, on average; bytes are
those of its messages. The baseline, in the same run, adds the same vectors up in clear.

A second table shows what share of a round's time it takes: the baseline, in the same
run, is the local training of a member with as many rows, columns and bins as a region
of sba22k has, and the vectors are of the size of its model. Members work at the same
time, so a round takes as long as one of them and the aggregator. Flower's hop comes on
top (a second, not measured here); messages through the hub are left out.

Beside the first, the work of Flower's SecAgg+ for a member of as many: its own
functions for generating masks and for shares, with a threshold as high as ours. That is
a part of what SecAgg+ does, and it protects less (keys/README.md).
"""

import argparse
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

from tests.bench.measure import Cost, timed, timed_again
from tests.protocol.aggregation_round import (
    NAMES,
    STEPS,
    Attempt,
    Vector,
    plain_sum,
    terms,
    vectors,
)
from veilscore.keys.aggregation.terms import TOLERANT_FROM, Terms
from veilscore.keys.aggregation.wire import Kind
from veilscore.models.horizontal.local_training import LocalLearner
from veilscore.models.horizontal.terms import Members
from veilscore.models.horizontal.terms import Terms as HorizontalTerms

_REPEATS: Final = 3
# A region of sba22k: rows to learn from, bins of its columns.
_ROWS: Final = 3_100
_BINS: Final = (*[9] * 10, *[10] * 8)
_HEAD: Final = 2  # of a round's vector: members, digest
_HOP: Final = 1.0  # seconds that Flower takes for a round with our polling
_MOD: Final = 1 << 32  # SecAgg+'s default modulus


@dataclass(frozen=True, slots=True)
class Line:
    """Figures of one number of members."""

    members: str
    member: Cost
    received: int  # bytes, by a member
    aggregator: Cost
    plain: Cost
    flower: Cost

    def cells(self) -> tuple[str, ...]:
        """Return the line of the table."""
        whole = self.aggregator.cpu_s
        return (
            self.members,
            f"{self.member.cpu_s:.3f}",
            f"{self.member.wire_bytes / 1e6:.2f}",
            f"{self.received / 1e6:.2f}",
            f"{whole:.3f}",
            f"{self.aggregator.wire_bytes / 1e6:.1f}",
            f"{self.plain.cpu_s:.4f}",
            f"{whole / self.plain.cpu_s:.0f}",
            f"{self.flower.cpu_s:.3f}",
            f"{self.flower.cpu_s / self.member.cpu_s:.1f}",
        )


_TITLES: Final = (
    *("members", "member s", "sends MB", "gets MB"),
    *("aggregator s", "sends MB", "plain sum s", "x plain"),
    *("SecAgg+ parts s", "x ours"),
)
_SHARES: Final = (
    *("members", "training ms", "member ms", "aggregator ms", "x training"),
    *("share", "share with a hop"),
)


def measured(asked: Terms, given: dict[str, Vector], drops: dict[str, Kind]) -> Line:
    """Play one attempt, check its sum, and return what it took."""
    attempt = Attempt(asked, given)
    member, aggregator = Cost(), Cost()
    present, heard, received = list(asked.names), b"", 0
    for step in STEPS:
        present = [name for name in present if drops.get(name) is not step]
        received += len(heard)
        for name in present:
            data, cost = timed(partial(attempt.answer, step, name, heard))
            member += cost.sending(len(data))
            aggregator += timed(partial(attempt.aggregator.take, data))[1]
        heard, cost = timed(partial(attempt.close, step))
        aggregator += cost.sending(len(heard) * len(present))
    for name in present:
        found, cost = timed(partial(attempt.members[name].finish, heard))
        member += cost
        if not np.array_equal(found.total, plain_sum(given, found.survivors)):
            raise AssertionError("the sum is wrong")
    _, plain = timed_again(lambda: plain_sum(given, asked.names), _REPEATS)
    count = str(len(asked.names)) + (f", {len(drops)} dropped" if drops else "")
    return Line(
        count,
        member.times(1 / len(present)),
        received + len(heard),
        aggregator,
        plain,
        secagg_plus(asked),
    )


def secagg_plus(asked: Terms) -> Cost:
    """Return what a member of SecAgg+ takes for masks and shares of its two secrets."""
    members, threshold = len(asked.names), asked.threshold
    secret = secrets.token_bytes(32)

    def work() -> None:
        for _ in range(members):  # its own mask, and one with every other member
            pseudo_rand_gen(secret, _MOD, [(asked.length,)])
        shares = [create_shares(secret, threshold, members) for _ in range(2)]
        combine_shares(shares[0][:threshold])

    return timed_again(work, 1)[1]


def training() -> Cost:
    """Return what a round of local training takes, by the contract's defaults."""
    draw = np.random.default_rng(0)
    codes = draw.integers(0, _BINS, (_ROWS, len(_BINS))).astype(np.uint16)
    agreed = HorizontalTerms(run="r", members=Members(most=10))
    learner = LocalLearner(codes, draw.random(_ROWS) < 0.2, _BINS, agreed)
    model = np.zeros(sum(_BINS) + 1)
    learner.learn(model, 1, _ROWS)  # torch's first steps are slower
    return timed_again(lambda: learner.learn(model, 1, _ROWS), _REPEATS)[1]


def share(members: int) -> tuple[str, ...]:
    """Return what share of a round secure aggregation is for so many members."""
    asked = terms(members, length=_HEAD + sum(_BINS) + 1)
    trained = training().cpu_s
    runs = [measured(asked, vectors(asked), {}) for _ in range(_REPEATS)]
    member = min(run.member.cpu_s for run in runs)
    aggregator = min(run.aggregator.cpu_s for run in runs)
    added = member + aggregator
    return (
        f"{members}",
        f"{1e3 * trained:.1f}",
        f"{1e3 * member:.1f}",
        f"{1e3 * aggregator:.1f}",
        f"{added / trained:.2f}",
        f"{added / (trained + added):.0%}",
        f"{added / (trained + added + _HOP):.1%}",
    )


def table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return rows of cells in Markdown."""
    rule = ["---"] * len(titles)
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, rule, *lines))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.secure_aggregation")
    parser.add_argument("--parameters", type=int, default=1_000_000)
    parser.add_argument("--members", type=int, nargs="*", default=[3, 5, 7, 10])
    options = parser.parse_args()
    lines: list[Sequence[str]] = []
    for members in options.members:
        asked = terms(members, length=options.parameters)
        given = vectors(asked)
        measured(terms(members, length=100), vectors(terms(members, length=100)), {})
        for drops in ({}, {NAMES[0]: Kind.MASKED}):
            if drops and members < TOLERANT_FROM:
                continue
            print(f"{members} members", file=sys.stderr, flush=True)  # noqa: T201 - it is a program
            lines.append(measured(asked, given, drops).cells())
    print(table(_TITLES, lines))  # noqa: T201
    shares = [share(members) for members in options.members]
    print(f"\n{table(_SHARES, shares)}")  # noqa: T201


if __name__ == "__main__":
    main()
