"""`gan-tf runs`: rankings of comparable scores, with copies; runs without scores and damaged files."""

import dataclasses
import json
import math
import subprocess
import sys

import pytest

from tests.scored import fid, make_run, swd


@pytest.fixture
def json_of(done):
    """Function that returns the JSON of a command; NaN, which is not JSON, fails."""
    return lambda *arguments: json.loads(done("runs", *arguments, "--json").out, parse_constant=pytest.fail)


def rows(ranking):
    keys = ("run", "kind", "images_seen")
    return [(*(entry[key] for key in keys), entry["score"]["value"]) for entry in ranking["entries"]]


def test_comparable_runs_and_snapshots_are_ranked_together(tmp_path, json_of, done):
    make_run(tmp_path / "a", [fid(60), fid(50), fid(55)])
    make_run(tmp_path / "b", [fid(52, reals_source="elsewhere/panda")], final=fid(53, fakes_source="new images"))
    [ranking] = json_of(tmp_path)["rankings"]
    assert ranking["metric"] == "fid5k" and ranking["left_out"] == 0
    assert rows(ranking) == [
        ("a", "best", 2000, 50),
        ("b", "best", 1000, 52),
        ("b", "final", 1000, 53),
        ("a", "snapshot", 3000, 55),
        ("a", "snapshot", 1000, 60),
    ]
    assert [entry["which"] for entry in ranking["entries"]] == ["best", "best", "best", "3000", "1000"]
    assert [entry["copies"] for entry in ranking["entries"]] == [0.02, 0.02, 0.03, 0.02, 0.02]
    assert ranking["entries"][0]["path"] == str(tmp_path / "a")
    [ranking] = json_of(tmp_path / "a", "--limit", "2")["rankings"]  # a run instead of a folder of runs
    assert len(ranking["entries"]) == 2 and ranking["left_out"] == 1
    out = done("runs", tmp_path / "a", "--limit", "2").out
    assert "and 1 more" in out and "fid5k 60" not in out


def test_other_protocols_have_another_ranking(tmp_path, json_of):
    others = [{"network": "0" * 64}, {"resize": "clean"}, {"reals_key": "0" * 16}, {"reals": 99}, {"resolution": 128}]
    scores = [fid(10, **other) for other in ({}, *others, {"features": "bfloat16"})]
    scores += [swd(10), fid(10, "fid10k", fakes=10_000), fid(10, "fid5k-custom:1a2b3c4d")]
    for i, score in enumerate(scores):
        make_run(tmp_path / str(i), [score])
    rankings = json_of(tmp_path)["rankings"]
    assert sorted(entry["run"] for ranking in rankings for entry in ranking["entries"]) == list(map(str, range(10)))
    assert len(rankings) == len(scores) == 10


def test_order_follows_the_direction_and_nan_is_last_and_null_in_json(tmp_path, json_of, done):
    make_run(tmp_path / "low" / "a", [fid(math.nan)])
    make_run(tmp_path / "low" / "b", [fid(50), fid(math.nan)])
    [ranking] = json_of(tmp_path / "low")["rankings"]
    assert [entry["score"]["value"] for entry in ranking["entries"]] == [50, None, None]
    assert "fid5k n/a" in done("runs", tmp_path / "low").out
    for name, value in (("a", 0.2), ("b", 0.6)):
        make_run(tmp_path / "high" / name, [dataclasses.replace(fid(value), lower_is_better=False)])
    [ranking] = json_of(tmp_path / "high")["rankings"]
    assert [entry["run"] for entry in ranking["entries"]] == ["b", "a"]


