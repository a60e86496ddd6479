"""Files that people write and other systems export: settings, tables, small secrets."""

import gzip
import sqlite3
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from tests.fuzz.stock import Stock
from tests.fuzz.target import Target
from veilscore.coordinator.config import CoordinatorSettings
from veilscore.coordinator.contract import read_contract
from veilscore.keys import files
from veilscore.keys.entity_ids import EntityKind
from veilscore.lab.lab_file import LabFile, shipped_labs
from veilscore.node import setup
from veilscore.node.batch import (
    Borrowers,
    _read,  # pyright: ignore[reportPrivateUsage] - its caller needs a running node
)
from veilscore.node.config import NodeSettings
from veilscore.node.sources.loading import assemble, load_columns
from veilscore.node.sources.origin import Chunk, Origin
from veilscore.node.sources.settings import SourceSettings
from veilscore.runtime.settings import Settings, loads
from veilscore.runtime.web.tokens import read_token

_EXAMPLES: Final = Path(__file__).parents[2] / "deploy" / "examples"
_DEEP: Final = (
    b"a = " + b"[" * 2000 + b"]" * 2000,
    b"a = " + b"{a=" * 2000 + b"1" + b"}" * 2000,
    b".".join([b"a"] * 20_000) + b" = 1",
    b"a = " + b"9" * 5000,
    b"a = 0x" + b"f" * 5000,
)


def _settings(model: type[Settings], sample: bytes, share: float = 0.5) -> Target:
    path = Path("/somewhere/program.toml")
    return Target(lambda data: loads(data, model, path), [sample], _DEEP, share=share)


def node_toml(_: Stock) -> Target:
    return _settings(NodeSettings, (_EXAMPLES / "node.toml").read_bytes())


def coordinator_toml(_: Stock) -> Target:
    sample = (_EXAMPLES / "coordinator.toml").read_bytes()
    return _settings(CoordinatorSettings, sample)


def lab_toml(_: Stock) -> Target:
    return _settings(LabFile, shipped_labs()["demo"].read_bytes(), share=0.1)


def contract_toml(stock: Stock) -> Target:
    sample = (_EXAMPLES / "contract.toml").read_bytes()
    sample = sample.replace(b"regulator", b"bureau").replace(b"agriculture", b"market")
    return Target(
        lambda data: read_contract(data, stock.parties.registry, "0a" * 16),
        [sample],
        _DEEP,
        share=0.5,
    )


# -- tables ----------------------------------------------------------------------------

_FEATURES: Final[Sequence[Mapping[str, object]]] = (
    {"column": "amount", "kind": "numeric", "missing": ["-1", "NA"]},
    {"column": "branch", "kind": "categorical"},
)
_HEADER: Final = ("id", "amount", "branch", "y")
_ROWS: Final = (
    ("a1", 1.5, "01", 0),
    ("b2", -1.0, "02", 1),
    ("c3", 1e9, None, None),
    ("d4", None, "01", 1),
    ("e5", 0.25, "03", 0),
)


def _source(**where: object) -> SourceSettings:
    return SourceSettings.model_validate(
        {
            **where,
            "id": {"column": "id", "type": EntityKind.OPAQUE},
            "feature": _FEATURES,
            "label": {"column": "y"},
        },
        strict=False,
    )


def _csv() -> str:
    lines = [_HEADER, *_ROWS]
    return "".join(
        ",".join("" if cell is None else str(cell) for cell in line) + "\r\n"
        for line in lines
    )


def _table(path: Path, settings: SourceSettings) -> Callable[[bytes], object]:
    def decode(data: bytes) -> None:
        path.write_bytes(data)
        columns = load_columns(settings, "bank")
        assert columns.index().repeats() == (0, (0, 0))

    return decode


def csv_table(stock: Stock) -> Target:
    path = stock.file("table.csv")
    return Target(_table(path, _source(csv=path)), [_csv().encode()], share=0.5)


def csv_in_chinese_encoding(stock: Stock) -> Target:
    path = stock.file("table.csv")
    sample = _csv().replace("01", "北京").encode("gb18030")
    return Target(
        _table(path, _source(csv=path, encoding="gb18030")), [sample], share=0.5
    )


def gzipped_csv_table(stock: Stock) -> Target:
    path = stock.file("table.csv.gz")
    whole = gzip.compress(_csv().encode())
    one_line = gzip.compress(bytes(1 << 20)) * 400  # 400 MiB in 400 KB
    return Target(_table(path, _source(csv=path)), [whole], [one_line], share=0.5)


