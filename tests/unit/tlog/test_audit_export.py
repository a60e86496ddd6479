"""The audit: an honest export passes, a changed one fails at a named step."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tlog.published_log import (
    LEAVES,
    PARTIES,
    checkpoint_of,
    export_of,
    failure,
    verify,
)
from tests.unit.tlog.sample_log import NOW_MS, ORIGIN, SampleLog
from tests.vectors.tlog import make_tree
from veilscore.keys.identity import Signer
from veilscore.keys.tlog import audit
from veilscore.keys.tlog.archive import open_export
from veilscore.keys.tlog.audit import audit_export
from veilscore.keys.tlog.checkpoint import Checkpoint, sign_checkpoint
from veilscore.keys.tlog.export import README
from veilscore.keys.tlog.tiles import encode_bundle
from veilscore.keys.tlog.tree import EMPTY_ROOT


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
    folder.mkdir()
    subprocess.run(["tar", "-xf", tar, "-C", folder], check=True)  # as an auditor would
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
    assert error.what.startswith("entry 260 is not")


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
