"""One set of figures, three times: a table to read, JSON, and RESULTS.md."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.bench.rows import Row

JSON = Path(__file__).with_name("results.json")
MARKDOWN = Path(__file__).with_name("RESULTS.md")

_HEAD = (
    "what",
    "by",
    "per",
    "CPU",
    "wall",
    "peak MiB",
    "bytes",
    "phe CPU",
    "phe bytes",
    "ratio",
)
_FILE_WIDTH = 140
_LONG = 100  # from here on no digit after the point
_FOOT = """\
*CPU* and *wall* are of one unit of the column *per*; *peak* is the memory of the whole
process; *bytes* go over the wire. *phe CPU* and *phe bytes* are what plain
python-paillier takes for the same, *ratio* how many times as long that is in CPU
seconds. The [README](README.md) says what the rows are and what each is compared with.
"""


def show(rows: Sequence[Row], skipped: Sequence[str]) -> None:
    """Print the table, and what is missing in it."""
    console = Console()
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    for bits in sorted({row.bits for row in rows}):
        table = Table("what", title=f"{bits} bits", box=SIMPLE_HEAD)
        for name in _HEAD[1:]:
            table.add_column(name, no_wrap=True)
        for row in rows:
            if row.bits == bits:
                table.add_row(*_cells(row))
        console.print(table)
    for reason in skipped:
        console.print(f"SKIPPED: {reason}", style="bold red", highlight=False)


def write_json(
    machine: dict[str, str], rows: Sequence[Row], skipped: Sequence[str]
) -> None:
    """Write everything that was measured."""
    figures = {
        "machine": machine,
        "rows": [row.as_json() for row in rows],
        "skipped": list(skipped),
    }
    JSON.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def write_markdown(
    machine: dict[str, str], rows: Sequence[Row], skipped: Sequence[str]
) -> None:
    """Write the page that is committed."""
    about = "; ".join(f"{name} {value}" for name, value in machine.items())
    parts = [
        "# Results\nWritten by `make bench`; do not edit.",
        about + ".",
        *(f"Left out: {reason}" for reason in skipped),
    ]
    for bits in sorted({row.bits for row in rows}):
        lines = [_line(_HEAD), _line(["---"] * 3 + ["--:"] * (len(_HEAD) - 3))]
        lines += [_line(_cells(row)) for row in rows if row.bits == bits]
        parts.append(f"## {bits} bits\n" + "\n".join(lines))
    MARKDOWN.write_text("\n\n".join([*parts, _FOOT]), encoding="utf-8")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(row: Row) -> list[str]:
    measured, cost, baseline = row.measured, row.measured.cost, row.baseline
    return [
        measured.what,
        measured.by,
        measured.per,
        _time(cost.cpu_s),
        _time(cost.wall_s),
        f"{cost.peak_mib:.0f}",
        _count(cost.wire_bytes),
        _time(baseline.cpu_s) if baseline else "",
        _count(baseline.wire_bytes) if baseline else "",
        f"x{_short(row.ratio)}" if row.ratio else "",
    ]


def _count(number: float) -> str:
    return f"{number:,.0f}" if number else ""


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= _LONG else f"{number:.3g}"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_short(seconds / size)} {unit}"
    return f"{_short(seconds * 1e6)} µs"
