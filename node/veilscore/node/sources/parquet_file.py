"""Read the declared columns of a Parquet file, batch by batch.

The package pyarrow does it, and is an extra of this product: 150 MB for those who
need it.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from veilscore.node.sources.origin import CHUNK_ROWS, Chunk, Origin


def read_parquet(path: Path, columns: Sequence[str], origin: Origin) -> Iterator[Chunk]:
    """Yield the columns as Python values; raise ``SourceError`` on a bad file."""
    try:
        # By name, because pyarrow has no types a checker could follow.
        arrow = import_module("pyarrow")
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise origin.error(
            "Parquet needs the package pyarrow, which is not installed",
            "Install veilscore[parquet], or export CSV",
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            origin.require(columns, file.schema_arrow.names)
            for batch in file.iter_batches(CHUNK_ROWS, columns=list(columns)):
                yield {column: batch[column].to_pylist() for column in columns}
    except FileNotFoundError as error:
        raise origin.error(
            "the file does not exist", "Correct the path, or export the file"
        ) from error
    # ValueError, OverflowError: texts that are not UTF-8, days that Python has not.
    except (OSError, ValueError, OverflowError, arrow.ArrowException) as error:
        raise origin.error(
            f"the file cannot be read as Parquet ({type(error).__name__})",
            "Check its permissions and that it was copied completely",
        ) from error
