"""``python -m tests.bench.audit_log``: what the audit log takes.

Events of one actor go into a log in batches, as the coordinator takes them: durable
(WAL, synchronous=FULL), with tiles, a signed checkpoint and the guard. Then a log of a
million entries is made, and proofs, a receipt with three witnesses and a whole check
are taken from it.

The baseline, in the same run and on the same disk: the same leaves in the same batches
in a plain SQLite table, just as durable, with no index, tree or signature.
"""

import argparse
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.unit.tlog.sample_log import NOW_MS, ORIGIN, Parties, own_word
from veilscore.coordinator.cosigning import Cosigning
from veilscore.coordinator.log import LogService
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.cosignature import cosign
from veilscore.keys.tlog.events import (
    ActorHead,
    OpenedEvent,
    build_event,
    read_event,
    sign_event,
)
from veilscore.keys.tlog.fsck import check_file
from veilscore.keys.tlog.note import text_of
from veilscore.keys.tlog.store import LogStore
from veilscore.v1.audit_pb2 import ScoreAnswered, SignedEvent

BATCH: Final = 100
_ENTRIES: Final = 1_000_000
_SIGNED: Final = 20_000
_PROOFS: Final = 2_000
_WITNESSES: Final = 3
_ANSWER: Final = ScoreAnswered(
    commitment=bytes(range(32)), ciphertexts=1, paillier_bits=3072
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table; ``bar`` is what the project asks for."""

    what: str
    found: str
    bar: str
    baseline: str = ""


def events(count: int, signer: Signer | None) -> Iterator[OpenedEvent]:
    """Yield a chain of one actor's events, without real signatures for no signer.

    The store does not verify: it gets what was verified.
    """
    head = ActorHead()
    for _ in range(count):
        event = build_event(
            _ANSWER, actor="bank", head=head, correlation="ab" * 32, time_ms=NOW_MS
        )
        if signer:
            opened = sign_event(event, signer)
        else:
            body = event.SerializeToString(deterministic=True)
            signed = SignedEvent(body=body, key_id=bytes(8), signature=bytes(64))
            opened = read_event(signed.SerializeToString(deterministic=True))
        head = opened.head
        yield opened


def batches(found: Iterator[OpenedEvent], size: int) -> Iterator[list[OpenedEvent]]:
    """Cut a chain into batches."""
    batch: list[OpenedEvent] = []
    for opened in found:
        batch.append(opened)
        if len(batch) == size:
            yield batch
            batch = []


def fill(store: LogStore, entries: int) -> float:
    """Append a chain in batches of a hundred; return the seconds of appending."""
    seconds = 0.0
    for at, batch in enumerate(batches(events(entries, None), BATCH)):
        began = time.perf_counter()
        store.append(batch)
        seconds += time.perf_counter() - began
        if at % 1000 == 0:
            _say(f"{at * BATCH:,} entries")
    return seconds


def plain(folder: Path, entries: int) -> float:
    """Return the seconds that a plain table takes for the same batches."""
    seconds = 0.0
    with closing(sqlite3.connect(folder / "plain.db", isolation_level=None)) as file:
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            file.execute(f"PRAGMA {pragma}").close()
        file.execute("CREATE TABLE entry (idx INTEGER PRIMARY KEY, leaf BLOB)").close()
        for at, batch in enumerate(batches(events(entries, None), BATCH)):
            rows = [(at * BATCH + n, opened.leaf) for n, opened in enumerate(batch)]
            began = time.perf_counter()
            file.execute("BEGIN IMMEDIATE").close()
            file.executemany("INSERT INTO entry VALUES (?, ?)", rows).close()
            file.execute("COMMIT").close()
            seconds += time.perf_counter() - began
    return seconds


def signed(folder: Path) -> Iterator[Line]:
    """Measure what parties hand in: every signature is verified, receipts returned.

    A hundred come together when several callers wait for the same write to the disk.
    """
    parties = Parties.generate()
    hub, bank = parties.signers["hub"], parties.signers["bank"]
    store = LogStore.create(
        folder / "signed.db", ORIGIN, hub, guard=folder / "signed-guard.db"
    )
    service = LogService(
        store, parties.registry, hub, Cosigning(store, own_word(store.key))
    )
    made = list(batches(events(_SIGNED, bank), BATCH))
    seconds = _seconds(lambda: _hand_in(service, made))
    rate = _SIGNED / seconds
    yield Line("actor-signed events a second, batch 100", f"{rate:,.0f}", "5,000")
    store.close()


def _hand_in(service: LogService, made: Sequence[Sequence[OpenedEvent]]) -> None:
    for batch in made:
        service.append([opened.leaf for opened in batch])


def large(folder: Path, entries: int) -> Iterator[Line]:
    """Measure a large log: filling it, proofs, a receipt's size, a whole check."""
    hub = Signer.generate()
    path = folder / "large.db"
    store = LogStore.create(path, ORIGIN, hub, guard=folder / "guard.db")
    rate, base = entries / fill(store, entries), entries / plain(folder, entries)
    yield Line(
        "raw entries a second, batch 100",
        f"{rate:,.0f}",
        "50,000",
        f"{base:,.0f}: x{rate / base:.2f}",
    )
    draw = random.Random(3)
    wanted = [draw.randrange(entries) for _ in range(_PROOFS)]
    yield _percentile("inclusion proof", store.inclusion, wanted)
    older = [draw.randrange(1, entries) for _ in range(_PROOFS)]
    yield _percentile(
        "consistency proof", lambda old: store.consistency(old, entries), older
    )
    note, now_s = store.checkpoint(), NOW_MS // 1000
    lines = [
        cosign(text_of(note), f"witness-{n}.example/log", Signer.generate(), now_s)
        for n in range(_WITNESSES)
    ]
    store.finalise(note + "".join(lines))
    largest = max(len(store.inclusion(at).text.encode()) for at in wanted)
    yield Line(".tlog-proof, 3 witnesses, bytes at most", f"{largest:,}", "2,048")
    checked = _seconds(lambda: check_file(path, store.key))
    yield Line("fsck of all, seconds", f"{checked:.1f}", "30")
    store.close()
    with closing(sqlite3.connect(path)) as file:
        ((tiles,),) = file.execute("SELECT sum(length(data)) FROM tile").fetchall()
    yield Line("tiles, bytes an entry", f"{tiles / entries:.2f}", "33")
    yield Line("file, bytes an entry", f"{path.stat().st_size / entries:,.0f}", "")


def _percentile(
    what: str, work: Callable[[int], object], values: Sequence[int]
) -> Line:
    times = sorted(_seconds(partial(work, value)) for value in values)
    p50, p99 = statistics.median(times), times[int(0.99 * len(times))]
    return Line(
        f"{what}, ms, p50 and p99", f"{p50 * 1e3:.2f} and {p99 * 1e3:.2f}", "p99 2"
    )


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - it is a program


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.audit_log")
    parser.add_argument("--entries", type=int, default=_ENTRIES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        lines = [*signed(folder), *large(folder, options.entries)]
    for line in lines:
        print(f"{line.what:<44} {line.found:>18}  bar {line.bar:<8} {line.baseline}")  # noqa: T201


if __name__ == "__main__":
    main()