def parquet_table(stock: Stock) -> Target:
    path = stock.file("table.parquet")
    # By name, because pyarrow has no types a checker could follow.
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    columns = zip(*_ROWS, strict=True)
    table = arrow.table(dict(zip(_HEADER, map(list, columns), strict=True)))
    parquet.write_table(table, path, compression="none")
    whole = path.read_bytes()
    not_text = whole.replace(b"a1", b"\xe1\x28")
    return Target(_table(path, _source(parquet=path)), [whole], [not_text], share=0.2)


def sqlite_table(stock: Stock) -> Target:
    path = stock.file("table.db")
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE loans (id TEXT, amount REAL, branch TEXT, y INT)")
    connection.executemany("INSERT INTO loans VALUES (?, ?, ?, ?)", _ROWS)
    connection.commit()
    connection.close()
    settings = _source(sql=f"sqlite:///{path}", table="loans")
    return Target(_table(path, settings), [path.read_bytes()], share=0.05)


def _decimal(octets: bytes) -> Decimal:
    digits = tuple(byte % 10 for byte in octets) or (0,)
    return Decimal((len(octets) % 2, digits, len(octets) * 7 - 40))


# What a driver of some database may make of a cell, by its first byte; text otherwise.
_DRIVERS: Final[Mapping[bytes, Callable[[bytes], object]]] = {
    b"i": lambda octets: int.from_bytes(octets, signed=True),
    b"f": lambda octets: struct.unpack("<d", octets[:8].ljust(8, b"\0"))[0],
    b"d": _decimal,
    b"s": lambda _: Decimal("sNaN"),
    b"n": lambda _: None,
    b"b": bytes,
    b"l": lambda octets: [octets, None],
}


def _cell(said: bytes) -> object:
    driver = _DRIVERS.get(said[:1])
    return driver(said[1:]) if driver else said.decode(errors="replace")


def cells_of_a_database(_: Stock) -> Target:
    settings = _source(sql="sqlite:///none.db", table="loans")

    def decode(data: bytes) -> None:
        cells = [_cell(text) for text in data.split(b"|")]
        rows = [cells[at : at + 4] for at in range(0, len(cells) - 3, 4)]
        columns: Iterable[Sequence[object]] = zip(*rows, strict=True)
        chunk: Chunk = dict(zip(map(str, _HEADER), columns, strict=False))
        assemble([chunk] if rows else [], settings, Origin("bank", "a table"))

    sample = b"a1|d15|01|i\0|b2|i\1|02|i\1|c3|n|n|n|d4|0.5|01|1"
    huge = b"i" + b"\x7f" * 2000
    return Target(
        decode,
        [sample],
        [b"a1|" + huge + b"|01|i\0|" + sample, huge + b"|d15|01|i\0|" + sample],
        share=0.5,
    )


def borrowers(stock: Stock) -> Target:
    path = stock.file("borrowers.csv")
    asked = Borrowers(path, "utf-8", "id", None, "type")

    def decode(data: bytes) -> None:
        path.write_bytes(data)
        failed: list[tuple[int, str]] = []
        rows = list(_read(asked, failed))
        assert len(rows) + len(failed) <= len(data)

    return Target(
        decode, [b"id,type\r\n17,opaque\r\n91350100M000100Y43,uscc\r\n"], share=0.5
    )


# -- small files -----------------------------------------------------------------------


def token_file(stock: Stock) -> Target:
    path = stock.file("web.token")
    path.touch(0o600)

    def decode(data: bytes) -> None:
        path.write_bytes(data)
        read_token(path)

    return Target(decode, [b"a-token-of-a-program\n"], share=0.2)


def fingerprint_file(stock: Stock) -> Target:
    """Read the file in which ``node join`` keeps what its operator compared."""
    folder = stock.file("node").parent
    example = (_EXAMPLES / "node.toml").read_bytes()
    settings = loads(example, NodeSettings, folder / "node.toml")
    hub = stock.people.signers["hub"]
    files.create(settings.kit, stock.welcome_kit())

    def decode(data: bytes) -> None:
        settings.coordinator_fingerprint_file.write_bytes(data)
        setup.load_kit(settings)

    pinned = hub.verify_key.fingerprint.hex().encode()
    return Target(decode, [pinned], [b"\xff", b"no hexadecimal"], share=0.2)


TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    "node.toml": node_toml,
    "coordinator.toml": coordinator_toml,
    "lab file": lab_toml,
    "contract.toml": contract_toml,
    "table in CSV": csv_table,
    "table in CSV, gb18030": csv_in_chinese_encoding,
    "table in gzipped CSV": gzipped_csv_table,
    "table in Parquet": parquet_table,
    "table in SQLite": sqlite_table,
    "cells of a database": cells_of_a_database,
    "borrowers to score": borrowers,
    "token file": token_file,
    "fingerprint file": fingerprint_file,
}
