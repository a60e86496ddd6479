"""Flower's database, when a SuperLink is stopped while it makes its tables."""

import contextlib
import shutil
import sqlite3
from collections.abc import Generator
from pathlib import Path

import pytest
from flwr.supercore.state.alembic import utils
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from veilscore.runtime.flower.migration import one_transaction

EVERY = 40  # of some 520 statements

# Flower's way of configuring alembic.
pytestmark = pytest.mark.filterwarnings("ignore:No path_separator found")


def migrate(database: Path) -> None:
    engine = create_engine(f"sqlite:///{database}")
    utils.run_migrations(engine)
    engine.dispose()


def migrate_each(copies: Path) -> list[Path]:
    """Let a SuperLink start with each copy; return the databases."""
    databases = [folder / "superlink.db" for folder in copies.iterdir()]
    for database in databases:
        migrate(database)
    return databases


def schema(database: Path) -> dict[str, set[str]]:
    """Return the lines that define each table and index, which come in any order."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return {
            name: {line.strip(" \t,") for line in (sql or "").splitlines()}
            for name, sql in connection.execute("SELECT name, sql FROM sqlite_master")
        }


@contextlib.contextmanager
def copied_in_the_midst(database: Path, copies: Path) -> Generator[None]:
    """Keep what a process killed after a statement of the body would leave behind."""
    statements = 0

    def copy(*_: object) -> None:
        nonlocal statements
        statements += 1
        if statements % EVERY == 0:
            left = copies / str(statements)
            left.mkdir(parents=True)
            for file in database.parent.glob(f"{database.name}*"):
                shutil.copyfile(file, left / file.name)

    event.listen(Engine, "after_cursor_execute", copy)
    try:
        yield
    finally:
        event.remove(Engine, "after_cursor_execute", copy)


def test_a_superlink_killed_while_it_migrates_can_start_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, database = tmp_path / "whole.db", tmp_path / "superlink.db"
    migrate(whole)
    monkeypatch.setattr(utils, "_migration_bind", one_transaction)
    with copied_in_the_midst(database, tmp_path / "killed"):
        migrate(database)
    assert schema(database) == schema(whole)

    again = migrate_each(tmp_path / "killed")
    assert len(again) > 10
    for each in again:
        assert schema(each) == schema(whole)


def test_without_it_flower_would_not_start_again(tmp_path: Path) -> None:
    """The reason for all this is gone when this fails."""
    database = tmp_path / "superlink.db"
    with copied_in_the_midst(database, tmp_path / "killed"):
        migrate(database)
    with pytest.raises((SystemExit, OperationalError)):
        migrate_each(tmp_path / "killed")
