"""Exports: everything an auditor needs to check a log without its coordinator.

An export is a set of named files, in a directory or a tar: the log's verifier key,
the newest checkpoint, all tiles, all entry bundles (the C2SP paths, unchanged), the
registry with every party's public key, and a note on how to verify. One of a party's
own log has no registry: its key is the only one. The coordinator serves the same names
on its web, so one ``plan_export`` writes a local export and fetches a remote one.
Nothing here is verified beyond what is needed to know which files there are; ``audit``
does that.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

from veilscore.keys.errors import InvalidKeyError, ProofError
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.archive import LogFiles
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.origin import owner_of
from veilscore.keys.tlog.reader import LogReader
from veilscore.keys.tlog.tiles import WIDTH, Tile, bundles_of, tiles_of

CHECKPOINT = "checkpoint"
LOG = "log.v1.json"
REGISTRY = "registry.json"
README = "README-verify.txt"
_OWN_DOCUMENTS = (LOG, CHECKPOINT, README)
_DOCUMENTS = (*_OWN_DOCUMENTS, REGISTRY)

README_TEXT = """\
This is a transparency log, complete: verify it without asking anybody.

    veilscore audit verify THIS --fingerprint HEX [--checkpoint OLDER]

HEX is the coordinator's key fingerprint, learned out of band. OLDER is a checkpoint
kept from an earlier visit: it shows that nothing was removed or rewritten since.

Formats: C2SP signed-note, tlog-checkpoint, tlog-tiles (RFC 6962, SHA-256). The
verifier key is in log.v1.json; golang.org/x/mod/sumdb/note and .../tlog read the
same files. An entry is a protobuf veilscore.v1.SignedEvent: Ed25519 of its actor,
whose key is in registry.json, over "veilscore-event/1", a zero byte and the body.
"""
OWN_README_TEXT = """\
This is a party's own transparency log, complete: verify it without asking anybody.

    veilscore audit verify THIS --fingerprint HEX [--checkpoint OLDER]
    veilscore audit recon THIS LOG --policy POLICY

HEX is the party's key fingerprint, learned out of band. LOG is an export of the log of
all parties, which holds the same events, and the party's word of what its own log was
like: the second command compares them.

Formats: C2SP signed-note, tlog-checkpoint, tlog-tiles (RFC 6962, SHA-256). The
verifier key is in log.v1.json; golang.org/x/mod/sumdb/note and .../tlog read the
same files. An entry is a protobuf veilscore.v1.SignedEvent: Ed25519 by the same key
over "veilscore-event/1", a zero byte and the body.
"""


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """The documents of an export, and how large its log is."""

    documents: dict[str, bytes]
    size: int

    @property
    def count(self) -> int:
        """Number of files."""
        files, row = len(self.documents) + -(-self.size // WIDTH), self.size
        while row:
            files, row = files + -(-row // WIDTH), row // WIDTH
        return files

    def files(self, get: Callable[[str], bytes]) -> Iterator[tuple[str, bytes]]:
        """Yield every file of the export, getting tiles and bundles by name."""
        yield from self.documents.items()
        for name in tile_names(self.size):
            yield name, get(name)


def plan_export(get: Callable[[str], bytes]) -> ExportPlan:
    """Get the documents by name, and learn from them which tiles there are.

    Raises:
        ProofError: the checkpoint is not signed by the log's key.

    """
    key = read_log_document(get(LOG))
    own = bool(owner_of(key))
    documents = {name: get(name) for name in documents_of(key) if name != README}
    documents[README] = (OWN_README_TEXT if own else README_TEXT).encode()
    note = decode_text(documents[CHECKPOINT])
    return ExportPlan(documents, open_checkpoint(note, key).size)


def documents_of(key: NoteKey) -> tuple[str, ...]:
    """Name the documents of an export of this log; raises ProofError."""
    return _OWN_DOCUMENTS if owner_of(key) else _DOCUMENTS


def tile_names(size: int) -> Iterator[str]:
    """Name the tiles and bundles of a log of ``size`` entries."""
    yield from (tile.path for tile in tiles_of(size))
    yield from (bundle.path for bundle in bundles_of(size))


def local_files(
    log: LogReader, key: NoteKey, registry: bytes = b""
) -> Callable[[str], bytes]:
    """Return what gets the files of an export from a log of our own."""

    def get(name: str) -> bytes:
        if name == LOG:
            return log_document(key)
        if name == REGISTRY:
            return registry
        return static_file(log, name)

    return get


def static_file(log: LogReader, name: str) -> bytes:
    """Return what C2SP tlog-tiles serves under a name: checkpoint, tile or bundle.

    Raises:
        ProofError: the log has no such file.

    """
    return (
        log.checkpoint().encode() if name == CHECKPOINT else log.tile(Tile.parse(name))
    )


def log_document(key: NoteKey) -> bytes:
    """Return ``log.v1.json``: the log's origin and its verifier key."""
    document = {"origin": key.name, "vkey": key.vkey}
    return json.dumps(document, indent=2).encode() + b"\n"


def read_log_document(data: bytes) -> NoteKey:
    """Read what ``log_document`` writes, and only that.

    Raises:
        ProofError: anything else.

    """
    try:
        document: object = json.loads(data)
        vkey = cast("dict[object, object]", document)["vkey"]
        key = NoteKey.parse(str(vkey))
    except (ValueError, TypeError, LookupError, RecursionError, InvalidKeyError) as e:
        raise ProofError("the log's verifier key cannot be read", place=LOG) from e
    if data != log_document(key):
        raise ProofError("the log's description has a second spelling", place=LOG)
    return key


def registry_of(files: LogFiles) -> Registry:
    """Return who the parties of an export are; raises KeysError."""
    key = read_log_document(files.read(LOG))
    return Registry.load(files.read(REGISTRY), key.key.fingerprint)


def decode_text(data: bytes) -> str:
    """Decode UTF-8.

    Raises:
        ProofError: not UTF-8.

    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ProofError("the file is not UTF-8 text") from error
