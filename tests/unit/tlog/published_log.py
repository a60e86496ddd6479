"""Exports made without the store: honest ones, and what a cheat could publish."""

import pytest

from tests.unit.tlog.sample_log import NOW_MS, ORIGIN, ROLES, Parties
from tests.vectors.tlog import make_tree
from veilscore.keys.errors import AuditError, ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.audit import AuditReport, audit_export
from veilscore.keys.tlog.checkpoint import Checkpoint, sign_checkpoint
from veilscore.keys.tlog.events import ActorHead
from veilscore.keys.tlog.export import README, README_TEXT, log_document
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.tiles import Tile, TileEdge, bundles_of, encode_bundle
from veilscore.keys.tlog.tree import leaf_hash
from veilscore.v1.audit_pb2 import PartyJoined

PARTIES = Parties.generate()


class MemoryExport(dict[str, bytes]):
    """The files of an export, for tampering with."""

    def names(self) -> set[str]:
        return set(self)

    def read(self, name: str) -> bytes:
        if name not in self:
            raise ProofError("the file is missing", place=name)
        return self[name]


def honest_leaves() -> list[bytes]:
    """Four parties join; then the three others take turns."""
    leaves: list[bytes] = []
    heads = dict.fromkeys(ROLES, ActorHead())
    joined = PARTIES.registry.fingerprints()
    for name in ROLES:
        detail = PartyJoined(party=name, fingerprint=joined[name])
        event = PARTIES.event("hub", heads["hub"], detail)
        heads["hub"] = event.head
        leaves.append(event.leaf)
    for at in range(268):
        actor = ("bank", "bureau", "market")[at % 3]
        event = PARTIES.event(actor, heads[actor], time_ms=NOW_MS + at)
        heads[actor] = event.head
        leaves.append(event.leaf)
    return leaves


def export_of(
    leaves: list[bytes],
    *,
    signer: Signer = PARTIES.signers["hub"],
    registry: bytes = PARTIES.registry_file,
) -> MemoryExport:
    """Publish any leaves as a coordinator could that follows no rule."""
    files = MemoryExport()
    key = NoteKey(ORIGIN, signer.verify_key)
    files["log.v1.json"] = log_document(key)
    files["checkpoint"] = checkpoint_of(leaves, signer).encode()
    files["registry.json"] = registry
    files[README] = README_TEXT.encode()
    _, tiles = TileEdge().extend([leaf_hash(leaf) for leaf in leaves])
    for (level, number), data in tiles.items():
        files[Tile(level, number, len(data) // 32).path] = data
    for bundle in bundles_of(len(leaves)):
        start = bundle.number * 256
        files[bundle.path] = encode_bundle(leaves[start : start + bundle.width])
    return files


def checkpoint_of(leaves: list[bytes], signer: Signer = PARTIES.signers["hub"]) -> str:
    return sign_checkpoint(
        Checkpoint(ORIGIN, len(leaves), make_tree.mth(leaves)), signer
    )


LEAVES = honest_leaves()


def verify(files: MemoryExport, older: str | None = None) -> AuditReport:
    return audit_export(files, fingerprint=PARTIES.fingerprint, older=older)


def failure(files: MemoryExport, older: str | None = None) -> AuditError:
    with pytest.raises(AuditError) as caught:
        verify(files, older)
    assert caught.value.exit_code == 7
    assert caught.value.place.startswith(caught.value.step)
    return caught.value
