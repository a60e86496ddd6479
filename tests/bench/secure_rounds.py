"""``python -m tests.bench.secure_rounds``: what secure aggregation adds to a round.

Every party runs as in production, in a process of its own on this machine, joined by
mutual TLS; three, six and ten banks of different counties train one scorecard over all
their rows. The baseline, in the same run, is the round without its sum: Flower's hop to
every member and back, and local training. A sum is timed by the coordinator, from the
message by which it begins to the one that tells all members the total, and so includes
the hub's hops, all envelopes and the entry in the audit log.
"""

import argparse
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.bench import machine
from tests.integration.chaos_members import lab_of
from veilscore.lab.lab_file import read_lab
from veilscore.lab.run import run_lab
from veilscore.lab.starting import COORDINATOR

MEMBERS: Final = (3, 6, 10)
ROUNDS: Final = 12
ENTITIES: Final = 3000  # for each bank, which knows some of them
BAR: Final = 0.15  # of a round
_SUM: Final = re.compile(
    r": (round-\d+): sum of (\d+) members took ([\d.]+) s$", re.MULTILINE
)
_HEAD: Final = "members  rounds  round s  p95   sum s  p95   without s   share"


def played(members: int, state: Path) -> tuple[Mapping[str, float], str]:
    """Have so many banks train; return the steps' seconds, and the coordinator's log.

    Raises what ``run_lab`` raises, which also scores, compares and audits.
    """
    file = state / "lab.toml"
    file.write_text(lab_of(members, ENTITIES, ROUNDS), encoding="utf-8")
    (run,) = run_lab(read_lab(str(file)), data=None, state=state, watch=_silent).runs
    return run.steps, (state / f"{COORDINATOR}.log").read_text(encoding="utf-8")


def sums_of(log: str, members: int) -> Iterator[tuple[str, float]]:
    """Yield every round, and the seconds of its sum of all members."""
    for step, added, seconds in _SUM.findall(log):
        if int(added) != members:
            raise RuntimeError(f"only {added} members in {step}")
        yield step, float(seconds)


def line(steps: Mapping[str, float], sums: Mapping[str, float], members: int) -> str:
    """Return a line of the table; the first round also waits for workers to start."""
    rounds = [step for step in sums if step != "round-1"]
    took, added = [steps[step] for step in rounds], [sums[step] for step in rounds]
    whole, part = statistics.mean(took), statistics.mean(added)
    share = part / whole
    return (
        f"{members:>7} {len(rounds):>7} {whole:>8.2f} {_p95(took):>5.2f} "
        f"{part:>6.3f} {_p95(added):>5.3f} {whole - part:>10.2f} "
        f"{share:>7.1%}{'' if share <= BAR else '  above the bar'}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.secure_rounds")
    parser.add_argument("--members", type=int, nargs="+", default=MEMBERS)
    options, before = parser.parse_args(), machine.load()
    lines: list[str] = []
    for members in options.members:
        with tempfile.TemporaryDirectory() as folder:
            steps, log = played(members, Path(folder))
        lines.append(line(steps, dict(sums_of(log, members)), members))
        _say(lines[-1])
    _say(f"bar: {BAR:.0%} of a round")
    _say("\n".join((_HEAD, *lines)))
    _say(f"load before and after: {before} and {machine.load()}")


def _p95(seconds: Sequence[float]) -> float:
    ordered = sorted(seconds)
    return ordered[int(0.95 * len(ordered))]


def _silent(step: str) -> None:
    del step  # this times what the coordinator logs


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()
