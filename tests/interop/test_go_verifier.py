"""Go's sumdb code reads our proofs and exports, and finds what was changed in them."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interop.conftest import SIZES, HonestLog
from tests.interop.goverify import Goverify
from tests.interop.witnessed_log import publish
from tests.unit.tlog.published_log import checkpoint_of, export_of
from tests.unit.tlog.sample_log import NOW_MS, ORIGIN
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.checkpoint import Checkpoint, sign_checkpoint
from veilscore.keys.tlog.cosignature import WitnessKey, cosign
from veilscore.keys.tlog.note import NoteKey, sign_note, text_of
from veilscore.keys.tlog.store import LogStore

MANY = 70_000  # over 256 * 256: tiles at three levels
EDGES = (0, 3, 4, 255, 256, 299, 300, 511, 512, 689)
COSIGNED = "cosigned by auditor.example/witness, bureau.example/witness: "


@pytest.fixture
def keys(goverify: Goverify, honest: HonestLog) -> Path:
    return goverify.keys(honest.keys.key_lines)


@pytest.fixture
def older(honest: HonestLog, tmp_path: Path) -> Path:
    return written(tmp_path / "older", honest.older())


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def key_of_stranger(vkey: str) -> str:
    """Return the same kind of key under the same name."""
    kind = NoteKey if vkey.startswith(ORIGIN) else WitnessKey
    return kind(vkey.partition("+")[0], Signer.generate().verify_key).vkey


class ProofFiles:
    """A receipt and its entry in files, for changing."""

    def __init__(self, honest: HonestLog, index: int, folder: Path) -> None:
        self.proof = honest.log.store.receipt(index).text
        self.entry = honest.log.store.entry(index).opened.leaf
        self._files = folder / f"{index}.tlog-proof", folder / f"{index}.leaf"

    def write(self, proof: str = "", entry: bytes = b"") -> tuple[Path, Path]:
        file, leaf = self._files
        leaf.write_bytes(entry or self.entry)
        return written(file, proof or self.proof), leaf


@pytest.mark.parametrize("index", EDGES)
def test_a_receipt_is_accepted(
    goverify: Goverify, honest: HonestLog, keys: Path, tmp_path: Path, index: int
) -> None:
    files = ProofFiles(honest, index, tmp_path)
    told = goverify.accepts("proof", keys, *files.write())
    size = next(size for size in SIZES if size > index)
    assert told.startswith(f"verified: {ORIGIN}, {size} entries, root ")
    assert told.endswith(f"{COSIGNED}the leaf is entry {index}")
    newest = honest.log.store.inclusion(index).text
    told = goverify.accepts("proof", keys, *files.write(newest))
    assert f"{ORIGIN}, 690 entries" in told
    extra = files.proof.replace("\n", "\nextra YWJj\n", 1)
    assert "the leaf" in goverify.accepts("proof", keys, *files.write(extra))


def test_a_changed_receipt_is_rejected(
    goverify: Goverify, honest: HonestLog, keys: Path, tmp_path: Path
) -> None:
    files = ProofFiles(honest, 299, tmp_path)
    other = honest.log.store.entry(298).opened.leaf
    told = goverify.rejects("proof", keys, *files.write(entry=other))
    assert "the leaf is not entry 299" in told
    lines = files.proof.split("\n")
    for changed in (
        files.proof.replace("index 299\n", "index 298\n"),
        files.proof.replace("index 299\n", "index 300\n"),
        "\n".join([*lines[:2], lines[3], lines[2], *lines[4:]]),
        "\n".join([*lines[:2], *lines[3:]]),
    ):
        assert changed != files.proof
        told = goverify.rejects("proof", keys, *files.write(changed))
        assert "the leaf is not entry" in told
    told = goverify.rejects("proof", keys, *files.write("c2sp.org/tlog-proof@v2\n"))
    assert "not a proof" in told


def test_a_checkpoint_needs_the_log_and_every_witness(
    goverify: Goverify, honest: HonestLog, keys: Path, tmp_path: Path
) -> None:
    files = ProofFiles(honest, 7, tmp_path)
    lines = files.proof.splitlines(keepends=True)
    signers = [ORIGIN, *honest.keys.witnesses]
    for line, signer in zip(lines[-3:], signers, strict=True):
        assert signer in line
        without = files.proof.replace(line, "")
        told = goverify.rejects("proof", keys, *files.write(without))
        assert f"not signed by {signer}" in told
        stranger = goverify.keys(
            key_of_stranger(key) if key.startswith(signer) else key
            for key in honest.keys.key_lines
        )
        told = goverify.rejects("proof", stranger, *files.write())
        assert f"not signed by {signer}" in told


def test_a_cosignature_of_another_time_or_text_is_rejected(
    goverify: Goverify, honest: HonestLog, keys: Path, tmp_path: Path
) -> None:
    export = publish(honest.files, tmp_path / "export")
    note = honest.checkpoints[690]
    name, signer = next(iter(honest.keys.witnesses.items()))
    now_s = NOW_MS // 1000
    line = cosign(text_of(note), name, signer, now_s)
    assert line in note
    late = cosign(text_of(note), name, signer, 2**63 - 1)
    written(export / "checkpoint", note.replace(line, late))
    assert goverify.accepts("audit", keys, export)
    never = cosign(text_of(note), name, signer, 2**63)
    of_other = cosign(text_of(honest.older()), name, signer, now_s)
    for wrong in (never, of_other):
        written(export / "checkpoint", note.replace(line, wrong))
        assert f"invalid signature for key {name}" in goverify.rejects(
            "audit", keys, export
        )


def test_a_keys_file_with_a_wrong_line_is_refused(
    goverify: Goverify, honest: HonestLog
) -> None:
    log, witness, _ = honest.keys.key_lines
    name, checksum, key = witness.split("+", 2)
    wrong_sum = f"{name}+{int(checksum, 16) ^ 1:08x}+{key}"
    for lines in ([], [witness], [log, log], [log, wrong_sum], [log, name]):
        keys = goverify.keys(lines)
        told = goverify.rejects("audit", keys, honest.export)
        assert told.startswith(f"{keys}: ")


def test_a_whole_export_is_accepted(
    goverify: Goverify, honest: HonestLog, keys: Path
) -> None:
    told = goverify.accepts("audit", keys, honest.export)
    assert told.startswith(f"verified: {ORIGIN}, 690 entries, root ")
    assert COSIGNED in told
    assert "without an older checkpoint a rewritten log passes too" in told
    alone = goverify.keys(honest.keys.key_lines[:1])
    told = goverify.accepts("audit", alone, honest.export)
    assert "cosigned by no witness: " in told


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("command", ["audit", "consistency"])
def test_an_export_continues_every_older_checkpoint(
    goverify: Goverify,
    honest: HonestLog,
    keys: Path,
    tmp_path: Path,
    command: str,
    size: int,
) -> None:
    kept = written(tmp_path / "kept", honest.older(size))
    told = goverify.accepts(command, keys, honest.export, kept)
    assert told.endswith(f"begins with the {size} of the older checkpoint")


def test_an_older_checkpoint_that_was_not_cosigned_proves_nothing(
    goverify: Goverify, honest: HonestLog, keys: Path, tmp_path: Path
) -> None:
    for line in honest.older().splitlines(keepends=True)[-3:]:
        kept = written(tmp_path / "kept", honest.older().replace(line, ""))
        for command in ("audit", "consistency"):
            told = goverify.rejects(command, keys, honest.export, kept)
            assert told.startswith("older checkpoint: it is not signed by ")


def test_an_entry_of_an_export_is_what_its_receipt_proves(
    goverify: Goverify, honest: HonestLog, keys: Path, tmp_path: Path
) -> None:
    for index in EDGES:
        done = goverify.run("leaf", keys, honest.export, str(index))
        assert done.returncode == 0
        files = ProofFiles(honest, index, tmp_path)
        assert goverify.accepts("proof", keys, *files.write(entry=done.stdout))
    assert "no such entry" in goverify.rejects("leaf", keys, honest.export, "690")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_changed_byte_is_found(
    goverify: Goverify,
    honest: HonestLog,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    """Of a bundle, a tile, or what was signed; base64 spells a signature twice."""
    keys = goverify.keys(honest.keys.key_lines)
    names = [name for name in honest.files if name.startswith("tile/")]
    name = data.draw(st.sampled_from([*names, "checkpoint"]))
    changed = bytearray(honest.files[name])
    end = changed.index(b"\n\n") if name == "checkpoint" else len(changed)
    changed[data.draw(st.integers(0, end - 1))] ^= data.draw(st.integers(1, 255))
    files = honest.files | {name: bytes(changed)}
    folder = tmp_path_factory.mktemp("changed") / "export"
    goverify.rejects("audit", keys, publish(files, folder))


def test_a_missing_or_an_extra_file_is_named(
    goverify: Goverify, honest: HonestLog, keys: Path, tmp_path: Path
) -> None:
    tiles = [name for name in honest.files if name.startswith("tile/")]
    export = publish(honest.files, tmp_path / "export")
    for name in [*tiles, "checkpoint"]:
        (export / name).rename(tmp_path / "away")
        assert name in goverify.rejects("audit", keys, export)
        (export / name).mkdir()
        assert name in goverify.rejects("audit", keys, export)
        (export / name).rmdir()
        (tmp_path / "away").rename(export / name)
    (export / "tile/entries/003").write_bytes(b"")
    told = goverify.rejects("audit", keys, export)
    assert "tile/entries/003: no file of a log of 690 entries" in told


@pytest.mark.parametrize("added", [b"\0", b"\0\0", b"\0\1a", b"\xff\xff"])
def test_a_bundle_ends_with_its_last_entry(
    goverify: Goverify, honest: HonestLog, keys: Path, tmp_path: Path, added: bytes
) -> None:
    for number, bundle in enumerate(("tile/entries/000", "tile/entries/002.p/178")):
        for changed in (honest.files[bundle] + added, honest.files[bundle][:-1]):
            files = honest.files | {bundle: changed}
            export = publish(files, tmp_path / f"{number} {len(changed)}")
            told = goverify.rejects("audit", keys, export)
            assert told.startswith(f"{bundle}: this is not a bundle of ")


def test_a_pipe_in_an_export_is_not_waited_for(
    goverify: Goverify, honest: HonestLog, keys: Path, older: Path, tmp_path: Path
) -> None:
    for number, name in enumerate(("tile/0/000", "tile/entries/000", "checkpoint")):
        export = publish(honest.files, tmp_path / str(number))
        (export / name).unlink()
        os.mkfifo(export / name)
        told = goverify.rejects("audit", keys, export, older)
        assert told == f"{name}: no file of a log is like this"


def test_a_checkpoint_of_another_origin_is_rejected(
    goverify: Goverify, honest: HonestLog, tmp_path: Path
) -> None:
    keys = goverify.keys(honest.keys.key_lines[:1])
    text = text_of(honest.checkpoints[690])
    elsewhere = text.replace(ORIGIN, "other.example/log")
    export = publish(honest.files, tmp_path / "export")
    for signed in (text, elsewhere):
        note = sign_note(signed, ORIGIN, honest.keys.hub)
        written(export / "checkpoint", note)
        if signed == text:
            assert goverify.accepts("audit", keys, export)
        else:
            told = goverify.rejects("audit", keys, export)
            assert "it is of the log other.example/log" in told


def test_an_empty_log_is_accepted(
    goverify: Goverify, honest: HonestLog, tmp_path: Path
) -> None:
    signer = honest.keys.hub
    guard = tmp_path / "guard"
    store = LogStore.create(tmp_path / "log", ORIGIN, signer, guard=guard)
    keys = goverify.keys(honest.keys.key_lines[:1])
    empty = publish({"checkpoint": store.checkpoint().encode()}, tmp_path / "export")
    store.close()
    kept = empty / "checkpoint"
    assert "0 entries" in goverify.accepts("audit", keys, empty, kept)
    assert "690 entries" in goverify.accepts("audit", keys, honest.export, kept)
    full = honest.export / "checkpoint"
    told = goverify.rejects("audit", keys, empty, full)
    assert "the log shrank from 690 to 0 entries" in told
    absurd = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), signer)
    wrong = written(tmp_path / "wrong", absurd)
    told = goverify.rejects("audit", keys, honest.export, wrong)
    assert "this is not the root of an empty log" in told


def test_tiles_at_three_levels_are_accepted(
    goverify: Goverify, honest: HonestLog, tmp_path: Path
) -> None:
    leaves = [at.to_bytes(3) for at in range(MANY)]
    files = export_of(leaves, signer=honest.keys.hub)
    assert {"tile/2/000.p/1", "tile/1/001.p/17", "tile/0/273.p/112"} <= files.keys()
    keys = goverify.keys(honest.keys.key_lines[:1])
    export = publish(files, tmp_path / "export")
    for size in (1, 12_345, 65_536, MANY - 1):
        older = checkpoint_of(leaves[:size], honest.keys.hub)
        kept = written(tmp_path / "kept", older)
        assert goverify.accepts("audit", keys, export, kept)
        assert goverify.accepts("consistency", keys, export, kept)
    other = [*leaves[:999], b"other", *leaves[1000:12_345]]
    written(tmp_path / "kept", checkpoint_of(other, honest.keys.hub))
    for command in ("audit", "consistency"):
        told = goverify.rejects(command, keys, export, tmp_path / "kept")
        assert "does not begin with its 12345 entries" in told


def test_wrong_words_are_answered_with_the_usage(goverify: Goverify) -> None:
    for words in ((), ("audit",), ("consistency", "keys", "export"), ("check",)):
        done = goverify.run(*words)
        assert done.returncode == 2
        assert done.stderr.startswith(b"usage:")
