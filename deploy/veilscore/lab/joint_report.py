"""Show what a horizontal run came to: for all members, and for each one."""

from collections.abc import Iterator

from veilscore.lab.bars import POOLED_BAR, ROUNDING_BAR
from veilscore.lab.joint_outcome import JointOutcome, JointRunOutcome, MemberOutcome

Rows = Iterator[tuple[str, str]]


def rows_of(run: JointRunOutcome) -> Rows:
    """Yield the rows of a horizontal run in a lab's table."""
    yield f"run {run.name}", f"{run.seconds:.1f} s: {', '.join(_steps(run))}"
    work = ", ".join(f"{name} {seconds} s" for name, seconds in run.expected.items())
    yield "  expected", f"{work} of work, said before"
    yield from _together(run.joint, bound=run.ranks_as_pooled)
    for name, member in run.members.items():
        yield from _member(name, member)


def _steps(run: JointRunOutcome) -> Iterator[str]:
    """Yield how long each step took, all rounds together."""
    for name, took in run.steps.items():
        if not name.startswith("round-"):
            yield f"{name} {took:.1f}"
        elif name == "round-1":
            yield f"{run.rounds} rounds of {run.round_seconds:.2f}"


def _together(joint: JointOutcome, *, bound: bool) -> Rows:
    yield (
        "  judged on",
        f"{joint.rows:,} held-out rows of all, {joint.bad:,} of them bad",
    )
    bar = f", bar {POOLED_BAR}" if bound else ""
    models = f"{joint.pooled_auc:.5f} pooled, [bold]{joint.auc:.5f}[/] here"
    yield "  AUC", f"{models} ({joint.auc_apart:+.5f}{bar})"
    tables = f"{joint.tables_apart:.1e} between members, in log odds"
    yield "  tables apart", f"{tables} (fitted at home: {joint.own})"
    judged = f"AUC {joint.judged_card_auc_apart:+.5f} on the held-out rows"
    labelled = f"{joint.card_auc_apart:+.5f} on all labelled ones"
    bar = f"bar ±{ROUNDING_BAR}" if joint.has_enough_rows else "too few for a bar"
    yield "  rounding", f"{judged}, {labelled} ({bar})"


def _member(name: str, member: MemberOutcome) -> Rows:
    learned = f"learned from {member.learned:,} rows ({member.learned_bad:,} bad)"
    yield f"  {name}", f"{learned}, judged on {member.rows:,} ({member.bad:,} bad)"
    for what, alone, pooled, here in zip(
        ("AUC", "KS", "Brier"),
        *(
            (each.auc, each.ks, each.brier)
            for each in (member.alone, member.pooled, member.here)
        ),
        strict=True,
    ):
        models = f"{alone:.4f} alone, {pooled:.4f} pooled, [bold]{here:.4f}[/] here"
        gain = f" ({_gain(member)})" if what == "AUC" else ""
        yield f"    {what}", f"{models}{gain}"


def _gain(member: MemberOutcome) -> str:
    """Say what being in the run is worth, and whether chance would give as much."""
    if member.gain_error is None:
        return f"{member.gain:+.4f}, too few rows to tell"
    figure = f"{member.gain:+.4f} ± {member.gain_error:.4f}"
    if not member.differs:
        return f"{figure}: no difference"
    return f"{figure}: a {'gain' if member.gain > 0 else 'loss'}"