def test_text_has_the_protocol_and_a_row_for_each_file(tmp_path, done):
    make_run(tmp_path / "a", [fid(60), fid(50), fid(55)], copies=[0.0, 0.25, None])
    out = done("runs", tmp_path).out
    protocol = " ".join(out.split("\n\n")[1].partition("   score")[0].split())
    for text in ("fid5k", "lower is better", "5,000 fakes", "100 reals of panda", "256x256", "resize pytorch"):
        assert text in protocol
    lines = [line.split() for line in out.splitlines() if "fid5k " in line and "Fréchet" not in line]
    assert lines == [
        ["1", "fid5k", "50", "25", "%", "2.0/3.0", "fastgan", "256", "panda", "best", str(tmp_path / "a")],
        ["2", "fid5k", "55", "?", "3.0/3.0", "fastgan", "256", "panda", "3000", str(tmp_path / "a")],
        ["3", "fid5k", "60", "0", "%", "1.0/3.0", "fastgan", "256", "panda", "1000", str(tmp_path / "a")],
    ]


def test_lines_have_at_most_100_columns(tmp_path, done, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "checkpoints/a_rather_long_name"
    make_run(name, [fid(61.23), fid(51.23)], dataset="/far/away/a_very_long_name_of_a_folder.zip", final=fid(52.25))
    lines = done("runs").out.splitlines()
    assert max(map(len, lines)) <= 100
    assert any("a_very_" in line and "…" in line and line.endswith(name) for line in lines)


def test_runs_without_scores_are_listed_with_the_reason(tmp_path, json_of, done):
    make_run(tmp_path / "a", [fid(60)])
    make_run(tmp_path / "new", [])
    make_run(tmp_path / "lost", [fid(60)])
    for path in (tmp_path / "lost").rglob("*.npz"):
        path.unlink()
    reasons = {entry["run"]: entry["why"] for entry in json_of(tmp_path)["without_score"]}
    assert reasons.keys() == {"new", "lost"} and "0.0 of 40.0 kimg" in reasons["new"] and "best/" in reasons["lost"]
    assert f"{tmp_path / 'new'}: {reasons['new']}" in done("runs", tmp_path).out


def test_damaged_files_are_listed_and_left_out(tmp_path, json_of, done):
    make_run(tmp_path / "a", [fid(60), fid(50)])
    make_run(tmp_path / "b", [fid(40), fid(45)])
    make_run(tmp_path / "c", [fid(30)])
    names = ("b/best/generator.npz", "b/snapshots/generator-000001000.npz", "c/config.json")
    damaged = [tmp_path / name for name in names]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:100])
    found = json_of(tmp_path)
    assert [rows(ranking) for ranking in found["rankings"]] == [
        [("b", "snapshot", 2000, 45), ("a", "best", 2000, 50), ("a", "snapshot", 1000, 60)]
    ]
    assert sorted(line.split()[0] for line in found["damaged"]) == sorted(map(str, damaged))
    assert all(line in done("runs", tmp_path).out for line in found["damaged"])


def test_scores_of_an_earlier_version_have_their_own_ranking(tmp_path, json_of, done):
    run = make_run(tmp_path / "old", [])
    score = {"name": "swd2k", "value": 2.5, "lower_is_better": True, "protocol": {"fakes": 2000, "reals": 100}}
    run.replace_best({}, {"score": score, "images_seen": 40})
    make_run(tmp_path / "new", [swd(3.0)])
    rankings = json_of(tmp_path)["rankings"]
    assert sorted(map(rows, rankings)) == [[("new", "best", 1000, 3.0)], [("old", "best", 40, 2.5)]]
    assert "2,000 fakes against 100 reals." in done("runs", tmp_path).out


def test_mistakes_are_named(tmp_path, refused):
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    for name in ("nowhere", "file", "empty"):
        assert f"FOLDER {tmp_path / name}" in refused("runs", tmp_path / name)
    for limit in ("0", "few"):
        assert "--limit" in refused("runs", "--limit", limit)


def test_tensorflow_and_pillow_are_not_imported(tmp_path):
    make_run(tmp_path / "a", [fid(60), fid(50)], final=fid(51))
    script = (
        "import sys; from gan_tf.cli.main import main; code = main(['runs', sys.argv[1]])\n"
        "sys.exit(code or ' '.join({'tensorflow', 'keras', 'scipy', 'PIL'} & set(sys.modules)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "fid5k 50" in result.stdout
