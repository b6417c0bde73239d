"""`gan-tf report`: the page from the run folder, with an interpolation; mistakes in one line."""

import re
import shutil
from unittest.mock import Mock

import pytest
import tensorflow as tf

from gan_tf.cli.main import run_command
from tests.scored import fid, make_run


def report(run, *arguments):
    return run_command("report", [str(run.folder), *map(str, arguments)])


def test_page_needs_the_run_folder_only(run, tmp_path, capsys):
    moved = tmp_path / "moved"
    shutil.copytree(run.folder, moved)
    out = tmp_path / "new" / "page.html"
    assert run_command("report", [str(moved), "--out", str(out)]) == 0
    page = out.read_text()
    assert "Between two images" in page and "Model card" in page
    assert not re.search(r"https?://|(src|href)=\"(?!data:)", page)
    assert f"{out}: " in capsys.readouterr().out
    assert not (moved / "report.html").exists()


def test_page_is_in_the_run_folder_by_default_and_needs_no_interpolation(tmp_path, capsys):
    scored, empty = make_run(tmp_path / "scored", [fid(50)]), make_run(tmp_path / "empty", [])
    assert report(scored, "--no-walk") == 0
    page = scored.report.read_text()
    assert "fid5k 50" in page and "Between two images" not in page
    assert report(empty) == 0
    assert "no interpolation" in capsys.readouterr().err  # since it has no best weights
    assert "Model card" in empty.report.read_text()


def test_page_without_interpolation_if_memory_runs_out(run, tmp_path, capsys, monkeypatch):
    fail = Mock(side_effect=tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"))
    monkeypatch.setattr("gan_tf.sampling.interpolate.interpolated_images", fail)
    assert report(run, "--out", tmp_path / "a.html") == 0
    assert "out of memory" in capsys.readouterr().err
    page = (tmp_path / "a.html").read_text()
    assert "Model card" in page and "Between two images" not in page


@pytest.mark.parametrize(
    "arguments",
    [["--which", "worst"], ["--which", "77"], ["--walks"], ["--out", "folder"], ["--no-walk", "--out", "file/a.html"]],
)
def test_mistakes_are_one_line(run, tmp_path, refused, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    flag = arguments[-2 if "--out" in arguments else 0]
    assert flag in refused("report", run.folder, "--out", "a.html", *arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert "config.json" in refused("report", "missing")
