"""The report of runs with odd records and damaged files: a page about a run never ends it."""

import json
import math

import numpy as np
import pytest

from tests.report.pages import read
from tests.scored import fid, make_run


def test_damaged_files_are_named(tmp_path):
    run = make_run(tmp_path / "a", [fid(50), fid(60)])
    broken = [run.best, run.snapshots / "generator-000001000.npz", run.folder / "config.json"]
    for path in [*broken, run.folder / "environment.json"]:
        path.write_bytes(path.read_bytes()[:50])
    page = read(run)
    assert "Damaged files" in page.text
    for path in broken:
        assert str(path) in page.text
    assert "environment.json is damaged" in page.text
    assert "Newest score fid5k 60" in page.text and "--which 2000" in page.text


ODD = [
    3,
    None,
    [],
    {},
    {"kind": "epoch"},
    {"images_seen": "many", "kind": "epoch", "metric": "fid5k", "score": 1.0},
    {"images_seen": -1, "kind": "epoch", "metric": "fid5k", "score": 1.0},
    {"images_seen": True, "kind": "epoch", "metric": "fid5k", "score": 1.0},
    {"images_seen": 10**400, "kind": "epoch", "metric": "fid5k", "score": 1.0},
    {"images_seen": 10, "kind": "epoch"},
    {"images_seen": 10, "kind": "epoch", "metric": "swd2k"},
    {"images_seen": 10, "kind": "epoch", "metric": 7, "score": 3.0},
    {"images_seen": 20, "kind": "epoch", "metric": "swd2k", "score": 3.0},
    {"images_seen": 20, "kind": "epoch", "metric": "", "score": 3.0},
    {"images_seen": 30, "kind": "epoch", "metric": "swd2k", "score": "low"},
    {"images_seen": 40, "kind": "epoch", "metric": "swd2k", "score": math.nan, "copies": math.nan},
    {"images_seen": 50, "kind": "epoch", "metric": "swd2k", "score": math.inf, "copies": -math.inf},
    {"images_seen": 60, "kind": "epoch", "metric": "swd2k", "score": 10**400, "copies": 1e308},
    {"images_seen": 70, "kind": "epoch", "metric": "swd2k", "score": 1e308, "copies": 10**400},
    {"images_seen": 75, "kind": "epoch", "metric": "swd2k", "score": -1e308, "copies": 5e-324},
    {"images_seen": 80, "kind": "epoch", "metric": "swd2k", "score": 3, "copies": "1 %", "copy_parts": [1]},
    {
        "images_seen": 80,
        "kind": "epoch",
        "metric": "swd2k",
        "score": 3,
        "copies": 1,
        "copy_parts": {"share_among_reals": None},
    },
    {
        "images_seen": 80,
        "kind": "epoch",
        "metric": "swd2k",
        "score": 3,
        "copies": 1,
        "copy_parts": {"share_among_reals": math.nan},
    },
    {
        "images_seen": 80,
        "kind": "epoch",
        "metric": "swd2k",
        "score": 3,
        "copies": 1,
        "copy_protocol": {"threshold": "x"},
    },
    {"images_seen": 90, "kind": "epoch", "metric": "swd2k", "score": 3.0, "parts": "x", "protocol": 1},
    {"images_seen": 90, "kind": "epoch", "metric": "swd2k", "score": 3.0, "parts": {"standard_error": "x", "a": None}},
    {"images_seen": 90, "kind": "epoch", "metric": "swd2k", "score": 3.0, "protocol": {"fakes": "x", "reals": [1]}},
    {
        "images_seen": 90,
        "kind": "epoch",
        "metric": "swd2k",
        "score": 3.0,
        "protocol": {"reals_key": 3, "a": {"b": [None]}},
    },
    {"images_seen": 95, "kind": "final"},
    {"images_seen": 95, "kind": "final", "metric": "fid5k", "score": 3.0, "of": "x"},
    {"images_seen": 99, "kind": "change"},
    {"images_seen": 99, "kind": "change", "changes": 3},
    {"images_seen": 99, "kind": "rollback"},
    {"images_seen": 99, "kind": "rollback", "at": "x", "reason": 3, "lr_scale": "x"},
    {"images_seen": 99, "kind": "rollback", "at": 10**400, "lr_scale": 10**400},
    {"images_seen": 99},
    {"images_seen": 99, "kind": ["epoch"]},
]


@pytest.mark.parametrize("record", [*ODD, ODD], ids=str)
def test_odd_records_never_end_a_run(tmp_path, record):
    run = make_run(tmp_path / "a", [fid(50)])
    with open(run.stats, "a") as file:
        for one in record if record is ODD else [record]:
            file.write(json.dumps(one) + "\n")
    assert "Best score fid5k 50 copies 2 %" in read(run).text


@pytest.mark.parametrize(
    "meta",
    [
        3,
        {},
        {"images_seen": 1000},
        {"score": 3, "images_seen": 1000},
        {"score": {"name": "swd2k", "value": 1.0}, "images_seen": 1000},
        {"score": {"name": "swd2k", "value": None, "lower_is_better": True}, "images_seen": 1000},
        {"score": {"name": "swd2k", "value": 1.0, "lower_is_better": True}},
        {"score": {"name": "swd2k", "value": 1.0, "lower_is_better": True}, "images_seen": 1000, "final": 3},
        {"score": {"name": "swd2k", "value": 1.0, "lower_is_better": True, "new": 1}, "images_seen": 10**400},
    ],
    ids=str,
)
def test_odd_metas_never_end_a_run(tmp_path, meta):
    run = make_run(tmp_path / "a", [fid(50)])
    run.replace_best({"w": np.zeros(1)}, meta)
    sound = isinstance(meta, dict) and "final" in meta
    assert (f"{run.best} " in read(run).text) != sound
