"""The geometry of the report's charts."""

import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from gan_tf.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Mark, axis, line_chart


def shapes(svg):
    root = ElementTree.fromstring(svg)
    return {kind: [element.attrib for element in root.iter(kind)] for kind in ("polyline", "circle", "path", "text")}


def points(polyline):
    return [tuple(map(float, pair.split(","))) for pair in polyline["points"].split()]


def test_line_goes_through_its_values():
    chart = shapes(line_chart([[(0, 0.0), (5, 50.0), (10, 100.0)]], title="t", text=str))
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    assert points(chart["polyline"][0]) == [(left, bottom), ((left + right) / 2, (top + bottom) / 2), (right, top)]
    assert len(chart["circle"]) == 3


def test_line_breaks_at_nan_which_gets_a_cross():
    values = [3.0, 4.0, math.nan, 5.0, 6.0, math.inf, 7.0]
    chart = shapes(line_chart([list(enumerate(values))], title="t", text=str))
    assert [len(points(line)) for line in chart["polyline"]] == [2, 2]
    assert sum(path["class"] == "lost" for path in chart["path"]) == 2
    assert len(chart["circle"]) == 6  # one for each finite value, and the last one, which stands alone, once more


def test_one_point_and_none():
    chart = shapes(line_chart([[(1, 30.0)]], title="t", text=str))
    assert chart["polyline"] == [] and float(chart["circle"][0]["cx"]) == WIDTH - RIGHT
    assert shapes(line_chart([[(0, 0.0)]], title="t", text=str))["circle"]
    assert "No finite value" in line_chart([[(1, math.nan)]], title="t", text=str)
    assert "No finite value" in line_chart([], title="t", text=str)


def test_lines_have_their_own_colours_and_many_points_no_dots():
    chart = shapes(line_chart([[(x, x) for x in range(100)], [(x, 50) for x in range(200)]], title="t", text=str))
    assert [line["class"] for line in chart["polyline"]] == ["line s0", "line s1"] and chart["circle"] == []


def test_everything_stays_inside():
    for values in (
        [41.0, 41.0],
        [1e-9, 3e-9],
        [1e99, -1e99],
        [5e-324, 0.0],
        [1e6, 1e6 + 1],
        [-3.0, -2.0],
        [0.0, 1e-300],
    ):
        line = list(enumerate(values, 1))
        marks = [Mark(x, y, "best", below) for x, y in line for below in (True, False)]
        chart = shapes(line_chart([line], title="t", text=lambda value: f"{value:.4g}", marks=marks, level=values[0]))
        for circle in chart["circle"]:
            assert LEFT <= float(circle["cx"]) <= WIDTH - RIGHT and TOP <= float(circle["cy"]) <= HEIGHT - BOTTOM
        for text in chart["text"]:
            assert 0 <= float(text["x"]) <= WIDTH + 4 and 8 <= float(text["y"]) <= HEIGHT


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 100, [0, 25, 50, 75, 100]),
        (41, 180, [0, 50, 100, 150, 200]),
        (81, 152, [80, 100, 120, 140, 160]),
        (30, 30, [26, 28, 30, 32, 34]),
        (0, 0, [-1, -0.5, 0, 0.5, 1]),
        (-3, 3, [-4, -2, 0, 2, 4]),
    ],
)
def test_axis_is_round_and_holds_its_ends(low, high, wanted):
    np.testing.assert_allclose(axis(low, high), wanted, atol=1e-12)
