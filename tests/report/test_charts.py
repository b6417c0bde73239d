"""Geometry of the charts in the report."""

import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from gan_tf.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axis_ticks, line_chart


def shapes(*lines, **options):
    root = ElementTree.fromstring(line_chart(lines, title="t", text=lambda value: f"{value:.4g}", **options))
    return {kind: [element.attrib for element in root.iter(kind)] for kind in ("polyline", "circle", "path", "text")}


def points(polyline):
    return [tuple(map(float, pair.split(","))) for pair in polyline["points"].split()]


def test_line_has_its_values():
    chart = shapes([(0, 0.0), (5, 50.0), (10, 100.0)])
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    assert points(chart["polyline"][0]) == [(left, bottom), ((left + right) / 2, (top + bottom) / 2), (right, top)]
    assert len(chart["circle"]) == 3


def test_line_is_interrupted_at_nan_with_a_cross():
    chart = shapes(list(enumerate([3.0, 4.0, math.nan, 5.0, 6.0, math.inf, 7.0])))
    assert [len(points(line)) for line in chart["polyline"]] == [2, 2]
    assert sum(path["class"] == "lost" for path in chart["path"]) == 2
    assert len(chart["circle"]) == 6  # one for each finite value, and a second one for the last, which has no line


def test_one_point_and_none():
    chart = shapes([(1, 30.0)])
    assert chart["polyline"] == [] and float(chart["circle"][0]["cx"]) == WIDTH - RIGHT
    assert shapes([(0, 0.0)])["circle"]
    for lines in ([[(1, math.nan)]], []):
        assert "<svg" not in line_chart(lines, title="t", text=str)


@pytest.mark.parametrize(
    "values",
    [[41.0, 41.0], [1e-9, 3e-9], [1e99, -1e99], [5e-324, 0.0], [1e6, 1e6 + 1], [-3.0, -2.0], [0.0, 1e-300]],
    ids=str,
)
def test_everything_is_inside_the_drawing(values):
    line = list(enumerate(values, 1))
    for mark in [(*point, "best", below) for point in line for below in (True, False)]:
        chart = shapes(line, mark=mark, level=values[0])
        for circle in chart["circle"]:
            assert LEFT <= float(circle["cx"]) <= WIDTH - RIGHT and TOP <= float(circle["cy"]) <= HEIGHT - BOTTOM
        for text in chart["text"]:
            assert 0 <= float(text["x"]) <= WIDTH + 4 and 8 <= float(text["y"]) <= HEIGHT


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 25, 50, 75, 100]),
        (41, 180, [0, 50, 100, 150, 200]),
        (81, 152, [80, 100, 120, 140, 160]),
        (30, 30, [26, 28, 30, 32, 34]),
        (0, 0, [-1, -0.5, 0, 0.5, 1]),
        (-3, 3, [-4, -2, 0, 2, 4]),
    ],
)
def test_axis_ticks_are_round_and_include_both_ends(low, high, expected):
    np.testing.assert_allclose(axis_ticks(low, high), expected, atol=1e-12)
