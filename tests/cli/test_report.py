"""`gan-tf report`: the page anew from the run folder alone, with ways between images, and every mistake in one line."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import rng
from gan_tf.cli.main import run_command
from gan_tf.io import image_files
from gan_tf.models import FAMILIES
from gan_tf.runs.weights import load_generator
from gan_tf.sampling.interpolate import interpolation_strip
from tests.scored import fid, make_run

from ..sampling import trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained.make_run(tmp_path_factory.mktemp("runs") / "run")


def report(run, *arguments):
    return run_command("report", [str(run.folder), *map(str, arguments)])


def test_the_page_comes_from_the_folder_alone(run, tmp_path, capsys):
    moved = tmp_path / "moved"
    shutil.copytree(run.folder, moved)
    out = tmp_path / "new" / "page.html"
    assert run_command("report", [str(moved), "--out", str(out)]) == 0
    page = out.read_text()
    assert "Between two images" in page and "Model card" in page
    assert not re.search(r"https?://|(src|href)=\"(?!data:)", page)
    assert f"{out}: " in capsys.readouterr().out
    assert not (moved / "report.html").exists()


def test_it_is_written_into_the_run_by_default(tmp_path):
    run = make_run(tmp_path / "run", [fid(50)])
    assert report(run, "--no-walk") == 0
    assert "fid5k 50" in run.report.read_text() and "Between two images" not in run.report.read_text()


def test_a_run_without_best_weights_has_a_page_and_a_word_about_it(tmp_path, capsys):
    run = make_run(tmp_path / "run", [])
    assert report(run) == 0
    assert "no way between two images is shown" in capsys.readouterr().err
    assert "No score yet" in run.report.read_text()


def test_too_little_memory_for_the_walk_leaves_a_page_without_it(run, tmp_path, capsys, monkeypatch):
    def fail(*given, **options):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr("gan_tf.sampling.interpolate.interpolated_images", fail)
    assert report(run, "--out", tmp_path / "a.html") == 0
    assert "no way between two images is shown: out of memory" in capsys.readouterr().err
    page = (tmp_path / "a.html").read_text()
    assert "Model card" in page and "Between two images" not in page


def test_a_place_that_cannot_be_written_is_found_before_the_work(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gan_tf.cli.report.walk_of", lambda *given: pytest.fail("the work has begun"))
    assert report(run, "--out", tmp_path) == 2
    assert f"--out {tmp_path} cannot be written: it is a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--which", "worst"], "worst"), (["--which", "77"], "77"), (["--walks"], "walks")]
)
def test_a_wrong_option_is_named_in_one_line(run, tmp_path, capsys, arguments, words):
    assert report(run, "--out", tmp_path / "a.html", *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and "\n" not in error
    assert list(tmp_path.iterdir()) == []


def test_wrong_places_are_named_in_one_line(run, tmp_path, capsys):
    assert run_command("report", [str(tmp_path / "missing")]) == 2
    assert "is no run folder" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert report(run, "--no-walk", "--out", tmp_path / "file" / "a.html") == 2
    assert "--out" in capsys.readouterr().err


def test_help_does_not_load_tensorflow():
    code = "import sys\nfrom gan_tf.cli.report import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_row_of_the_strip_leads_from_seed_to_seed(run):
    g = FAMILIES["fastgan"].fold(load_generator(run).generator, "float32")
    shown = interpolation_strip(g, pairs=((5, 9),), columns=4)
    assert shown.shape[1] == 4 * 64
    images = shown[-64:].reshape(64, 4, 64, 3).swapaxes(0, 1)
    noise = rng.noise_of_seeds([5], g.noise_shapes)
    for place, seed in ((0, 5), (3, 9)):
        wanted = image_files.to_uint8(g(rng.latents_of_seeds([seed], g.latent_size), noise=noise))[0]
        assert np.abs(images[place].astype(int) - wanted).max() <= 1
    assert np.abs(images[1].astype(int) - images[0]).max() > 1
