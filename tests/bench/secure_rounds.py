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
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.bench import machine
from tests.integration.chaos_members import lab_of
from veilscore.lab.enrolment import enrol
from veilscore.lab.holdings import make_holdings
from veilscore.lab.lab_file import read_lab
from veilscore.lab.processes import PartyProcess, stop_all
from veilscore.lab.starting import COORDINATOR, start_all
from veilscore.lab.training import Trained, joint_contract, train

MEMBERS: Final = (3, 6, 10)
ROUNDS: Final = 12
ENTITIES: Final = 3000  # for each bank, which knows some of them
BAR: Final = 0.15  # of a round
_SUM: Final = re.compile(
    r": (round-\d+): sum of (\d+) members took ([\d.]+) s$", re.MULTILINE
)
_HEAD: Final = "members  rounds  round s  p95   sum s  p95   without s   share"


def trained(members: int, state: Path) -> tuple[Trained, str]:
    """Have so many banks train; return the run, and what the coordinator logged.

    Raises LabError, RunStoppedError.
    """
    file = state / "lab.toml"
    file.write_text(lab_of(members, ENTITIES, ROUNDS), encoding="utf-8")
    lab = read_lab(str(file))
    holdings = dict(make_holdings(lab, None, state))
    federation = enrol(lab, holdings, state, _say)
    processes: dict[str, PartyProcess] = {}
    try:
        start_all(federation, state, processes)
        file = state / "contract.toml"
        contract = joint_contract(lab, lab.run[0], holdings)
        file.write_text(contract, encoding="utf-8")
        found = train(federation, file, _silent)
    finally:
        stop_all(processes.values())
    return found, (state / f"{COORDINATOR}.log").read_text(encoding="utf-8")


def sums_of(log: str, members: int) -> Iterator[tuple[str, float]]:
    """Yield the step and the seconds of every sum of all members in a round."""
    for step, added, seconds in _SUM.findall(log):
        if int(added) != members:
            raise RuntimeError(f"only {added} members in {step}")
        yield step, float(seconds)


def line(found: Trained, sums: Sequence[tuple[str, float]], members: int) -> str:
    """Return a line of the table; the first round also waits for workers to start."""
    rounds = {
        step: seconds
        for step, seconds in found.steps.items()
        if step.startswith("round-") and step != "round-1"
    }
    added = {
        step: sum(seconds for of, seconds in sums if of == step) for step in rounds
    }
    if not all(added.values()):
        raise RuntimeError("the coordinator's log tells of no sum in a round")
    whole, part = sum(rounds.values()), sum(added.values())
    share = part / whole
    return (
        f"{members:>7} {len(rounds):>7} {statistics.mean(rounds.values()):>8.2f} "
        f"{_p95(rounds.values()):>5.2f} {statistics.mean(added.values()):>6.3f} "
        f"{_p95(added.values()):>5.3f} {(whole - part) / len(rounds):>10.2f} "
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
            found, log = trained(members, Path(folder))
        lines.append(line(found, list(sums_of(log, members)), members))
        _say(lines[-1])
    _say(f"bar: {BAR:.0%} of a round")
    _say("\n".join((_HEAD, *lines)))
    _say(f"load before and after: {before} and {machine.load()}")


def _p95(seconds: Iterable[float]) -> float:
    ordered = sorted(seconds)
    return ordered[int(0.95 * len(ordered))]


def _silent(step: str) -> None:
    del step  # this times what the coordinator logs


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()
