"""Rows whose id fails its check are listed in a file, also before a refusal."""

import csv
import stat
from pathlib import Path

import pytest

from veilscore.keys.entity_ids import complete_uscc
from veilscore.node import config
from veilscore.node.config import NodeSettings
from veilscore.node.errors import SourceError
from veilscore.node.snapshot import load_snapshot

NODE = """
party = "bank"
state = "state"
passphrase_file = "passphrase"
keystore = "keystore"
kit = "kit.json"
coordinator_fingerprint_file = "coordinator.fingerprint"
[log]
policy = "log-policy.txt"
[web]
token_file = "web.token"
"""
SOURCE = """
[source]
csv = "borrowers.csv"
[source.id]
column = "code"
type = "uscc"
max_rejected_share = {share}
[[source.feature]]
column = "deposit"
kind = "numeric"
"""
FIRMS = [complete_uscc(f"91990000{at:08d}") for at in range(40)]


def wrong(code: str) -> str:
    """Return an id whose check digit is another."""
    return code[:-1] + ("1" if code[-1] == "0" else "0")


def node(folder: Path, ids: list[str], share: float = 0.05) -> NodeSettings:
    """Return the settings of a node with a table of these ids."""
    rows = [f"{entity},{at}\n" for at, entity in enumerate(ids)]
    (folder / "borrowers.csv").write_text("code,deposit\n" + "".join(rows))
    (folder / "node.toml").write_text(NODE + SOURCE.format(share=share))
    settings = config.read(folder / "node.toml")
    settings.state.mkdir(exist_ok=True)
    return settings


def listed(settings: NodeSettings) -> list[list[str]]:
    """Return the rows of the list, which only its owner may read and names no id."""
    (path,) = settings.state.iterdir()
    assert path.name == "rejected_rows.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert not any(code[:-1] in text for code in FIRMS)
    header, *rows = csv.reader(text.splitlines())
    assert header == ["row", "column", "reason"]
    return rows


def test_a_few_bad_ids_are_left_out_and_listed(tmp_path: Path) -> None:
    settings = node(tmp_path, [*FIRMS[:9], wrong(FIRMS[9]), *FIRMS[10:]])
    columns = load_snapshot(settings).columns
    assert len(columns) == 39
    assert len(columns.rejected) == 1
    ((row, column, reason),) = listed(settings)
    assert (row, column) == ("10", "code")
    assert "check digit" in reason


@pytest.mark.parametrize("share", [0.05, 1])
def test_too_many_bad_ids_are_listed_before_the_table_is_refused(
    tmp_path: Path, share: float
) -> None:
    good = FIRMS[:30] if share < 1 else []
    settings = node(tmp_path, [*good, *map(wrong, FIRMS[len(good) :])], share)
    with pytest.raises(SourceError, match="valid id") as caught:
        load_snapshot(settings)
    rows = listed(settings)
    expected = range(len(good) + 1, len(FIRMS) + 1)
    assert [int(row) for row, _, _ in rows] == list(expected)
    assert all("check digit" in reason for _, _, reason in rows)
    error = caught.value
    assert (error.party, error.exit_code) == ("bank", 5)
    assert error.place.endswith("borrowers.csv, column `code`")
    assert str(settings.state / "rejected_rows.csv") in error.remedy


def test_a_corrected_table_has_an_empty_list(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        load_snapshot(node(tmp_path, [*map(wrong, FIRMS)]))
    settings = node(tmp_path, FIRMS)
    assert len(load_snapshot(settings).columns) == 40
    assert listed(settings) == []


def test_another_breach_writes_nothing(tmp_path: Path) -> None:
    settings = node(tmp_path, [*FIRMS, FIRMS[0]])
    with pytest.raises(SourceError, match="already"):
        load_snapshot(settings)
    assert not list(settings.state.iterdir())
