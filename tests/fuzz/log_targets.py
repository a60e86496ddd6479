"""Events, notes, proofs, tiles, exports and the files of a log: what auditors read.

Events and checkpoints are signed; so whoever may sign makes some of them up.
"""

import io
import sqlite3
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.fuzz.stock import Stock
from tests.fuzz.target import Target, by_grpc
from tests.unit.tlog.sample_log import NOW_MS, ORIGIN, Parties, SampleLog, own_word
from veilscore.coordinator.web.decoding import spread_detail, spread_envelope
from veilscore.coordinator.web.verifying import verify_entry
from veilscore.keys.identity import EVENT_DOMAIN
from veilscore.keys.tlog.archive import open_export
from veilscore.keys.tlog.audit import audit_export
from veilscore.keys.tlog.chain import ActorChain
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import ActorHead, open_event, read_event
from veilscore.keys.tlog.export import CHECKPOINT, LOG, REGISTRY, read_log_document
from veilscore.keys.tlog.note import NoteKey, sign_note
from veilscore.keys.tlog.proof import verify_consistency
from veilscore.keys.tlog.reader import Entry
from veilscore.keys.tlog.recon.mark import Mark
from veilscore.keys.tlog.recon.requests import Requests
from veilscore.keys.tlog.tiles import Tile, decode_bundle
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.node.log.recon_state import Difference, ReconState
from veilscore.node.records.openings import Openings
from veilscore.node.records.shredder import Shredder
from veilscore.node.scoring.ledger import Ledger
from veilscore.node.scoring.query import Query
from veilscore.v1.audit_pb2 import (
    ScoreDecided,
    ScoreRequested,
    SignedEvent,
    Started,
)
from veilscore.v1.hub_pb2 import AppendResponse, EventProof
from veilscore.v1.score_pb2 import ScoreQueryBody


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _leaves(stock: Stock) -> list[bytes]:
    """Return one event of every kind."""
    entries = stock.log.service.events(limit=1000)
    kinds = {entry.opened.kind: entry.opened.leaf for entry in entries}
    return list(kinds.values())


def event(stock: Stock) -> Target:
    def decode(data: bytes) -> None:
        read_event(data)
        open_event(data, stock.parties.registry)

    return Target(decode, _leaves(stock), share=0.5)


def made_up_event(stock: Stock) -> Target:
    """Let the bank sign any body, and an auditor look at its page."""
    bank, log = stock.parties.signers["bank"], stock.log

    def decode(data: bytes) -> None:
        signed = SignedEvent(
            body=data,
            key_id=bank.verify_key.key_id,
            signature=bank.sign(EVENT_DOMAIN, data),
        )
        opened = open_event(signed.SerializeToString(), stock.parties.registry)
        spread_envelope(opened.event)
        spread_detail(opened.event)
        verify_entry(
            Entry(0, opened), log.service, log.store.key, log.store.inclusion(0)
        )

    entries = log.service.events(actor="bank", limit=1000)
    kinds = {entry.opened.kind: entry.opened.signed.body for entry in entries}
    return Target(decode, list(kinds.values()), share=0.5)


def checkpoint(stock: Stock) -> Target:
    key = stock.log.store.key
    note = stock.log.store.checkpoint()
    return Target(lambda data: open_checkpoint(_text(data), key), [note.encode()])


def made_up_checkpoint(stock: Stock) -> Target:
    hub, key = stock.parties.signers["hub"], stock.log.store.key

    def decode(data: bytes) -> None:
        text = data.decode(errors="replace") + "\n"
        open_checkpoint(sign_note(text, ORIGIN, hub), key)

    text = stock.log.store.checkpoint().partition("\n\n")[0]
    return Target(decode, [text.encode()])


def verifier_key(stock: Stock) -> Target:
    key = stock.log.store.key
    return Target(lambda data: NoteKey.parse(_text(data)), [key.vkey.encode()])


def log_document(stock: Stock) -> Target:
    document = stock.log.service.log_document()
    return Target(read_log_document, [document])


def proof_file(stock: Stock) -> Target:
    store = stock.log.store
    leaf, key = store.entry(3).opened.leaf, store.key
    return Target(
        lambda data: TlogProof.parse(_text(data)).verify(leaf, key),
        [store.inclusion(3).text.encode()],
        share=0.5,
    )


