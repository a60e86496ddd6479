"""The audit: an honest export passes, every tampered one fails at a named step."""

import contextlib
import json
import tarfile
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.tlog.sample_log import NOW_MS, ORIGIN, ROLES, Parties, SampleLog
from tests.vectors.tlog import make_tree

from veilscore.keys.errors import AuditError, LogStoreError, ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.registry import PartyRecord, Registry
from veilscore.keys.tlog import audit
from veilscore.keys.tlog.archive import MAX_FILE, open_export, write_tar
from veilscore.keys.tlog.audit import AuditReport, audit_export
from veilscore.keys.tlog.checkpoint import Checkpoint, sign_checkpoint
from veilscore.keys.tlog.events import ActorHead
from veilscore.keys.tlog.export import README, README_TEXT, log_document
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.tiles import Tile, TileEdge, bundles_of, encode_bundle
from veilscore.keys.tlog.tree import EMPTY_ROOT, leaf_hash
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


def test_an_honest_export_passes() -> None:
    report = verify(export_of(LEAVES))
    assert report.size == 272
    assert report.root == make_tree.mth(LEAVES).hex()
    assert report.fingerprint == PARTIES.fingerprint.hex()
    assert report.actors == {"hub": 4, "bank": 90, "bureau": 89, "market": 89}
    assert report.kinds == {"party_joined": 4, "started": 268}
    assert (report.first_ms, report.last_ms) == (NOW_MS, NOW_MS + 267)
    assert report.files == 4 + 2 + 1 + 2
    assert report.remarks == ()


def test_an_empty_log_passes() -> None:
    report = verify(export_of([]), checkpoint_of([]))
    assert (report.size, report.root) == (0, EMPTY_ROOT.hex())


def test_the_export_of_a_store_passes_as_tar_and_as_directory(
    log: SampleLog, tmp_path: Path
) -> None:
    log.announce()
    older = log.store.checkpoint()
    log.fill(90, "bank", "bureau", "market")
    tar = log.export(tmp_path / "export.tar")
    folder = tmp_path / "export"
    with tarfile.open(tar) as archive:
        archive.extractall(folder, filter="data")
    for path in (tar, folder):
        with open_export(path) as files:
            report = audit_export(
                files, fingerprint=log.parties.fingerprint, older=older
            )
        assert report.size == 274
        assert report.older_size == 4
        assert report.remarks == ()


def test_an_export_is_the_same_file_every_time(log: SampleLog, tmp_path: Path) -> None:
    log.fill(3, "bank")
    first, second = (log.export(tmp_path / name) for name in ("a.tar", "b.tar"))
    assert first.read_bytes() == second.read_bytes()


def test_steps_are_reported_in_order_and_finished() -> None:
    seen: dict[str, bool] = {}

    def watch(step: str, done: int, total: int) -> None:
        assert all(finished for name, finished in seen.items() if name != step)
        seen[step] = done == total

    audit_export(export_of(LEAVES), older=checkpoint_of(LEAVES[:9]), watch=watch)
    assert list(seen) == [
        audit.LOG_KEY,
        audit.HEAD,
        audit.FILES,
        audit.TREE,
        audit.ROOT,
        audit.OLDER,
        audit.PARTIES,
        audit.SIGNATURES,
        audit.CHAINS,
        audit.JOINED,
    ]
    assert all(seen.values())


@settings(max_examples=60, deadline=None)
@given(  # the README is for people: it proves nothing, and nothing proves it
    st.sampled_from(sorted(export_of(LEAVES).keys() - {README})),
    st.integers(0),
    st.integers(1, 255),
)
def test_a_changed_byte_of_any_file_is_found(name: str, at: int, change: int) -> None:
    files = export_of(LEAVES)
    data = bytearray(files[name])
    data[at % len(data)] ^= change
    files[name] = bytes(data)
    if name == "registry.json" and means_the_same(files[name], PARTIES.registry_file):
        verify(files)
    else:
        failure(files)


def means_the_same(changed: bytes, original: bytes) -> bool:
    """Say whether only white space of a JSON file was changed."""
    try:
        return bool(json.loads(changed) == json.loads(original))
    except ValueError:
        return False


def test_a_changed_entry_is_named() -> None:
    files = export_of(LEAVES)
    changed = LEAVES[260][:-1] + bytes([LEAVES[260][-1] ^ 1])
    leaves = [*LEAVES[256:260], changed, *LEAVES[261:]]
    files["tile/entries/001.p/16"] = encode_bundle(leaves)
    error = failure(files)
    assert error.step == audit.TREE
    assert error.place.endswith("tile/0/001.p/16")
    assert "entries from 260" in error.what


def test_a_changed_tile_is_named() -> None:
    files = export_of(LEAVES)
    files["tile/1/000.p/1"] = bytes(32)
    error = failure(files)
    assert (error.step, error.place) == (
        audit.TREE,
        "entries and tiles, tile/1/000.p/1",
    )


def test_a_cut_bundle_or_tile_is_named() -> None:
    for name in ("tile/entries/000", "tile/0/000"):
        files = export_of(LEAVES)
        files[name] = files[name][:-1]
        assert failure(files).place == f"entries and tiles, {name}"


@pytest.mark.parametrize("name", ["checkpoint", "log.v1.json", "registry.json"])
def test_a_file_that_is_not_text_is_refused(name: str) -> None:
    files = export_of(LEAVES[:5])
    for data in (b"\xff\xfe", b"", b"{}", b"[" * 100_000):
        files[name] = data
        assert failure(files).place.endswith(name)


def test_a_missing_and_an_extra_file_are_named() -> None:
    files = export_of(LEAVES)
    del files["tile/1/000.p/1"]
    error = failure(files)
    assert error.step == audit.FILES
    assert "tile/1/000.p/1" in error.what
    files = export_of(LEAVES)
    files["tile/0/002.p/1"] = bytes(32)
    assert "tile/0/002.p/1" in failure(files).what


def test_an_absurd_size_is_refused_at_once() -> None:
    files = export_of(LEAVES)
    absurd = Checkpoint(ORIGIN, 10**18, bytes(32))
    files["checkpoint"] = sign_checkpoint(absurd, PARTIES.signers["hub"]).encode()
    assert failure(files).step == audit.FILES


def test_a_log_of_another_coordinator_is_refused() -> None:
    error = failure(export_of(LEAVES, signer=Signer.generate()))
    assert error.step == audit.LOG_KEY


def test_a_checkpoint_of_another_key_is_refused() -> None:
    files = export_of(LEAVES)
    files["checkpoint"] = checkpoint_of(LEAVES, Signer.generate()).encode()
    assert failure(files).step == audit.HEAD


def test_a_root_that_is_not_that_of_the_entries_is_refused() -> None:
    files = export_of(LEAVES)
    files["checkpoint"] = checkpoint_of([*LEAVES[:-1], b"other"]).encode()
    assert failure(files).step == audit.ROOT


# From here on the coordinator itself cheats, and signs what it made.


def test_a_dropped_event_is_a_gap_in_its_actors_chain() -> None:
    error = failure(export_of(LEAVES[:100] + LEAVES[101:]))
    assert error.step == audit.CHAINS
    assert "entry 102 in tile/entries/000" in error.place
    assert error.party == "bank" == read_actor(LEAVES[100])


def read_actor(leaf: bytes) -> str:
    return next(name for name in ROLES if name.encode() in leaf)


def test_a_doubled_event_breaks_its_actors_chain() -> None:
    assert failure(export_of([*LEAVES, LEAVES[-1]])).step == audit.CHAINS


def test_events_of_one_actor_in_another_order_break_its_chain() -> None:
    leaves = [*LEAVES[:100], LEAVES[103], *LEAVES[101:103], LEAVES[100], *LEAVES[104:]]
    error = failure(export_of(leaves))
    assert (error.step, error.party) == (audit.CHAINS, "bank")


def test_an_invented_event_is_not_signed_by_its_actor() -> None:
    invented = Parties.generate().events("bank", 1)[0].leaf
    error = failure(export_of([*LEAVES[:4], invented]))
    assert (error.step, error.party) == (audit.SIGNATURES, "bank")
    assert "entry 4 in" in error.place


def test_a_leaf_that_is_no_event_is_refused() -> None:
    assert failure(export_of([*LEAVES[:4], b"note"])).step == audit.SIGNATURES


@pytest.mark.parametrize("size", [1, 4, 5, 255, 256, 257, 270, 272])
def test_an_older_checkpoint_shows_that_the_log_grew(size: int) -> None:
    assert verify(export_of(LEAVES), checkpoint_of(LEAVES[:size])).older_size == size


def test_a_cut_log_passes_alone_but_not_against_an_older_checkpoint() -> None:
    cut = export_of(LEAVES[:200])
    assert verify(cut).size == 200
    error = failure(cut, checkpoint_of(LEAVES[:201]))
    assert error.step == audit.OLDER
    assert "from 201 to 200" in error.what


