import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from veilscore.models import report
from veilscore.models.metrics import roc_curve

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '<script>alert("x")</script> & "quotes"'


def pictures(text: str) -> list[str]:
    half = np.array([0.0, 0.5, 1.0])
    return [
        report.svg_bars(text, text, [text, "b"], [0.2, -0.4]),
        report.svg_roc(text, text, [(text, half, half**0.5), ("other", half, half)]),
        report.svg_calibration(text, text, half / 5, half / 4),
    ]


@pytest.mark.parametrize("picture", pictures(EVIL))
def test_pictures_are_safe_and_described(picture: str) -> None:
    root = ET.fromstring(picture)  # noqa: S314 - text made here
    assert [child.tag for child in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert [child.text for child in root][:2] == [EVIL, EVIL]
    assert root.get("role") == "img"
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in {
            "svg", "title", "desc", "text", "rect", "polyline", "circle",
        }  # fmt: skip
        names = set(element.attrib)
        assert "style" not in names
        assert not any(name.startswith("on") or "href" in name for name in names)


@pytest.mark.parametrize("picture", pictures("plain"))
def test_everything_is_drawn_inside_the_picture(picture: str) -> None:
    root = ET.fromstring(picture)  # noqa: S314 - text made here
    width, height = map(float, root.get("viewBox", "").split()[2:])
    for line in root.iter(f"{SVG}polyline"):
        for point in line.get("points", "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height
    for box in root.iter(f"{SVG}rect"):
        x, w = float(box.get("x", "")), float(box.get("width", ""))
        assert 0 <= x <= x + w <= width


def test_bars_are_proportional_and_share_the_zero_line() -> None:
    root = ET.fromstring(  # noqa: S314 - text made here
        report.svg_bars("IV", "by feature", ["a", "b", "c"], [0.1, 0.2, -0.1])
    )
    bars = list(root.iter(f"{SVG}rect"))
    widths = [float(bar.get("width", "")) for bar in bars]
    assert widths == pytest.approx([widths[0], 2 * widths[0], widths[0]], abs=0.1)
    lefts = [float(bar.get("x", "")) for bar in bars]
    assert lefts[0] == lefts[1] == pytest.approx(lefts[2] + widths[2], abs=0.1)


def test_bars_without_values_are_an_empty_picture() -> None:
    root = ET.fromstring(report.svg_bars("t", "d", [], []))  # noqa: S314 - text made here
    assert not list(root.iter(f"{SVG}rect"))


def test_a_long_curve_is_thinned_but_keeps_its_ends() -> None:
    random = np.random.default_rng(2)
    risk = random.random(100_000)
    false, true = roc_curve(random.random(risk.size) < risk, risk)
    picture = report.svg_roc("ROC", "of the test rows", [("card", false, true)])
    found = re.search(r'class="curve curve-0"[^>]*points="([^"]*)"', picture)
    assert found
    points = found[1].split()
    assert (points[0], points[-1]) == ("36.0,204.0", "324.0,36.0")
    assert len(points) <= 200
    assert len(picture) < 10_000


def test_table_escapes_and_formats() -> None:
    table = report.html_table(EVIL, ["a<b", "n"], [[EVIL, 0.25], ["x", 3]])
    root = ET.fromstring(table)  # noqa: S314 - text made here
    assert [cell.text for cell in root.iter("th")] == ["a<b", "n"]
    assert [cell.text for cell in root.iter("td")] == [EVIL, "0.2500", "x", "3"]
    assert root.findtext("caption") == EVIL
    assert "style" not in table
