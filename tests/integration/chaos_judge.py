"""What must hold of a federation after something went wrong, looked up from outside.

Files are read by their own readers, the log by its auditor, processes in /proc. Each
function fails with what it found; what counts as a failure is listed in
``test_chaos``.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import psutil

from tests.integration.chaos_lab import ChaosLab, is_alive
from tests.integration.chaos_schedule import COORDINATOR, Part
from veilscore.coordinator import config as coordinator_config
from veilscore.coordinator import folder
from veilscore.keys.keystore import Keystore, read_passphrase
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.archive import open_export, write_tar
from veilscore.keys.tlog.audit import audit_export
from veilscore.keys.tlog.chain import own_key
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.export import local_files, plan_export
from veilscore.keys.tlog.fsck import check_file
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.reader import LogReader
from veilscore.keys.tlog.recon.finding import NEVER_HONEST
from veilscore.node import config as node_config
from veilscore.node import setup as node_setup
from veilscore.node.log.incidents import FOLDER, about_the_log
from veilscore.node.shelf import Shelf
from veilscore.v1.audit_pb2 import Event
from veilscore.v1.score_pb2 import ModelManifest

GONE_S: Final = 5.0  # for orphans to end
STOPPED_S: Final = 20.0  # for a party that is asked to end, as in its systemd unit
_COMPARED_S: Final = 60.0  # for a node to compare its own log with that of all
_BACK_S: Final = 15.0  # for a supervisor to start again what it owns


def marks(lab: ChaosLab) -> dict[str, int]:
    """Return how much each party has written by now."""
    return {party: lab.log(party).stat().st_size for party in lab.parties}


def since(lab: ChaosLab, party: str, mark: int) -> str:
    """Return what a party wrote after a mark."""
    return lab.log(party).read_bytes()[mark:].decode(errors="replace")


def has_named(lab: ChaosLab, party: str, lost: str, mark: int) -> bool:
    """Say whether a party's log names the one that is lost."""
    said = since(lab, party, mark)
    if lost == COORDINATOR:
        # The line's state: anything but that it is there.
        states = [line for line in said.splitlines() if ": coordinator: " in line]
        return any(not line.endswith(("attached", "resumed")) for line in states)
    if party == COORDINATOR:
        return f" lost {lost}: " in said
    return f": {lost} is lost: " in said


def check_said(lab: ChaosLab, begun: Mapping[str, int]) -> None:
    """Find no traceback in what the parties wrote: neither ours nor a library's."""
    for party, mark in begun.items():
        said = since(lab, party, mark)
        assert "Traceback" not in said, f"{party} wrote:\n{said[-6000:]}"


def check_gone(processes: Iterable[psutil.Process], within_s: float = GONE_S) -> None:
    """Wait until these processes are gone."""
    _soon(
        lambda: [each for each in processes if is_alive(each)], within_s, "left behind"
    )


def check_processes(lab: ChaosLab) -> None:
    """Find everybody's children at work, and nobody without a parent."""

    def missing() -> list[str]:
        owned = [(COORDINATOR, Part.SUPERLINK)]
        for party in lab.federation.members:
            owned += [(party, Part.SUPERNODE), (party, Part.WORKER)]
        return [
            f"{party}'s {part}"
            for party, part in owned
            if lab.part(party, part) is None
        ]

    _soon(missing, _BACK_S, "not started again")
    owned = {process for party in lab.parties for process in lab.family(party)}
    check_gone(lab.seen - owned)
    lab.seen = owned


def check_files(lab: ChaosLab) -> None:
    """Read every file of every party by its own reader."""
    for party in lab.parties:
        for path in lab.folder(party).rglob("*"):
            temporary = path.suffix in {".unfinished", ".part"}
            assert not temporary, f"a temporary file was left: {path}"
            if path.suffix == ".db":
                assert _integrity(path) == "ok", f"{path}: {_integrity(path)}"
    coordinator = coordinator_config.read(lab.federation.config)
    pinned = bytes.fromhex(lab.federation.fingerprint)
    folder.open_keystore(coordinator)
    Registry.load(coordinator.registry.read_bytes(), pinned)
    for member in lab.federation.members.values():
        settings = node_config.read(member.config)
        keystore = Keystore.open(
            settings.keystore, read_passphrase(settings.passphrase_file)
        )
        node_setup.load_kit(settings)
        Shelf(settings.state / "models", keystore)
        for registry in settings.state.glob("registry.json"):  # none newer than the kit
            Registry.load(registry.read_bytes(), pinned)


