"""Flower's database gets its tables in one transaction, or none.

Flower migrates step by step, and SQLite's driver commits each statement on its own: a
SuperLink that is stopped meanwhile (in the first second of a coordinator's life) left
tables with which none starts again. SQLite can do all of it in one transaction, once
the driver is told not to interfere:
https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#sqlite-transactions
"""

from collections.abc import Generator
from contextlib import contextmanager

import sqlalchemy


@contextmanager
def one_transaction(engine: sqlalchemy.Engine) -> Generator[sqlalchemy.Connection]:
    """Take the place of Flower's ``_migration_bind``: yield what migrations run on.

    The connection is one of its own: those of Flower's engine keep foreign keys, and a
    migration that replaces a table would take along what refers to it.
    """
    plain = sqlalchemy.create_engine(
        engine.url,
        connect_args={"isolation_level": None},  # only we begin
        poolclass=sqlalchemy.NullPool,
    )
    with plain.begin() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection
