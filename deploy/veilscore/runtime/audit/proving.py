"""``veilscore audit prove``: the proofs of single entries, as files of their own.

A proof is verified before it is written. It is a ``.tlog-proof`` (C2SP tlog-proof) with
the entry beside it in a file ``.entry``, which any verifier of that format takes.
"""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

import json
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from veilscore.keys import files
from veilscore.keys.errors import FileError
from veilscore.keys.tlog.archive import LogFiles, open_export
from veilscore.keys.tlog.entry_proof import (
    Choice,
    ProofReport,
    ProvenEntry,
    audit_proofs,
    by_correlation,
    by_index,
    by_leaf,
    take_proofs,
)
from veilscore.runtime.audit import fetching, verifying
from veilscore.runtime.audit.auditor import Auditor
from veilscore.runtime.audit.options import (
    Fingerprint,
    Json,
    Own,
    Policy,
    must_be_new,
    reading,
)
from veilscore.runtime.audit.verifying import Trust


def prove(
    export: Annotated[
        Path | None, typer.Argument(help="A directory or a tar; or --from.")
    ] = None,
    *,
    out: Annotated[
        Path,
        typer.Option(help="The .tlog-proof to write; a new folder for --correlation."),
    ],
    index: Annotated[
        int | None, typer.Option(min=0, help="Of the entry, counted from 0.")
    ] = None,
    correlation: Annotated[
        str, typer.Option(metavar="ID", help="All entries of a run or request.")
    ] = "",
    leaf: Annotated[
        Path | None, typer.Option(help="A file with the exact bytes of the entry.")
    ] = None,
    url: Annotated[
        str,
        typer.Option("--from", help="A coordinator's web address instead of EXPORT."),
    ] = "",
    own: Own = None,
    fingerprint: Fingerprint = "",
    policy: Policy = None,
    as_json: Json = False,
) -> None:
    """Take proofs that a log holds entries (C2SP tlog-proof), and verify them.

    Beside each proof its entry is written, to a file that ends in .entry. Prints and
    ends as `verify` does; a proof that fails a step is not written.
    """
    trust, reader = Trust.read_as(own, fingerprint, policy)
    choice = _choice(index, correlation, leaf)
    must_be_new(out)
    if not correlation and not leaf:
        must_be_new(_entry_beside(out))
    with _opened(export, url, reader) as log, reading(quiet=as_json) as watch:
        key, proven = take_proofs(log, choice, watch)
    report: ProofReport = verifying.run(
        lambda steps: audit_proofs(
            proven,
            log=key,
            fingerprint=trust.fingerprint,
            policy=trust.policy,
            watch=steps,
        ),
        as_json=as_json,
    )
    if correlation:
        _write_folder(out, proven)
    else:
        _write(out, proven[0], with_entry=leaf is None)
    if as_json:
        told = {"verified": True, **asdict(report), "written": str(out)}
        typer.echo(json.dumps(told))
        return
    verifying.tell(report)
    what = f"{len(proven)} proofs" if correlation else "the proof"
    typer.echo(f"{what}: {out}")


def _choice(index: int | None, correlation: str, leaf: Path | None) -> Choice:
    given = [index is not None, bool(correlation), leaf is not None]
    if sum(given) != 1:
        raise typer.BadParameter(
            "give one of the three", param_hint="--index / --correlation / --leaf"
        )
    if index is not None:
        return by_index(index)
    return by_leaf(files.read(leaf)) if leaf else by_correlation(correlation)


@contextmanager
def _opened(
    export: Path | None, url: str, reader: Auditor | None
) -> Generator[LogFiles]:
    if (export is None) == (not url):
        raise typer.BadParameter("give one of the two", param_hint="EXPORT / --from")
    if export is None:
        with fetching.remote_log(url, reader) as log:
            yield log
    else:
        with open_export(export) as log:
            yield log


def _entry_beside(proof: Path) -> Path:
    """Return the file for what is proved, which is not that of the proof."""
    entry = proof.with_suffix(".entry")
    if entry == proof:
        raise typer.BadParameter(
            "the entry is written to a file that ends so", param_hint="--out"
        )
    return entry


def _write(out: Path, proven: ProvenEntry, *, with_entry: bool = True) -> None:
    if with_entry:
        files.replace(_entry_beside(out), proven.leaf)
    files.replace(out, proven.proof.text.encode())


def _write_folder(out: Path, proven: Sequence[ProvenEntry]) -> None:
    """Write a proof and an entry for each; the folder appears whole or not at all."""
    try:
        unfinished = Path(tempfile.mkdtemp(prefix=f"{out.name}.", dir=out.parent))
        try:
            for each in proven:
                _write(unfinished / f"{each.proof.index}.tlog-proof", each)
            unfinished.rename(out)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise FileError(
            f"the folder cannot be written: {error.strerror}",
            place=str(out),
            remedy="Name another by --out, in a folder that you may write to.",
        ) from error
