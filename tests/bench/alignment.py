"""Align invented entities among three holders, each in a process of its own.

Prints, of every process and stage: seconds, CPU seconds, CPU microseconds for each row
of a table, and the most memory it took. The processes are joined by pipes; Flower, hub
and envelopes are left out, which add nothing that grows with the rows of a table.

    python -m tests.bench.alignment --entities 500000
    python -m tests.bench.alignment --entities 4120000 --plain-group

``--plain-group`` puts the integers modulo a prime in the place of ristretto255. They
hide nothing, but have points of the same size and pass the same checks, 20 times as
fast: memory is then what it is with the real group, time is not.
"""

import argparse
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.bench.plain_group import use_plain_group
from veilscore.coordinator.alignment import place_rows
from veilscore.coordinator.inbox import Inbox
from veilscore.keys.entity_ids import EntityKind
from veilscore.models.script import (
    Action,
    Arrived,
    Await,
    Progress,
    Send,
    drive,
)
from veilscore.node.sources.loading import load_columns
from veilscore.node.sources.settings import (
    FeatureSettings,
    IdSettings,
    LabelSettings,
    SourceSettings,
)
from veilscore.node.training.alignment import align
from veilscore.node.training.binned import BinnedColumns
from veilscore.node.training.mailbox import Mailbox
from veilscore.runtime.allocation import return_free_pages, return_large_blocks
from veilscore.v1.training_pb2 import RunContract, TrainingMessage

HOLDERS: Final = ("agriculture", "bank", "regulator")
LABEL_HOLDER, COORDINATOR = "bank", "coordinator"
COLUMNS: Final = 13  # as the widest table of the demo economy
ASKED: Final = 1_000
_TAILS: Final = 10_000  # different rows, apart from their ids
_WRITE: Final = 100_000  # rows at a time
_RUN: Final = "5f" * 16
_STEP_S: Final = 24 * 3600.0

Result = TypeVar("Result")
Link = Connection  # of messages, or of stages to the process that prints


@dataclass(frozen=True)
class Stage:
    """What one process took for one stage."""

    party: str
    name: str
    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass
