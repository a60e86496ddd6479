"""Read the declared columns of one database table through SQLAlchemy Core.

The only statement is a SELECT of the declared columns, ordered by the id so that
rows have numbers; nobody can put SQL of their own in. Give the node an account
that can read this table and nothing else.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import (
    URL,
    ColumnElement,
    Select,
    column,
    create_engine,
    inspect,
    make_url,
    select,
    table,
)
from sqlalchemy.exc import (
    ArgumentError,
    NoSuchModuleError,
    NoSuchTableError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from veilscore.keys import files
from veilscore.keys.errors import FileError
from veilscore.node.errors import SourceError
from veilscore.node.sources.origin import CHUNK_ROWS, Chunk, Origin


def parse_url(text: str, party: str) -> URL:
    """Return the URL, or raise ``SourceError`` if it is none or holds a password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # A port that is no number may be a password, and the cause quotes it.
        raise SourceError(
            "the value of `sql` is not a database URL",
            party=party,
            place="[source]",
            remedy="Write it as dialect+driver://user@host/database",
        ) from None
    if url.password is not None:
        raise SourceError(
            "the database URL holds a password",
            party=party,
            place=masked(url),
            remedy="Move it into a file and name that as `password_file`",
        )
    return url


def masked(url: URL) -> str:
    """Return the URL without password and options, some of which are secrets."""
    return url.set(query={}).render_as_string()


def read_table(
    url: URL,
    password_file: Path | None,
    name: str,
    columns: Sequence[str],
    origin: Origin,
) -> Iterator[Chunk]:
    """Yield the columns in the order of the first one, as the driver types them."""
    schema, _, plain = name.rpartition(".")
    # Columns without a type, because a converter's error would quote the cell.
    fields: list[ColumnElement[object]] = [column(each) for each in columns]
    wanted: Select[*tuple[object, ...]] = (
        select(*fields)
        .select_from(table(plain, schema=schema or None))
        .order_by(fields[0])
    )
    if password_file is not None:
        url = url.set(password=_password(password_file, origin))
    try:
        engine = create_engine(_read_only(url), poolclass=NullPool)
        with engine.connect() as connection:
            found = inspect(connection).get_columns(plain, schema=schema or None)
            origin.require(columns, [each["name"] for each in found])
            streamed = connection.execution_options(
                stream_results=True, yield_per=CHUNK_ROWS
            )
            for rows in streamed.execute(wanted).partitions():
                yield dict(zip(columns, zip(*rows, strict=True), strict=True))
    except NoSuchTableError as error:
        raise origin.error(
            "the table does not exist, or this account may not see it",
            "Correct `table`, or grant SELECT on it",
        ) from error
    except (NoSuchModuleError, ImportError) as error:
        raise origin.error(
            f"no driver for {url.drivername} is installed",
            "Install the database's SQLAlchemy driver beside veilscore",
        ) from error
    except SQLAlchemyError as error:
        # The driver's own words may quote a cell or the account's password.
        cause = type(getattr(error, "orig", None) or error).__name__
        raise origin.error(
            f"the database cannot be opened or read ({cause})",
            "Check host, account and network with the database's own client",
        ) from None


def _read_only(url: URL) -> URL:
    if url.get_backend_name() != "sqlite" or not url.database:
        return url
    # SQLite otherwise makes an empty database where none is.
    options = {"mode": "ro", "uri": "true"}
    return url.set(database=f"file:{quote(url.database)}", query=options)


def _password(path: Path, origin: Origin) -> str:
    try:
        return files.read_private(path).decode().strip()
    except FileError as error:
        what, remedy = error.what, error.remedy.rstrip(".")
    except UnicodeDecodeError:
        what, remedy = "it holds no text", "Write the password in UTF-8"
    raise origin.error(f"the password file {path}: {what}", remedy)
