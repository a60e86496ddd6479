"""The scanner finds a canary in every spelling and wrapping, and nothing in noise.

What is planted is encoded here by other means than the scanner's own list of forms, in
the middle of random bytes.
"""

import base64
import gzip
import hashlib
import io
import json
import secrets
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.attacks.canary_forms import (
    Canary,
    CanaryId,
    CanaryNumber,
    fresh_number,
    fresh_text,
)
from tests.attacks.leak_scanner import BARE_BYTES, LeakScanner
from veilscore.keys.linkage import hash_to_group, truncate
from veilscore.v1.audit_pb2 import Event, RunDecided, SignedEvent

IDS = [CanaryId(f"id {number}", fresh_text()) for number in range(8)]
NUMBERS = [CanaryNumber(f"number {n}", fresh_number(n % 3)) for n in range(8)]
LEVEL = Canary("a level", fresh_text())
SCANNER = LeakScanner([*IDS, *NUMBERS, LEVEL])

Encode = Callable[[bytes], bytes]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def typed(data: bytes) -> bytes:
    return b"X:" + data


def point(data: bytes) -> bytes:
    return hash_to_group(typed(data).decode())


def based(encode: Encode, before: int) -> Encode:
    """Return what encodes octets in the middle of others."""
    return lambda data: encode(bytes([251] * before) + data + b"\xff?>")


SPELLINGS: Final[dict[str, Encode]] = {
    "as it is": bytes,
    "hex": lambda data: data.hex().encode(),
    "HEX": base64.b16encode,
    "hex with neighbours": lambda data: b"0" + data.hex().encode() + b"7",
    **{
        f"{encode.__name__} after {before}": based(encode, before)
        for encode in (base64.b64encode, base64.urlsafe_b64encode)
        for before in range(7)
    },
}
MADE_OF_AN_ID: Final[dict[str, Encode]] = {
    "itself": bytes,
    "typed": typed,
    "SHA-256": sha256,
    "SHA-256 of the typed id": lambda data: sha256(typed(data)),
    "first 8 bytes of SHA-256": lambda data: sha256(data)[:8],
    "first 16 bytes of SHA-256, typed": lambda data: sha256(typed(data))[:16],
    "point": point,
    "pseudonym without a key": lambda data: truncate(point(data)),
}


def zipped(method: int) -> Encode:
    def encode(data: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as bundle:
            bundle.writestr("pyproject.toml", b"[project]\n" * 20)
            bundle.writestr("src/ids.txt", data)
        return file.getvalue()

    return encode


def deflated(window: int) -> Encode:
    def encode(data: bytes) -> bytes:
        engine = zlib.compressobj(9, zlib.DEFLATED, window)
        return engine.compress(data) + engine.flush()

    return encode


def flushed(data: bytes) -> bytes:
    """Return a stream that has no end yet."""
    engine = zlib.compressobj()
    return engine.compress(data) + engine.flush(zlib.Z_SYNC_FLUSH)


WRAPPINGS: Final[dict[str, Encode]] = {
    "nothing": bytes,
    "zlib": zlib.compress,
    "zlib, fast": lambda data: zlib.compress(data, 1),
    "zlib, small window": deflated(9),
    "zlib, unfinished": flushed,
    "gzip": gzip.compress,
    "deflate": deflated(-15),
    "zip": zipped(zipfile.ZIP_DEFLATED),
    "stored zip": zipped(zipfile.ZIP_STORED),
    "gzip in zip": lambda data: zipped(zipfile.ZIP_DEFLATED)(gzip.compress(data)),
    "zlib in gzip": lambda data: gzip.compress(zlib.compress(data)),
    "signed event": lambda data: SignedEvent(
        body=Event(
            run_decided=RunDecided(reason=data.decode("latin-1"))
        ).SerializeToString()
    ).SerializeToString(),
}


def planted(data: bytes, around: int = 300) -> bytes:
    """Return the data in the middle of noise."""
    return secrets.token_bytes(around) + data + secrets.token_bytes(around)


def found(data: bytes) -> set[str]:
    return {leak.what for leak in SCANNER.scan("here", data)}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("made", MADE_OF_AN_ID)
def test_an_id_is_found_in_every_spelling(made: str, spelling: str) -> None:
    for each in IDS:
        leak = SPELLINGS[spelling](MADE_OF_AN_ID[made](each.text.encode()))
        assert found(planted(leak)) == {each.what}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("made", ["SHA-256", "first 8 bytes of SHA-256"])
def test_a_hash_of_a_level_is_found_in_every_spelling(made: str, spelling: str) -> None:
    leak = SPELLINGS[spelling](MADE_OF_AN_ID[made](LEVEL.text.encode()))
    assert found(planted(leak)) == {LEVEL.what}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "gb18030"])
@pytest.mark.parametrize("canary", [IDS[0], LEVEL], ids=["id", "level"])
def test_a_text_is_found_in_every_encoding(canary: Canary, encoding: str) -> None:
    assert found(planted(f"X:{canary.text}".encode(encoding))) == {canary.what}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_text_is_found_in_every_wrapping(wrapping: str) -> None:
    line = f"WARNING entity {LEVEL.text} has no bin\n"
    for text in (LEVEL.text, 50 * line + line.lower()):
        leak = WRAPPINGS[wrapping](text.encode("ascii"))
        assert found(planted(leak)) == {LEVEL.what}, text


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_number_is_found_in_every_spelling(spelling: str, order: str) -> None:
    for each in NUMBERS:
        leak = SPELLINGS[spelling](struct.pack(f"{order}d", each.value))
        assert found(planted(leak)) == {each.what}


def in_bits(kind: str) -> Callable[[float], bytes]:
    return lambda value: np.array(value, dtype=kind).tobytes()


HASHED_NUMBERS: Final[dict[str, Callable[[float], bytes]]] = {
    "as in CSV": lambda value: str(value).encode(),
    "as in JSON": lambda value: json.dumps(value).encode(),
    **{kind: in_bits(kind) for kind in ("<f8", ">f8", "<f4", ">f4")},
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("made", HASHED_NUMBERS)
def test_a_hash_of_a_number_is_found_in_every_spelling(
    made: str, spelling: str
) -> None:
    for each in NUMBERS:
        leak = SPELLINGS[spelling](sha256(HASHED_NUMBERS[made](each.value)))
        assert found(planted(leak)) == {each.what}


@pytest.mark.parametrize("kind", ["<f8", ">f8", "<f4", ">f4"])
def test_a_column_of_numbers_is_found(kind: str) -> None:
    column = np.array([each.value for each in NUMBERS], dtype=kind)
    assert found(planted(column.tobytes())) == {each.what for each in NUMBERS}


def test_numbers_of_32_bits_are_found_in_pairs() -> None:
    first, second = (struct.pack("<f", each.value) for each in NUMBERS[:2])
    assert found(planted(first + second)) == {"number 0", "number 1"}
    # Four bytes alone turn up by chance in some of a run's megabytes.
    assert found(planted(first)) == set()


def test_a_number_is_found_in_a_text() -> None:
    text = json.dumps({"weights": [NUMBERS[3].value, 1.5]})
    assert found(planted(text.encode())) == {"number 3"}


def test_a_bare_stream_is_found_at_any_place_of_a_message() -> None:
    leak = deflated(-15)(IDS[5].text.encode())
    for around in (0, 1, 7, BARE_BYTES // 2 - 30):
        assert found(planted(leak, around)) == {"id 5"}


def test_the_end_of_a_block_hides_nothing() -> None:
    leak = IDS[7].text.encode()
    for before in ((1 << 20) - 16, (1 << 20) - 8, (1 << 20) - 1, 1 << 20):
        assert found(bytes(before) + leak) == {"id 7"}


def test_a_leak_says_where_and_as_what() -> None:
    text = IDS[0].text.encode().hex().encode()
    told = {str(leak) for leak in SCANNER.scan("state/log.db", gzip.compress(text))}
    assert "id 0 as text, hex in state/log.db, zlib or gzip" in told
    assert not any(IDS[0].text in each for each in told)


def test_noise_holds_nothing() -> None:
    noise = secrets.token_bytes(1 << 20)
    others = " ".join(fresh_text() for _ in range(1000)).encode()
    for clean in (
        noise,
        others,
        noise.hex().encode(),
        base64.b64encode(noise),
        gzip.compress(others),
        zipped(zipfile.ZIP_DEFLATED)(others),
        np.random.default_rng(1).normal(size=100_000).astype("<f4").tobytes(),
        b"",
        b"\0" * 7,
    ):
        assert found(clean) == set()


def test_files_and_their_names_are_searched(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "log.txt").write_text(f"a{IDS[1].text}b")
    (folder / f"{IDS[2].text}.csv").write_text("nothing")
    leaks = SCANNER.scan_folder(tmp_path)
    assert {(leak.what, leak.where) for leak in leaks} == {
        ("id 1", "runs/log.txt"),
        ("id 2", "the names of files"),
    }


def test_databases_are_searched_cell_by_cell(tmp_path: Path) -> None:
    """A compressed value over several pages is surely in one piece in its cell."""
    text = " ".join(fresh_text() for _ in range(2000)) + LEVEL.text
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute('CREATE TABLE "a ""table""" (name TEXT, value BLOB)')
        row = "x", gzip.compress(text.encode())
        database.execute('INSERT INTO "a ""table""" VALUES (?, ?)', row)
        database.commit()
        leaks = SCANNER.scan_folder(tmp_path)
    assert {leak.what for leak in leaks} == {LEVEL.what}
    assert any(leak.where.startswith('state.db, table a "table", ') for leak in leaks)


def test_deleted_rows_are_searched(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "state.db")) as database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute("CREATE TABLE entry (value TEXT)")
        database.execute("INSERT INTO entry VALUES (?)", (IDS[4].text,))
        database.commit()
        database.execute("DELETE FROM entry")
        database.commit()
    assert {leak.what for leak in SCANNER.scan_folder(tmp_path)} == {"id 4"}