class Meter:
    """Measures the stages of this process; each begins where the last one ended."""

    party: str
    stages: list[Stage] = field(default_factory=list[Stage])

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far

    def done(self, name: str) -> None:
        status = Path("/proc/self/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        wall, cpu = time.monotonic() - self._wall, time.process_time() - self._cpu
        megabytes = int(peak.split()[1]) * 1024 / 1e6
        self.stages.append(Stage(self.party, name, wall, cpu, megabytes))
        self._begin()


def source(folder: Path, holder: str) -> SourceSettings:
    labelled = holder == LABEL_HOLDER
    return SourceSettings(
        csv=folder / f"{holder}.csv",
        id=IdSettings(column="id", type=EntityKind.OPAQUE),
        feature=tuple(
            FeatureSettings(column=f"c{at}", kind="numeric" if at else "categorical")
            for at in range(COLUMNS)
        ),
        label=LabelSettings(column="bad") if labelled else None,
    )


def write_table(folder: Path, holder: str, entities: int) -> None:
    """Write what a holder knows: as many as any, nine in ten of them known to all."""
    rng = np.random.default_rng(HOLDERS.index(holder))
    cells = rng.normal(100, 30, (_TAILS, COLUMNS - 1)).round(2).tolist()
    levels, bad = (
        rng.choice(["A", "B", "C"], _TAILS),
        rng.choice(["", "0", "1"], _TAILS),
    )
    tails = [
        ",".join([level, *map(str, row), *([label] if holder == LABEL_HOLDER else [])])
        for level, row, label in zip(levels, cells, bad, strict=True)
    ]
    first = HOLDERS.index(holder) * entities // 20
    header = ["id", *(f"c{at}" for at in range(COLUMNS))]
    with (folder / f"{holder}.csv").open("w") as file:
        file.write(",".join([*header, "bad"][: len(tails[0].split(",")) + 1]) + "\n")
        for start in range(first, first + entities, _WRITE):
            numbers = range(start, min(start + _WRITE, first + entities))
            drawn = rng.integers(0, _TAILS, len(numbers)).tolist()
            file.writelines(
                f"{500_000_000_000_000_000 + 7 * number},{tails[tail]}\n"
                for number, tail in zip(numbers, drawn, strict=True)
            )


@dataclass
class Party:
    """One process: its links to the others, what came by them, its meter."""

    name: str
    links: Mapping[str, Link]
    inbox: Mailbox | Inbox
    meter: Meter = field(init=False)

    def __post_init__(self) -> None:
        self.meter = Meter(self.name)
        for sender, link in self.links.items():
            threading.Thread(
                target=self._listen, args=(sender, link), daemon=True
            ).start()

    def _listen(self, sender: str, link: Link) -> None:
        try:
            while True:
                self.inbox.put(sender, TrainingMessage.FromString(link.recv_bytes()))
        except EOFError:
            return  # that party has done its part

    def drive(
        self,
        script: Generator[Action, Arrived, Result],
        stages: Mapping[str, str],
    ) -> Result:
        """Play a script; ``stages`` names those that end where a kind is awaited."""

        def send(action: Send) -> None:
            self.links[action.to].send_bytes(action.message.SerializeToString())

        def wait_for(action: Await) -> Arrived:
            if action.kind in stages:
                self.meter.done(stages[action.kind])
            return self.inbox.take(action.kind, action.senders, _STEP_S)

        return drive(script, send=send, wait=wait_for, show=_ignore)


def _ignore(_: Progress) -> None:
    """Show no progress: alignment tells none."""


def hold(party: Party, folder: Path) -> None:
    """Do a holder's part: read the table, align it, bin it, find rows by id."""
    columns = load_columns(source(folder, party.name), party.name)
    return_free_pages()  # as a node does
    party.meter.done("read the table")
    index = columns.index()
    party.meter.done("index its ids")
    wanted = columns.labels >= 0
    script = align(party.name, HOLDERS, COORDINATOR, _RUN, columns.ids, wanted)
    alignment = party.drive(
        script, {"hop_challenge": "raise all sets", "positions": "prove the hops"}
    )
    party.meter.done("learn the positions")
    binned = BinnedColumns.of(columns, alignment)
    party.meter.done("bin the columns")
    asked = columns.ids[:: max(1, len(columns) // ASKED)]
    found = index.rows(asked)
    party.meter.done(f"find {len(asked)} ids")
    assert [columns.ids[row] for row in found] == list(asked)
    assert binned.columns.rows == alignment.rows


def coordinate(party: Party, entities: int) -> None:
    contract = RunContract(
        run=_RUN, label_holder=LABEL_HOLDER, cover_ratio=-1.0, max_rows=2 * entities
    )
    party.drive(
        place_rows(contract, HOLDERS),
        {"hop_key": "collect all sets", "set_marks": "check the hops"},
    )
    party.meter.done("place the rows")


def take_part(
    name: str,
    links: Mapping[str, Link],
    results: Link,
    folder: Path,
    options: argparse.Namespace,
) -> None:
    """Run one process."""
    return_large_blocks()  # as node and coordinator do
    if options.plain_group:
        use_plain_group()
    party = Party(name, links, Inbox() if name == COORDINATOR else Mailbox())
    party.meter.done("start")
    if name == COORDINATOR:
        coordinate(party, options.entities)
    else:
        hold(party, folder)
    results.send(party.meter.stages)


def run(folder: Path, options: argparse.Namespace) -> list[Stage]:
    """Run all processes at once; raises RuntimeError as soon as one has failed."""
    context = multiprocessing.get_context("spawn")
    names = (*HOLDERS, COORDINATOR)
    links: dict[str, dict[str, Link]] = {name: {} for name in names}
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            links[one][other], links[other][one] = context.Pipe()
    results = {name: context.Pipe(duplex=False) for name in names}
    processes = [
        context.Process(
            target=take_part,
            args=(name, links[name], results[name][1], folder, options),
        )
        for name in names
    ]
    for process in processes:
        process.start()
    for ends in links.values():
        for link in ends.values():
            link.close()
    try:
        running = {process.sentinel: process for process in processes}
        while running:
            for sentinel in wait(list(running)):
                ended = running.pop(int(str(sentinel)))
                ended.join()
                if ended.exitcode != 0:
                    raise RuntimeError(f"a process ended with {ended.exitcode}")
    finally:
        for process in processes:
            process.kill()
    return [stage for name in names for stage in _received(results[name][0])]


def _received(link: Link) -> list[Stage]:
    stages: list[Stage] = link.recv()
    return stages


def show(stages: list[Stage], entities: int, say: Callable[[Table], None]) -> None:
    table = Table("process", "stage", "s", "CPU s", "CPU us a row", "peak MB")
    for stage in stages:
        table.add_row(
            stage.party,
            stage.name,
            f"{stage.wall_s:.1f}",
            f"{stage.cpu_s:.1f}",
            f"{stage.cpu_s / entities * 1e6:.1f}",
            f"{stage.peak_mb:.0f}",
        )
    say(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Align invented entities.")
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument("--plain-group", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for holder in HOLDERS:
            write_table(Path(folder), holder, options.entities)
        stages = run(Path(folder), options)
    show(stages, options.entities, Console(width=100).print)


if __name__ == "__main__":
    main()