@pytest.mark.parametrize("size", [101, 150, 256, 272])
def test_a_rewritten_log_passes_alone_but_not_against_an_older_checkpoint(
    size: int,
) -> None:
    leaves = [*LEAVES[:99], LEAVES[100], LEAVES[99], *LEAVES[101:]]
    assert verify(export_of(leaves)).size == 272
    assert failure(export_of(leaves), checkpoint_of(LEAVES[:size])).step == audit.OLDER


def test_an_older_checkpoint_of_another_key_is_refused() -> None:
    other = checkpoint_of(LEAVES[:9], Signer.generate())
    assert failure(export_of(LEAVES), other).step == audit.OLDER
    assert failure(export_of(LEAVES), "no checkpoint").step == audit.OLDER


def registry_of(
    keys: dict[str, Signer], signer: Signer = PARTIES.signers["hub"]
) -> bytes:
    records = [
        PartyRecord(
            name=name,
            roles=frozenset(roles),
            key=keys.get(name, PARTIES.signers[name]).verify_key,
            flower_key="",
            joined=date(2026, 3, 1),
        )
        for name, roles in ROLES.items()
    ]
    return Registry.sign(records, signer, 2)


def test_a_substituted_key_does_not_fit_what_the_log_says() -> None:
    registry = registry_of({"market": Signer.generate()})
    error = failure(export_of(LEAVES, registry=registry))
    assert (error.step, error.party) == (audit.SIGNATURES, "market")
    quiet = LEAVES[:5]  # so far only the bank has done something
    error = failure(export_of(quiet, registry=registry))
    assert (error.step, error.party) == (audit.JOINED, "market")


def test_a_registry_of_another_coordinator_is_refused() -> None:
    other = Signer.generate()
    registry = registry_of({"hub": other}, other)
    assert failure(export_of(LEAVES, registry=registry)).step == audit.PARTIES


def test_oddities_are_remarked() -> None:
    first = PARTIES.event("bank", ActorHead(), time_ms=NOW_MS)
    second = PARTIES.event("bank", first.head, time_ms=NOW_MS - 300_001)
    claim = PartyJoined(party="market", fingerprint=bytes(32))
    third = PARTIES.event("bank", second.head, claim)  # not the bank's to say
    report = audit_export(export_of([first.leaf, second.leaf, third.leaf]))
    assert report.remarks == (
        "the log does not say that bank joined",
        "the clock of bank was set back by more than 5 minutes",
        "no fingerprint was given: the log's key is the export's word",
    )


def tar_of(path: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    write_tar(path, files)
    return path


def audited(path: Path) -> AuditReport:
    with open_export(path) as files:
        return audit_export(files)


def test_a_tar_with_two_files_of_a_name_is_refused(tmp_path: Path) -> None:
    files = export_of(LEAVES[:5])
    twice = [*files.items(), ("checkpoint", checkpoint_of(LEAVES[:4]).encode())]
    with pytest.raises(AuditError, match="twice in the tar"):
        audited(tar_of(tmp_path / "export.tar", twice))


def test_a_tar_with_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "export.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("checkpoint")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(AuditError, match="no plain file"):
        audited(path)


def test_a_cut_tar_is_refused(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "export.tar", export_of(LEAVES).items())
    data = path.read_bytes()
    for length in (0, 100, 600, 5_000, len(data) // 2):
        path.write_bytes(data[:length])
        with pytest.raises(AuditError):
            audited(path)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(junk=st.binary(max_size=600), at=st.integers(0, 9000))
def test_a_tar_with_any_bytes_over_it_passes_or_is_refused(
    tmp_path: Path, junk: bytes, at: int
) -> None:
    path = tar_of(tmp_path / "export.tar", export_of(LEAVES[:5]).items())
    data = path.read_bytes()
    path.write_bytes(data[:at] + junk + data[at + len(junk) :])
    with contextlib.suppress(AuditError):
        assert audited(path).root == make_tree.mth(LEAVES[:5]).hex()


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    files = export_of(LEAVES[:5])
    files["registry.json"] = bytes(MAX_FILE + 1)
    with pytest.raises(AuditError, match=f"over {MAX_FILE} bytes"):
        audited(tar_of(tmp_path / "export.tar", files.items()))


def test_there_must_be_an_export(tmp_path: Path) -> None:
    with pytest.raises(LogStoreError, match="there is no export"):
        audited(tmp_path / "export.tar")
    (tmp_path / "letter.txt").write_text("Dear auditor, " * 100)
    with pytest.raises(AuditError):
        audited(tmp_path / "letter.txt")
    with pytest.raises(AuditError, match="missing"):
        audited(tmp_path)
