"""`gan-tf runs`: rankings of what was measured alike, with copies; damaged files are named, mistakes take one line."""

import json
import math
import subprocess
import sys

import pytest

from gan_tf.cli.main import main
from tests.scored import fid, make_run, swd


def text_of(capsys, *arguments):
    assert main(["runs", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def json_of(capsys, *arguments):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text_of(capsys, *arguments, "--json"), parse_constant=refuse)


def places(ranking):
    return [
        (entry["run"], entry["kind"], entry["images_seen"], entry["score"]["value"]) for entry in ranking["entries"]
    ]


def test_runs_and_snapshots_of_one_protocol_are_ranked_together(tmp_path, capsys):
    make_run(tmp_path / "a", [fid(60), fid(50), fid(55)])
    make_run(tmp_path / "b", [fid(52, reals_source="elsewhere/panda")], final=fid(53, fakes_source="new images"))
    found = json_of(capsys, tmp_path)
    [ranking] = found["rankings"]
    assert ranking["metric"] == "fid5k" and ranking["left_out"] == 0
    assert places(ranking) == [
        ("a", "best", 2000, 50),
        ("b", "best", 1000, 52),
        ("b", "final", 1000, 53),
        ("a", "snapshot", 3000, 55),
        ("a", "snapshot", 1000, 60),
    ]
    assert [entry["which"] for entry in ranking["entries"]] == ["best", "best", "best", "3000", "1000"]
    assert [entry["copies"] for entry in ranking["entries"]] == [0.02, 0.02, 0.03, 0.02, 0.02]
    assert ranking["entries"][0]["path"] == str(tmp_path / "a")


@pytest.mark.parametrize(
    "other",
    [
        swd(10),
        fid(10, "fid10k", fakes=10_000),
        fid(10, "fid5k-custom:1a2b3c4d"),
        fid(10, network="0" * 64),
        fid(10, resize="clean"),
        fid(10, reals_key="0" * 16),
        fid(10, reals=99),
        fid(10, resolution=128),
        fid(10, features="bfloat16"),
    ],
)
def test_scores_of_other_protocols_are_never_in_one_ranking(tmp_path, capsys, other):
    make_run(tmp_path / "a", [fid(50)])
    make_run(tmp_path / "b", [other])
    rankings = json_of(capsys, tmp_path)["rankings"]
    assert sorted(entry["run"] for ranking in rankings for entry in ranking["entries"]) == ["a", "b"]
    assert len(rankings) == 2


def test_nan_is_last_and_null_in_json(tmp_path, capsys):
    make_run(tmp_path / "a", [fid(math.nan)])
    make_run(tmp_path / "b", [fid(50), fid(math.nan)])
    [ranking] = json_of(capsys, tmp_path)["rankings"]
    assert [entry["score"]["value"] for entry in ranking["entries"]] == [50, None, None]
    assert "fid5k nan" in text_of(capsys, tmp_path)


def test_higher_is_better_turns_the_ranking(tmp_path, capsys):
    better = [fid(value, "precision_recall") for value in (0.2, 0.6)]
    for name, score in zip("ab", better, strict=True):
        object.__setattr__(score, "lower_is_better", False)
        make_run(tmp_path / name, [score])
    [ranking] = json_of(capsys, tmp_path)["rankings"]
    assert [entry["run"] for entry in ranking["entries"]] == ["b", "a"]


def test_text_says_what_was_measured_and_where_the_weights_are(tmp_path, capsys):
    make_run(tmp_path / "a", [fid(60), fid(50), fid(55)], copies=[0.0, 0.25, None])
    out = text_of(capsys, tmp_path)
    sentence = out.split("\n\n")[1].partition("   score")[0].replace("\n", " ")
    for words in (
        "fid5k",
        "lower is better",
        "5,000 fakes",
        "100 reals of panda",
        "256x256",
        "resize pytorch",
        "6726825d",
    ):
        assert words in sentence
    lines = [line.split() for line in out.splitlines() if "fid5k " in line and "Fréchet" not in line]
    assert lines == [
        ["1", "fid5k", "50", "25", "%", "2.0/3.0", "fastgan", "256", "panda", "best", str(tmp_path / "a")],
        ["2", "fid5k", "55", "?", "3.0/3.0", "fastgan", "256", "panda", "3000", str(tmp_path / "a")],
        ["3", "fid5k", "60", "0", "%", "1.0/3.0", "fastgan", "256", "panda", "1000", str(tmp_path / "a")],
    ]


def test_a_line_has_at_most_100_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "checkpoints/a_rather_long_name"
    make_run(name, [fid(61.23), fid(51.23)], dataset="/far/away/a_very_long_name_of_a_folder.zip", final=fid(52.25))
    lines = text_of(capsys).splitlines()
    assert max(map(len, lines)) <= 100
    assert any("a_very_" in line and "…" in line and line.endswith(name) for line in lines)


def test_limit(tmp_path, capsys):
    make_run(tmp_path / "a", [fid(60), fid(50), fid(55)])
    [ranking] = json_of(capsys, tmp_path, "--limit", "2")["rankings"]
    assert len(ranking["entries"]) == 2 and ranking["left_out"] == 1
    out = text_of(capsys, tmp_path, "--limit", "2")
    assert "and 1 more" in out and "fid5k 60" not in out


def test_a_run_itself_may_be_given(tmp_path, capsys):
    make_run(tmp_path / "a", [fid(60)])
    assert text_of(capsys, tmp_path / "a") == text_of(capsys, f"{tmp_path / 'a'}/")
    assert places(json_of(capsys, tmp_path / "a")["rankings"][0]) == [("a", "best", 1000, 60)]


def test_runs_without_scores_are_listed_with_why(tmp_path, capsys):
    make_run(tmp_path / "a", [fid(60)])
    make_run(tmp_path / "new", [])
    make_run(tmp_path / "lost", [fid(60)])
    for path in (tmp_path / "lost").rglob("*.npz"):
        path.unlink()
    found = {entry["run"]: entry["why"] for entry in json_of(capsys, tmp_path)["without_score"]}
    assert found.keys() == {"new", "lost"}
    assert "no score yet (0.0 of 40.0 kimg seen)" in found["new"] and "hold no weights" in found["lost"]
    assert f"{tmp_path / 'new'}: no score yet" in text_of(capsys, tmp_path)


def test_damaged_files_are_named_and_left_out(tmp_path, capsys):
    make_run(tmp_path / "a", [fid(60), fid(50)])
    make_run(tmp_path / "b", [fid(40), fid(45)])
    make_run(tmp_path / "c", [fid(30)])
    best, snapshot, settings = (
        tmp_path / name for name in ("b/best/generator.npz", "b/snapshots/generator-000001000.npz", "c/config.json")
    )
    for path in (best, snapshot, settings):
        path.write_bytes(path.read_bytes()[:100])
    found = json_of(capsys, tmp_path)
    assert [places(ranking) for ranking in found["rankings"]] == [
        [("b", "snapshot", 2000, 45), ("a", "best", 2000, 50), ("a", "snapshot", 1000, 60)]
    ]
    assert len(found["damaged"]) == 3
    for path in (best, snapshot, settings):
        assert any(line.startswith(str(path)) for line in found["damaged"])
        assert str(path) in text_of(capsys, tmp_path)


def test_scores_of_an_older_version_stand_by_themselves(tmp_path, capsys):
    run = make_run(tmp_path / "old", [])
    score = {"name": "swd2k", "value": 2.5, "lower_is_better": True, "protocol": {"fakes": 2000, "reals": 100}}
    run.replace_best({}, {"score": score, "images_seen": 40})
    make_run(tmp_path / "new", [swd(3.0)])
    rankings = json_of(capsys, tmp_path)["rankings"]
    assert sorted(places(ranking) for ranking in rankings) == [
        [("new", "best", 1000, 3.0)],
        [("old", "best", 40, 2.5)],
    ]
    assert "2,000 fakes against 100 reals." in text_of(capsys, tmp_path)


def test_mistakes_end_in_one_line(tmp_path, capsys):
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    cases = [
        ([tmp_path / "nowhere"], "nowhere cannot be read (No such file or directory); give"),
        ([tmp_path / "file"], "file cannot be read (Not a directory); give"),
        ([tmp_path / "empty"], "empty holds no run; give"),
        ([tmp_path, "--limit", "0"], "--limit is 0; give an integer of at least 1"),
        ([tmp_path, "--limit", "few"], "few"),
    ]
    for arguments, message in cases:
        assert main(["runs", *map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("gan-tf: error: ") and message in error and error.count("\n") == 1, error


def test_tensorflow_is_not_imported(tmp_path):
    make_run(tmp_path / "a", [fid(60), fid(50)], final=fid(51))
    script = (
        "import sys; from gan_tf.cli.main import main; code = main(['runs', sys.argv[1]])\n"
        "sys.exit(code or ' '.join({'tensorflow', 'keras', 'scipy', 'PIL'} & set(sys.modules)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "fid5k 50" in result.stdout
