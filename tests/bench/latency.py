"""``python -m tests.bench.latency``: how long a bank waits for receipts and scores.

First, before its own node runs, for receipts alone (``receipts``). Then every party
runs as in production: three data holders and a coordinator in processes of their own,
on this machine, joined by mutual TLS; the bank's loan system keeps one connection open
for each caller. A request passes the bank's REST interface, the hub, the other two
holders and the log, which proves three parties' events, cosigned by its witnesses,
before there is a score. ``make bench`` runs the quick form.

The baseline, in the same run: one addition and one decryption of plain ``phe`` for each
borrower, which no bank could do without, in this process and without any party, wire or
log. ``make bench`` runs the quick form, whose two lines have a bar each.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import httpx
import phe

from tests.bench import machine
from tests.bench.receipts import recording, wait_for_receipts
from veilscore.lab.enrolment import Federation, Member, enrol
from veilscore.lab.holdings import make_holdings
from veilscore.lab.lab_file import LabFile
from veilscore.lab.plain import read_table
from veilscore.lab.processes import PartyProcess, stop_all
from veilscore.lab.starting import COORDINATOR, start, start_all, wait_until_ready
from veilscore.lab.training import contract, train

HOLDERS: Final = ("bank", "regulator", "agriculture")
BORROWERS: Final = (1, 10, 100, 1000)
CALLERS: Final = (1, 5, 20, 50)
RECORDING: Final = (1, 5, 20)  # callers that wait for receipts
_ENTITIES: Final = 2000
_EVENTS: Final = 300  # for each number of them
_CALLS: Final = 100  # of one borrower; fewer of many
_WARM_S: Final = 5.0
_HEAD: Final = "borrowers  callers  calls   p50 ms   p95 ms       1/s  p50/phe"
_BAR: Final = "  bar p50 250"  # of one borrower with two witnesses


@dataclass(frozen=True, slots=True)
class Waits:
    """How long the calls of one kind took."""

    borrowers: int
    callers: int
    seconds: Sequence[float]
    elapsed: float

    def line(self, plain_s: float) -> str:
        """Return a line of the table; the baseline took ``plain_s`` a borrower."""
        ordered = sorted(self.seconds)
        p50 = statistics.median(ordered)
        p95 = ordered[int(0.95 * len(ordered))]
        rate = len(ordered) * self.borrowers / self.elapsed
        ratio = p50 / (plain_s * self.borrowers)
        return (
            f"{self.borrowers:>9} {self.callers:>8} {len(ordered):>6} "
            f"{p50 * 1e3:>8.1f} {p95 * 1e3:>8.1f} {rate:>9.1f} {ratio:>8.3g}"
            f"{_BAR if (self.borrowers, self.callers) == (1, 1) else ''}"
        )


def lab_file(bits: int, witnesses: int) -> LabFile:
    """Return three holders of invented data, one of which asks."""
    scoring = {"requesters": ["bank"], "purposes": ["pre_loan"]}
    training = {"approve": "automatic", "runs_a_day": 1000}
    return LabFile.model_validate(
        {
            "name": "latency",
            "key_bits": bits,
            "witnesses": witnesses,
            "economy": {"entities": _ENTITIES, "seed": 2},
            "party": tuple(
                {
                    "name": name,
                    "holder": name,
                    "roles": ("data_holder", "requester")
                    if name == "bank"
                    else ("data_holder",),
                    "training": training,
                    "scoring": {} if name == "bank" else scoring,
                }
                for name in HOLDERS
            ),
            "run": ({"name": "default"},),
            "score": {"requester": "bank", "entities": 1},
        }
    )


@contextmanager
def federation(
    bits: int, witnesses: int, state: Path
) -> Generator[tuple[Federation, list[str]]]:
    """Run a federation with a model, for the body; yields it and the bank's ids.

    Tells how long receipts take before the nodes are started.
    """
    lab = lab_file(bits, witnesses)
    holdings = dict(make_holdings(lab, None, state))
    made = enrol(lab, holdings, state, _say)
    processes: dict[str, PartyProcess] = {}
    try:
        start_all(replace(made, members={}), state, processes)
        _say(_HEAD)
        with recording(made.members["bank"]) as receipts:
            wait_for_receipts(receipts, _CALLS, 1)  # connections are made
            for callers in RECORDING:
                _say(wait_for_receipts(receipts, _EVENTS, callers).line())
        for party in made.members:
            processes[party] = start(made, state, party)
        wait_until_ready(made, [COORDINATOR, *made.members], processes)
        file = state / "contract.toml"
        file.write_text(contract(lab, lab.run[0], "bank"), encoding="utf-8")
        train(made, file, _say)
        table = read_table(made.members["bank"].holding)
        yield made, [f"{kind}:{entity}" for kind, entity in table.written]
    finally:
        stop_all(processes.values())


def ask(bank: Member, ids: Sequence[str], borrowers: int, callers: int) -> Waits:
    """Ask again and again, each caller over a connection of its own."""
    calls = max(10, _CALLS // max(1, borrowers // 10))
    calls = max(calls, callers)
    token = (bank.folder / "web.token").read_text(encoding="ascii").strip()

    def caller(number: int) -> list[float]:
        taken: list[float] = []
        with httpx.Client(
            base_url=bank.web,
            headers={"Authorization": f"Bearer {token}"},
            timeout=60.0,
            trust_env=False,
        ) as client:
            for call in range(number, calls, callers):
                chosen = [
                    ids[(call * borrowers + each) % len(ids)]
                    for each in range(borrowers)
                ]
                body = {
                    "entities": [
                        dict(zip(("type", "id"), each.split(":", 1), strict=True))
                        for each in chosen
                    ],
                    "purpose": "pre_loan",
                    "consent": "bench",
                }
                began = time.perf_counter()
                answer = client.post("/v1/scores", json=body)
                taken.append(time.perf_counter() - began)
                answer.raise_for_status()
        return taken

    began = time.perf_counter()
    with ThreadPoolExecutor(callers) as threads:
        taken = [one for many in threads.map(caller, range(callers)) for one in many]
    return Waits(borrowers, callers, taken, time.perf_counter() - began)


def plain(bits: int) -> float:
    """Return the seconds of one addition and one decryption of ``phe``."""
    public, private = phe.generate_paillier_keypair(n_length=bits)
    one, two = public.encrypt(1), public.encrypt(2)
    taken: list[float] = []
    for _ in range(20):
        began = time.perf_counter()
        private.decrypt(one + two)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.latency")
    parser.add_argument("--bits", type=int, default=3072)
    parser.add_argument("--witnesses", type=int, default=2, help="of the log")
    parser.add_argument("--quick", action="store_true", help="one borrower, one caller")
    options, before = parser.parse_args(), machine.load()
    with (
        tempfile.TemporaryDirectory() as folder,
        federation(options.bits, options.witnesses, Path(folder)) as (made, ids),
    ):
        bank = made.members["bank"]
        ask(bank, ids, 1, 1)
        time.sleep(_WARM_S)  # pools fill
        plain_s = plain(options.bits)
        _say(f"plain phe: {plain_s * 1e3:.1f} ms a borrower")
        _say(_HEAD)
        shapes = [(borrowers, 1) for borrowers in BORROWERS]
        shapes += [(1, callers) for callers in CALLERS[1:]]
        for borrowers, callers in shapes[:1] if options.quick else shapes:
            _say(ask(bank, ids, borrowers, callers).line(plain_s))
            time.sleep(_WARM_S)
        _say(f"load before and after: {before} and {machine.load()}")


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()