def audited_events(lab: ChaosLab) -> list[Event]:
    """Verify the log as ``veilscore audit verify`` does and return its events."""
    settings = coordinator_config.read(lab.federation.config)
    key = folder.open_signer(settings).verify_key
    with closing(LogReader(Database(settings.state / folder.LOG))) as log:
        get = local_files(
            log, NoteKey(folder.origin(key), key), settings.registry.read_bytes()
        )
        plan = plan_export(get)
        export = lab.state / "audit.tar"
        write_tar(export, plan.files(get))
        with open_export(export) as files:
            audit_export(files, fingerprint=key.fingerprint)
        return [log.entry(index).opened.event for index in range(plan.size)]


def check_own_logs(lab: ChaosLab, events: Iterable[Event]) -> None:
    """Find every node's own log sound, and compared with that of all by itself."""

    def behind() -> list[str]:
        return [
            party for party in lab.federation.members if not _reconciled(lab, party)
        ]

    for party in lab.federation.members:
        file = lab.folder(party) / "state/events.db"
        check_file(file, own_key(file))
        kept = about_the_log(file.parent / FOLDER)
        assert not kept, f"{party} found what is never honest: {kept}"
    told = [each for each in events if each.WhichOneof("detail") == "log_reconciled"]
    for event in told:
        kinds = {each.type for each in event.log_reconciled.findings}
        assert not kinds & NEVER_HONEST, f"{event.actor} told of {kinds}"
    _soon(behind, _COMPARED_S, "did not compare its log")


def _reconciled(lab: ChaosLab, party: str) -> bool:
    with lab.node(party) as node:
        found = node.status()["reconciled"]
        return found["at_ms"] > 0 and not found["incidents"]


def check_log(events: Iterable[Event]) -> None:
    """Find no mask that can have been used twice.

    Masks follow from the receiving keys of a run, the step and, of scores, the query.
    """
    joined: Counter[tuple[str, ...]] = Counter()
    for event in events:
        match event.WhichOneof("detail"):
            case "run_decided" if event.run_decided.approved:
                joined["joined", event.actor, event.correlation] += 1
            case "step_done":
                joined[
                    "step", event.actor, event.correlation, event.step_done.step
                ] += 1
            case "key_published":
                joined["key", event.key_published.digest.hex()] += 1
            case "score_decided" if event.score_decided.allowed:
                joined["query", event.actor, event.correlation] += 1
            case "score_answered":
                joined["answer", event.actor, event.correlation] += 1
            case "run_closed":
                joined["closed", event.correlation] += 1
            case _:
                pass
    twice = [key for key, times in joined.items() if times > 1]
    assert not twice, f"done twice: {twice}"


def check_stayed_out(events: Iterable[Event]) -> None:
    """Find that nobody goes on with a run after a start, nor is in a model it left.

    What a member of a horizontal run must not do twice it remembers in memory.
    """
    busy: set[tuple[str, str]] = set()  # who did a step of which run
    out: set[tuple[str, str]] = set()  # and was started again since
    judged: set[tuple[str, str]] = set()  # who has a card of which run
    for event in events:
        done = event.actor, event.correlation
        match event.WhichOneof("detail"):
            case "started":
                out |= {each for each in busy if each[0] == event.actor}
            case "step_done":
                assert done not in out, f"{event.actor} went on with a run of before"
                busy.add(done)
                if event.step_done.step == "evaluate":
                    judged.add(done)
            case "model_registered":
                manifest = ModelManifest.FromString(event.model_registered.manifest)
                cards = {(each.party, manifest.run) for each in manifest.cards}
                assert cards <= judged, f"no cards were made by {cards - judged}"
            case _:
                pass


def closing_of(events: Iterable[Event], run: str) -> Event:
    """Return the one event that closes a run."""
    found = [
        event
        for event in events
        if event.correlation == run and event.WhichOneof("detail") == "run_closed"
    ]
    assert len(found) == 1, f"run {run} was closed {len(found)} times"
    return found[0]


def _integrity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        found: str = database.execute("PRAGMA integrity_check").fetchone()[0]
        return found


def _soon(wrong: Callable[[], Sequence[object]], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while found := wrong():
        assert time.monotonic() < deadline, f"{what}: {found}"
        time.sleep(0.1)
