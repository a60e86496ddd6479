"""Show what a lab found out: one table, and the checks below it."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from veilscore.lab.outcome import (
    AUC_BAR,
    KS_BAR,
    PD_BAR,
    LabOutcome,
    Parity,
    RunOutcome,
    ScoreOutcome,
)


def show(outcome: LabOutcome, console: Console) -> None:
    """Print the table and a line a check."""
    table = Table(title=f"Lab {outcome.name}", show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for section in (
        _parties(outcome),
        *(_run(run) for run in outcome.runs),
        _scores(outcome.scores),
        _machine(outcome),
    ):
        for name, text in section:
            table.add_row(name, text)
        table.add_section()
    console.print(table)
    for what, holds in outcome.checks().items():
        console.print(f"[green]✓[/] {what}" if holds else f"[red]✗ {what}[/]")


def _parties(outcome: LabOutcome) -> Iterator[tuple[str, str]]:
    for name, holder in outcome.holders.items():
        rejected = f", {holder.rejected:,} rejected ids" if holder.rejected else ""
        yield name, f"{holder.entities:,} entities, {holder.columns} columns{rejected}"
    yield "all online after", f"{outcome.online_seconds:.1f} s"


def _run(run: RunOutcome) -> Iterator[tuple[str, str]]:
    quality = run.quality
    judged = "held-out" if quality.on_holdout else "training"
    steps = ", ".join(f"{name} {took:.1f}" for name, took in run.steps.items())
    yield f"run {run.name}", f"{run.seconds:.1f} s: {steps}"
    yield (
        f"  on {quality.rows:,} {judged} rows",
        f"AUC {quality.alone_auc:.4f} → [bold]{quality.auc:.4f}[/] "
        f"({quality.auc - quality.alone_auc:+.4f}), "
        f"KS {quality.alone_ks:.3f} → [bold]{quality.ks:.3f}[/] "
        "(label holder alone → all parties), "
        f"Brier {quality.brier:.4f}",
    )
    if run.parity is not None:
        yield from _parity(run.parity)
    elif run.parity_skipped:
        yield "  pooled data", f"[yellow]NOT COMPARED: {run.parity_skipped}[/]"


def _parity(parity: Parity) -> Iterator[tuple[str, str]]:
    yield (
        "  pooled data",
        f"on {parity.rows:,} rows AUC {parity.central_auc:.4f}, here "
        f"{parity.federated_auc:.4f} ({parity.auc_apart:+.5f}, bar {AUC_BAR}); "
        f"KS {parity.central_ks:.4f}, here {parity.federated_ks:.4f} "
        f"({parity.ks_apart:+.5f}, bar {KS_BAR}); "
        f"PD apart {parity.worst_pd:.1e} at worst (bar {PD_BAR}), "
        f"{parity.mean_pd:.1e} on average",
    )


def _scores(scores: ScoreOutcome) -> Iterator[tuple[str, str]]:
    example = scores.example
    rate = scores.answered / scores.seconds
    yield (
        "scores",
        f"{scores.answered:,} of {scores.asked:,} answered in {scores.queries} queries, "
        f"{scores.seconds:.1f} s ({rate:,.0f} a second); {scores.mismatches} mismatches "
        "with the plain sum of the cards",
    )
    terms = " ".join(f"{name} {points:+d}" for name, points in example.partials.items())
    yield (
        "one borrower",
        f"{terms} = {example.total}; decrypted {example.decrypted}; "
        f"probability of default {example.probability_of_default:.2%}",
    )


def _machine(outcome: LabOutcome) -> Iterator[tuple[str, str]]:
    log = outcome.log
    yield (
        "audit log",
        f"{log.entries:,} entries, {log.files:,} files, {log.export_bytes / 1e6:.1f} MB "
        "exported, verified offline",
    )
    for remark in log.remarks:
        yield "", f"[yellow]{remark}[/]"
    memory = ", ".join(
        f"{name} {holder.memory_mib:.0f} MiB ({holder.processes} processes)"
        for name, holder in outcome.holders.items()
    )
    yield "memory (PSS)", memory
    yield "idle", f"{outcome.idle_cores:.1%} of one core, all processes together"
    yield "in all", f"{outcome.seconds:.0f} s, {outcome.key_bits}-bit keys"
