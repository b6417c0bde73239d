"""benchmarks/compare.py: curves of runs as SVG, and errors."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "compare.py"
SVG = "{http://www.w3.org/2000/svg}"


def run(*flags):
    return subprocess.run([sys.executable, PROGRAM, *map(str, flags)], capture_output=True, text=True, timeout=120)


@pytest.fixture
def runs(tmp_path):
    folders = []
    for name, slope in (("a", 0.1), ("b", 0.2)):
        folder = tmp_path / name
        folder.mkdir()
        train = [{"images_seen": 1000 * i, "kind": "train", "augment/sign": slope * i} for i in (1, 2, 3, 4)]
        epoch = [{"images_seen": 2000 * i, "kind": "epoch", "metric": "swd2k", "score": 90 / i} for i in (1, 2)]
        (folder / "stats.jsonl").write_text("".join(json.dumps(record) + "\n" for record in train + epoch))
        folders.append(folder)
    return folders


def test_each_value_has_a_chart_with_a_line_for_each_run(runs, tmp_path):
    out = tmp_path / "curves.svg"
    flags = ["--values", "augment/sign", "score", "--names", "one & all", "two", "--smooth", 2, "--out", out, "--json"]
    done = run("--runs", *runs, *flags)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ends"] == [
        {"run": "one & all", "augment/sign": pytest.approx(0.35), "score": 45.0},
        {"run": "two", "augment/sign": pytest.approx(0.7), "score": 45.0},
    ]
    root = ElementTree.parse(out).getroot()
    charts = root.findall(f"{SVG}svg")
    assert [len(chart.findall(f"{SVG}polyline")) for chart in charts] == [2, 2]
    assert len(charts[0].findall(f"{SVG}polyline")[0].get("points").split()) == 2  # two records a point
    texts = {text.text for text in root.findall(f"{SVG}text")}
    assert {"one & all", "two", "swd2k"} < texts


@pytest.mark.parametrize("flags", [("--values", "loss/g"), ("--names", "one"), ("--smooth", "0"), ("--runs", "none")])
def test_wrong_options_are_one_line(runs, tmp_path, flags):
    done = run("--runs", *runs, "--out", tmp_path / "a.svg", *flags)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and flags[0] in done.stderr
    assert not (tmp_path / "a.svg").exists()
