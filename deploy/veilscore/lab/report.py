"""Show what a lab found out: one table, and a line for every check."""

import re
from typing import Final

from rich.console import Console
from rich.table import Table

from veilscore.lab.bars import AUC_BAR, KS_BAR, PD_BAR, ROUNDING_BAR
from veilscore.lab.joint_outcome import JointRunOutcome
from veilscore.lab.joint_report import Rows, rows_of
from veilscore.lab.outcome import (
    LabOutcome,
    Parity,
    Quality,
    RunOutcome,
    ScoreOutcome,
)

_SHOWN: Final = 5  # leaks


def show(outcome: LabOutcome, console: Console) -> None:
    """Print the table and the checks."""
    table = Table(title=f"Lab {outcome.name}", show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for section in (
        _parties(outcome),
        *(
            rows_of(run) if isinstance(run, JointRunOutcome) else _run(run)
            for run in outcome.runs
        ),
        _scores(outcome.scores),
        _machine(outcome),
    ):
        for name, text in section:
            table.add_row(name, text)
        table.add_section()
    console.print(table)
    for what, holds in outcome.checks().items():
        console.print(f"[green]✓[/] {what}" if holds else f"[red]✗ {what}[/]")


def _parties(outcome: LabOutcome) -> Rows:
    for name, holder in outcome.holders.items():
        text = f"{holder.entities:,} entities, {holder.columns} columns"
        if holder.rejected:
            text += f", {holder.rejected:,} rows left out for their ids"
        yield name, text
    shared = f"{outcome.shared_entities:,} of them known to all parties"
    yield "in the files", f"{outcome.entities:,} entities, {shared}"
    yield "all online after", f"{outcome.online_seconds:.1f} s"


def _run(run: RunOutcome) -> Rows:
    steps = ", ".join(f"{name} {took:.1f}" for name, took in run.steps.items())
    yield f"run {run.name}", f"{run.seconds:.1f} s: {steps}"
    work = ", ".join(f"{name} {seconds} s" for name, seconds in run.expected.items())
    yield "  expected", f"{work} of work, said before"
    quality = run.quality
    learned = f"the label holder learned from {quality.learned:,}"
    yield "  rows aligned", f"{quality.aligned:,} in the run, {learned}"
    yield from _quality(quality)
    if run.parity is not None:
        yield from _parity(run.parity, exact=run.exact)
    elif run.parity_skipped:
        colour = "red" if run.exact else "yellow"
        yield "  pooled data", f"[{colour}]NOT COMPARED: {run.parity_skipped}[/]"


def _quality(quality: Quality) -> Rows:
    judged = "held-out" if quality.on_holdout else "training"
    yield "  judged on", f"{quality.rows:,} {judged} rows of the label holder"
    for name, alone, joint in (
        ("  AUC", quality.alone_auc, quality.auc),
        ("  Gini", quality.alone_gini, quality.gini),
        ("  KS", quality.alone_ks, quality.ks),
    ):
        gain = f"[bold]{joint:.4f}[/] together ({joint - alone:+.4f})"
        yield name, f"{alone:.4f} alone → {gain}"
    yield "  Brier", f"{quality.brier:.4f}"
    intercept, slope = quality.calibration_intercept, quality.calibration_slope
    if intercept is not None and slope is not None:
        yield "  calibration", f"slope {slope:.2f}, intercept {intercept:+.2f}"


def _parity(parity: Parity, *, exact: bool) -> Rows:
    yield "  all data", f"{parity.rows:,} held-out rows, central models beside"
    for name, alone, central, here, apart, bar in (
        (
            *("  AUC", parity.alone_auc, parity.central_auc, parity.federated_auc),
            *(parity.auc_apart, AUC_BAR),
        ),
        (
            *("  KS", parity.alone_ks, parity.central_ks, parity.federated_ks),
            *(parity.ks_apart, KS_BAR),
        ),
    ):
        bound = f", bar {bar}" if exact else ""
        models = f"{alone:.4f} alone, {central:.5f} pooled, [bold]{here:.5f}[/] here"
        yield name, f"{models} ({apart:+.5f}{bound})"
    judged = f"AUC {parity.judged_card_auc_apart:+.5f} on the held-out rows"
    labelled = f"{parity.card_auc_apart:+.5f} on all labelled ones"
    yield "  rounding", f"{judged}, {labelled} (bar ±{ROUNDING_BAR})"
    bound = f" (bar {PD_BAR})" if exact else ""
    worst = f"{parity.worst_pd:.1e} at worst{bound}"
    yield "  PD apart", f"{worst}, {parity.mean_pd:.1e} on average"


def _scores(scores: ScoreOutcome) -> Rows:
    rate = scores.answered / scores.seconds
    took = f"{scores.queries} queries, {scores.seconds:.1f} s, {rate:,.0f} a second"
    yield "scores", f"{scores.answered:,} of {scores.asked:,} answered ({took})"
    example = scores.example
    cards = "the plain sum of the cards"
    if len(example.partials) == 1:
        cards = f"the card of {next(iter(example.partials))} in plain"
    yield "  mismatches", f"{scores.mismatches:,} with {cards}"
    terms = " ".join(f"{name} {points:+d}" for name, points in example.partials.items())
    yield "  one borrower", f"{terms} = {example.total}"
    yield (
        "  decrypted",
        f"{example.decrypted}, PD {example.probability_of_default:.2%}",
    )


def _machine(outcome: LabOutcome) -> Rows:
    log = outcome.log
    size = f"{log.files:,} files, {log.export_bytes / 1e6:.1f} MB"
    verified = "verified offline" if log.verified else "[red]NOT VERIFIED[/]"
    yield "audit log", f"{log.entries:,} entries in {size}, {verified}"
    if log.witnesses:
        yield "  cosigned by", ", ".join(log.witnesses)
    if log.reconciled:
        yield "  reconciled with", ", ".join(log.reconciled)
    if log.sought:
        searched = f"for {log.sought:,} ids, names and values, also hashed and encoded"
        told = f"[red]{len(log.leaks):,} FOUND[/]" if log.leaks else "none found"
        yield "  searched", f"{searched}: {told}"
        for leak in log.leaks[:_SHOWN]:
            yield "", f"[red]{leak}[/]"
    if log.evidence:
        request, size = _short(log.evidence.request), f"{log.evidence.bytes:,} bytes"
        yield "evidence", f"of request {request} in {size}, verified offline"
        for what, value in log.evidence.facts:
            yield f"  {what}", _short(value)
    for remark in log.remarks:
        yield "", f"[yellow]{remark}[/]"
    for name, holder in outcome.holders.items():
        memory = f"{holder.memory_mib:.0f} MiB (PSS)"
        yield f"memory {name}", f"{memory} in {holder.processes} processes"
    yield "idle", f"{outcome.idle_cores:.1%} of one core, all processes together"
    yield "in all", f"{outcome.seconds:.0f} s with {outcome.key_bits}-bit keys"


def _short(text: str) -> str:
    """Return a text with the beginnings of its hashes only."""
    return re.sub(r"\b([0-9a-f]{16})[0-9a-f]{16,}\b", r"\1…", text)
