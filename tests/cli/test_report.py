"""`gan-tf report`: the page from the run folder, with an interpolation; mistakes in one line."""

import re
import shutil
from unittest.mock import Mock

import pytest
import tensorflow as tf

from tests.scored import fid, make_run


def test_page_needs_the_run_folder_only(run, tmp_path, done):
    moved, out = shutil.copytree(run.folder, tmp_path / "moved"), tmp_path / "new" / "page.html"
    assert f"{out}: " in done("report", moved, "--out", out).out
    page = out.read_text()
    assert "Between two images" in page and "Model card" in page
    assert not re.search(r"https?://|(src|href)=\"(?!data:)", page)
    assert not (moved / "report.html").exists()


def test_page_is_in_the_run_folder_by_default_and_needs_no_interpolation(tmp_path, done):
    scored, empty = make_run(tmp_path / "scored", [fid(50)]), make_run(tmp_path / "empty", [])
    done("report", scored.folder, "--no-walk")
    page = scored.report.read_text()
    assert "fid5k 50" in page and "Between two images" not in page
    assert "no interpolation" in done("report", empty.folder).err  # since it has no best weights
    assert "Model card" in empty.report.read_text()


def test_page_without_interpolation_if_memory_runs_out(run, tmp_path, done, monkeypatch):
    fail = Mock(side_effect=tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"))
    monkeypatch.setattr("gan_tf.sampling.interpolate.interpolated_images", fail)
    assert "out of memory" in done("report", run.folder, "--out", tmp_path / "a.html").err
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
