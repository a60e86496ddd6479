"""Go's verifier accepts a party's own log as it does that of all."""

from pathlib import Path

from tests.interop.goverify import Goverify
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.chain import ActorChain, own_files, own_key
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.export import plan_export
from veilscore.v1.audit_pb2 import Started

NOW_MS = 1_790_000_000_000


def _export(file: Path, folder: Path) -> Path:
    with own_files(file) as get:
        for name, data in plan_export(get).files(get):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return folder


def test_an_own_log_is_accepted_and_continues_its_older_checkpoint(
    goverify: Goverify, tmp_path: Path
) -> None:
    file = tmp_path / "events.db"
    database = Database(file)
    chain = ActorChain(database, Signer.generate(), "bank")
    chain.extend([Started()] * 5, "", NOW_MS)
    older = tmp_path / "older"
    older.write_text(chain.log.checkpoint())
    for _ in range(260):
        chain.extend([Started()], "", NOW_MS)
    key = own_key(file)
    keys = goverify.keys([key.vkey])
    export = _export(file, tmp_path / "export")
    told = goverify.accepts("audit", keys, export, older)
    assert told.startswith(f"verified: {key.name}, 265 entries, root ")
    goverify.accepts("consistency", keys, export, older)
    (export / "checkpoint").write_text(chain.log.checkpoint().replace("bank", "bonk"))
    goverify.rejects("audit", keys, export, older)
    database.close()