def receipt(stock: Stock) -> Target:
    """Read what the hub says when it has taken an event."""
    store = stock.log.store
    leaf, proof = store.entry(3).opened.leaf, store.receipt(3)
    policy = own_word(store.key)

    def decode(data: bytes) -> None:
        for said in by_grpc(AppendResponse, data).proofs:
            proof = TlogProof(said.index, tuple(said.path), said.checkpoint)
            proof.verify_in(policy.open_signed(proof.checkpoint), leaf)
            policy.is_witnessed(proof.checkpoint)

    sent = EventProof(index=proof.index, checkpoint=proof.checkpoint, path=proof.path)
    sample = AppendResponse(proofs=[sent])
    return Target(decode, [sample.SerializeToString()], share=0.5)


def consistency_proof(_: Stock) -> Target:
    def decode(data: bytes) -> None:
        old, new, hashes = data[0] if data else 0, len(data), data[1:]
        path = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
        verify_consistency(old, new, path[2:], *[*path, b"", b""][:2])

    same = bytes(range(32))
    return Target(decode, [bytes((65,)) + same + same])


def tile_path(_: Stock) -> Target:
    paths = (b"tile/0/x001/067.p/5", b"tile/entries/000", b"tile/7/x123/x456/789")
    return Target(lambda data: Tile.parse(_text(data)), paths)


def entry_bundle(_: Stock) -> Target:
    return Target(lambda data: decode_bundle(data, 2), [b"\0\3one\0\0"])


def _small_log(stock: Stock) -> SampleLog:
    log = SampleLog(stock.file("log").parent, stock.parties)
    log.announce()
    log.fill(3, "bank", "market")
    return log


def _tar(files: Mapping[str, bytes], form: int, *more: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in more:
            tar.addfile(member)
    return packed.getvalue()


def _member(kind: bytes, size: int = 0) -> bytes:
    member = tarfile.TarInfo("checkpoint")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


def export_tar(stock: Stock) -> Target:
    path, files = stock.file("export.tar"), _small_log(stock).files()

    def decode(data: bytes) -> None:
        path.write_bytes(data)
        with open_export(path) as opened:
            audit_export(opened, fingerprint=stock.parties.fingerprint)

    link = tarfile.TarInfo("checkpoint")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    whole = [
        _tar(files, form)
        for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    ]
    linked = _tar({}, tarfile.USTAR_FORMAT, link)
    # Each header before the last says that the next is about the one after it.
    chained = [_member(kind, 1) + bytes(512) for kind in (b"L", b"K", b"x", b"g")]
    return Target(
        decode,
        whole,
        [
            *(chain * 1500 + whole[0] for chain in chained),
            _member(b"0", -1024) + whole[0],
            _member(b"5", -512) * 3,
            _member(b"S") + whole[0],
            _member(b"0", 1 << 60),
        ],
        refused=[linked],
        share=0.1,
    )


def export_folder(stock: Stock) -> Target:
    """Read an export in a folder; one of its documents is the input."""
    folder, files = stock.file("export"), _small_log(stock).files()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    places = [CHECKPOINT, LOG, REGISTRY, *(n for n in files if n.startswith("tile"))]

    def decode(data: bytes) -> None:
        name = places[data[0] % len(places)] if data else CHECKPOINT
        (folder / name).write_bytes(data[1:])
        try:
            with open_export(folder) as opened:
                audit_export(opened, fingerprint=stock.parties.fingerprint)
        finally:
            (folder / name).write_bytes(files[name])

    return Target(
        decode,
        [bytes((at,)) + files[name] for at, name in enumerate(places)],
        share=0.1,
    )


def _written(path: Path, data: bytes) -> Path:
    """Put a database file in the place of the last, and of its journals."""
    for old in path.parent.glob(path.name + "*"):
        old.unlink()
    path.write_bytes(data)
    return path


def _damaged(whole: bytes, path: Path, statement: str) -> bytes:
    """Return a log whose table of checkpoints has lost its types."""
    connection = sqlite3.connect(_written(path, whole), isolation_level=None)
    for each in (
        "CREATE TABLE other AS SELECT size, note, final FROM checkpoint",
        "DROP TABLE checkpoint",
        "ALTER TABLE other RENAME TO checkpoint",
        statement,
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ):
        connection.execute(each).close()
    connection.close()
    return path.read_bytes()


def log_file(stock: Stock) -> Target:
    path, log = stock.file("fuzzed.db"), _small_log(stock)
    log.store.close()
    whole = log.path.read_bytes()

    def decode(data: bytes) -> None:
        _written(path, data)
        store = log.open(path)
        try:
            store.entries(actor="bank", kind="score_decided", correlation="0000")
            store.inclusion(store.size - 1)
            store.tile(Tile(0, 0, 1))
        finally:
            store.close()

    damaged = [
        _damaged(whole, path, statement)
        for statement in (
            "UPDATE checkpoint SET note = NULL",
            "UPDATE checkpoint SET note = x'00'",
            "UPDATE checkpoint SET size = 'many'",
        )
    ]
    return Target(decode, [whole], damaged, share=0.1)


def node_databases(stock: Stock) -> Target:
    """Read a node's own events and its ledger, whatever a disk made of them."""
    made, path = stock.file("made.db"), stock.file("fuzzed.db")
    bank = stock.parties.signers["bank"]
    database = Database(made)
    chain = ActorChain(database, bank, "bank")
    chain.extend([Started(version="0.1.0")], "", NOW_MS)
    ledger = Ledger(database)
    ledger.received["received score market"] = 7
    ledger.sent["sent score market"] = 7
    ledger.spend_nonce("market", bytes(16), 2_000_000_000, 0)
    ReconState.prepare(database)
    ReconState(1, 7, 1, (Difference("fork", 0, "what"),)).write(database, _mark())
    shredder = Shredder(stock.file("shredder.db"), 0)
    query = Query.of(ScoreQueryBody(entities=["X:firm 1", "X:firm 2"]))
    Openings(database, shredder, bytes(32)).commit(query, 0)
    database.close()

    def decode(data: bytes) -> None:
        _written(path, data)
        database = Database(path)
        try:
            chain = ActorChain(database, bank, "bank")
            chain.pending()
            chain.extend([Started(version="0.1.0")], "", NOW_MS)
            ledger = Ledger(database)
            ledger.received.get("received score market", 0)
            ledger.sent.get("sent score market", 0)
            ledger.nonce_seen("market", bytes(16))
            ReconState.read(database)
            Requests("bank").read(ReconState.mark(database).requests, "mark")
            _read_openings(Openings(database, shredder, bytes(32)), query.digest)
        finally:
            database.close()

    return Target(decode, [made.read_bytes()], share=0.05)


def _mark() -> Mark:
    """Return what a reconciliation leaves that knows of an open request."""
    requests = Requests("bank")
    for detail in (ScoreRequested(holders=["market"]), ScoreDecided(allowed=True)):
        event = Parties.generate().event("bank", ActorHead(), detail, correlation="r")
        requests.add(event)
    return Mark(7, "a note", 3, (2,), 3, requests.write())


def keys_of_openings(stock: Stock) -> Target:
    """Read openings by their keys, whatever a disk made of those."""
    made, path = stock.file("made shredder.db"), stock.file("fuzzed shredder.db")
    database, shredder = Database(stock.file("openings.db")), Shredder(made, 0)
    query = Query.of(ScoreQueryBody(entities=["X:firm 1", "X:firm 2"]))
    Openings(database, shredder, bytes(32)).commit(query, 0)
    shredder.destroy([])
    shredder.close()

    def decode(data: bytes) -> None:
        _written(path, data).chmod(0o600)
        damaged = Shredder(path, 0)
        try:
            _read_openings(Openings(database, damaged, bytes(32)), query.digest)
        finally:
            damaged.close()

    return Target(decode, [made.read_bytes()], share=0.05)


def _read_openings(openings: Openings, digest: bytes) -> None:
    openings.about("X:firm 1")
    kept = openings.of(digest)
    openings.terms(kept)
    openings.entity(kept, 1)


TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    "event": event,
    "event that its actor made up": made_up_event,
    "checkpoint": checkpoint,
    "checkpoint that the log made up": made_up_checkpoint,
    "verifier key": verifier_key,
    "log document": log_document,
    "proof file": proof_file,
    "receipt": receipt,
    "consistency proof": consistency_proof,
    "tile path": tile_path,
    "entry bundle": entry_bundle,
    "export in a tar": export_tar,
    "export in a folder": export_folder,
    "log file": log_file,
    "databases of a node": node_databases,
    "keys of openings": keys_of_openings,
}
