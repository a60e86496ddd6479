"""Small tables and pictures for the pages that show a model's quality.

Returns HTML and SVG as text. Every text is escaped. Nothing carries a style
attribute, a script or a link, so the pages can forbid all three (strict CSP);
classes name the parts for the style sheet, and each picture says in words what it
shows. The caller decides who may see the figures.
"""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_WIDTH, _HEIGHT, _MARGIN = 360, 240, 36
_LABEL_WIDTH, _ROW = 120, 20
_CURVE_POINTS = 200


def html_table(
    caption: str, header: Sequence[str], rows: Iterable[Sequence[object]]
) -> str:
    """Return a table; floats are shown with four digits after the point."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def svg_bars(
    title: str, description: str, labels: Sequence[str], values: Sequence[float]
) -> str:
    """Return horizontal bars, negative values to the left of the zero line."""
    low, high = min([0.0, *values]), max([0.0, *values])
    unit = (_WIDTH - 2 * _LABEL_WIDTH) / ((high - low) or 1.0)
    zero = _LABEL_WIDTH - low * unit
    parts: list[str] = []
    for index, (label, value) in enumerate(zip(labels, values, strict=True)):
        top, kind = index * _ROW, "negative" if value < 0 else "positive"
        left = zero + min(0.0, value) * unit
        parts.append(
            f'<text class="label" x="{_LABEL_WIDTH - 4}" y="{top + 14}" '
            f'text-anchor="end">{escape(label)}</text>'
            f'<rect class="bar {kind}" x="{left:.1f}" y="{top + 3}" '
            f'width="{abs(value) * unit:.1f}" height="{_ROW - 6}"/>'
            f'<text class="value" x="{_WIDTH - _LABEL_WIDTH + 4}" y="{top + 14}">'
            f"{_cell(value)}</text>"
        )
    height = max(1, len(labels)) * _ROW
    parts.append(_line("axis", [(zero, 0), (zero, height)]))
    return _svg(title, description, height, parts)


def svg_roc(
    title: str,
    description: str,
    curves: Sequence[tuple[str, FloatArray, FloatArray]],
) -> str:
    """Return ROC curves given as (name, false rates, true rates)."""
    parts = [_frame("false positive rate", "true positive rate"), _diagonal()]
    for index, (name, false, true) in enumerate(curves):
        # A screen shows no more; the first and the last point stay.
        keep = np.unique(np.linspace(0, false.size - 1, _CURVE_POINTS).astype(int))
        points = zip(false[keep].tolist(), true[keep].tolist(), strict=True)
        parts.append(_line(f"curve curve-{index}", [_place(x, y) for x, y in points]))
        parts.append(
            f'<text class="legend curve-{index}" x="{_WIDTH - _MARGIN - 4}" '
            f'y="{_HEIGHT - _MARGIN - 8 - 14 * index}" text-anchor="end">'
            f"{escape(name)}</text>"
        )
    return _svg(title, description, _HEIGHT, parts)


def svg_calibration(
    title: str,
    description: str,
    predicted: FloatArray,
    observed: FloatArray,
) -> str:
    """Return observed against predicted bad rates of groups, on equal axes."""
    top = max(float(predicted.max()), float(observed.max())) or 1.0
    parts = [_frame("predicted bad rate", "observed bad rate"), _diagonal()]
    places = [
        _place(x / top, y / top)
        for x, y in zip(predicted.tolist(), observed.tolist(), strict=True)
    ]
    parts.append(_line("curve curve-0", places))
    parts += [
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places
    ]
    parts.append(
        f'<text class="tick" x="{_WIDTH - _MARGIN}" y="{_HEIGHT - _MARGIN + 14}" '
        f'text-anchor="end">{_cell(top)}</text>'
    )
    return _svg(title, description, _HEIGHT, parts)


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _place(x: float, y: float) -> tuple[float, float]:
    """Map the unit square into the frame."""
    return (
        _MARGIN + x * (_WIDTH - 2 * _MARGIN),
        _HEIGHT - _MARGIN - y * (_HEIGHT - 2 * _MARGIN),
    )


def _line(name: str, points: Iterable[tuple[float, float]]) -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline class="{name}" fill="none" stroke="currentColor" '
        f'points="{places}"/>'
    )


def _diagonal() -> str:
    return _line("diagonal", [_place(0, 0), _place(1, 1)])


def _frame(horizontal: str, vertical: str) -> str:
    return (
        f'<rect class="frame" x="{_MARGIN}" y="{_MARGIN}" fill="none" '
        f'stroke="currentColor" width="{_WIDTH - 2 * _MARGIN}" '
        f'height="{_HEIGHT - 2 * _MARGIN}"/>'
        f'<text class="axis-name" x="{_WIDTH // 2}" y="{_HEIGHT - 8}" '
        f'text-anchor="middle">{horizontal}</text>'
        f'<text class="axis-name" x="{_MARGIN}" y="{_MARGIN - 8}">{vertical}</text>'
    )


def _svg(title: str, description: str, height: int, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {_WIDTH} {height}">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
        f"{''.join(parts)}</svg>"
    )
