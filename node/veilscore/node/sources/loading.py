"""Load a holder's declared columns, or refuse with one error and leave nothing.

The table is streamed: beside the finished arrays and ids only one chunk of cells
is in memory. Rows without a valid id are left out, counted and listed in
``Columns.rejected``; every other breach of the contract refuses the whole table.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from veilscore.node.columns import Columns
from veilscore.node.sources.csv_file import read_csv
from veilscore.node.sources.features import Categories, Numbers
from veilscore.node.sources.ids import Ids
from veilscore.node.sources.labels import Labels
from veilscore.node.sources.origin import Chunk, Origin
from veilscore.node.sources.parquet_file import read_parquet
from veilscore.node.sources.settings import SourceSettings


def load_columns(settings: SourceSettings, party: str) -> Columns:
    """Return the party's table, or raise ``SourceError``."""
    origin, chunks = _open(settings, party)
    return assemble(chunks, settings, origin)


def _open(settings: SourceSettings, party: str) -> tuple[Origin, Iterator[Chunk]]:
    columns = settings.columns()
    if settings.csv is not None:
        origin = Origin(party, str(settings.csv))
        encoding = settings.encoding or "utf-8"
        return origin, read_csv(settings.csv, encoding, columns, origin)
    if settings.parquet is not None:
        origin = Origin(party, str(settings.parquet))
        return origin, read_parquet(settings.parquet, columns, origin)
    # A long import, for nodes whose source is a database.
    from veilscore.node.sources.database import (  # noqa: PLC0415
        masked,
        parse_url,
        read_table,
    )

    url = parse_url(str(settings.sql), party)
    table = str(settings.table)
    origin = Origin(party, f"{masked(url)}, table `{table}`")
    return origin, read_table(url, settings.password_file, table, columns, origin)


def assemble(
    chunks: Iterable[Chunk], settings: SourceSettings, origin: Origin
) -> Columns:
    """Check chunks of cells against the declared contract and put them together."""
    ids = Ids(settings.id, origin)
    features = [
        (Numbers if each.kind == "numeric" else Categories)(each, origin)
        for each in settings.feature
    ]
    labels = None if settings.label is None else Labels(settings.label, origin)
    builders = [ids, *features] if labels is None else [ids, *features, labels]
    rows = 0
    for chunk in chunks:
        for builder in builders:
            builder.add(chunk, rows + 1)
        rows += len(chunk[settings.id.column])
    if not rows:
        raise origin.error("the table has no rows", "Export it again")
    entities, kept, rejected = ids.finish()
    if labels is None:
        outcome = np.full(len(entities), -1, dtype=np.int8)
        holdout = np.zeros(len(entities), dtype=np.bool_)
    else:
        outcome, holdout = labels.finish(entities, kept)
    return Columns(
        ids=entities,
        features=tuple(feature.finish(kept) for feature in features),
        labels=outcome,
        holdout=holdout,
        rejected=tuple(rejected),
    )
