"""benchmarks/curves.py: curves of runs as SVG, and errors."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from tests.programs import ROOT

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def compare(tmp_path):
    """Returns a function that compares two runs."""
    for name, slope in (("a", 0.1), ("b", 0.2)):
        (tmp_path / name).mkdir()
        train = [{"images_seen": 1000 * i, "kind": "train", "augment/sign": slope * i} for i in (1, 2, 3, 4)]
        epoch = [{"images_seen": 2000 * i, "kind": "epoch", "metric": "swd2k", "score": 90 / i} for i in (1, 2)]
        (tmp_path / name / "stats.jsonl").write_text("".join(json.dumps(record) + "\n" for record in train + epoch))
    command = [sys.executable, ROOT / "benchmarks" / "curves.py", "--runs", "a", "b", "--out", "curves.svg", "--json"]
    return lambda *flags: subprocess.run([*command, *flags], capture_output=True, text=True, cwd=tmp_path, timeout=120)


def test_each_value_has_a_chart_with_a_line_for_each_run(compare, tmp_path):
    done = compare("--values", "augment/sign", "score", "--names", "one & all", "two", "--smooth", "2")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ends"] == [
        {"run": "one & all", "augment/sign": pytest.approx(0.35), "score": 45.0},
        {"run": "two", "augment/sign": pytest.approx(0.7), "score": 45.0},
    ]
    root = ElementTree.parse(tmp_path / "curves.svg").getroot()
    charts = root.findall(f"{SVG}svg")
    assert [len(chart.findall(f"{SVG}polyline")) for chart in charts] == [2, 2]
    assert len(charts[0].findall(f"{SVG}polyline")[0].get("points").split()) == 2  # two records a point
    texts = {text.text for text in root.findall(f"{SVG}text")}
    assert {"one & all", "two", "swd2k"} < texts


@pytest.mark.parametrize("flags", [("--values", "loss/g"), ("--names", "one"), ("--smooth", "0"), ("--runs", "none")])
def test_wrong_options_are_one_line(compare, tmp_path, flags):
    done = compare(*flags)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and flags[0] in done.stderr
    assert not (tmp_path / "curves.svg").exists()
