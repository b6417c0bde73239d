"""`gan-tf generate` from a run folder to files, and every mistake in one line."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gan_tf.cli.main import run_command

from ..sampling.trained import make_run

COMMAND = [sys.executable, "-c", "import sys; from gan_tf.cli.main import main; sys.exit(main(sys.argv[1:]))"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run")


def generate(run, *arguments):
    return run_command("generate", [str(run.folder), *map(str, arguments)])


def read(path):
    return np.asarray(Image.open(path)).astype(int)


def test_a_png_for_each_seed_and_a_grid(run, tmp_path, capsys):
    out = tmp_path / "new" / "pictures"
    assert generate(run, "--seeds", "0-2,1000000", "--out", out, "--grid", "--batch-size", 3) == 0
    names = ["grid.png", "seed-000000.png", "seed-000001.png", "seed-000002.png", "seed-1000000.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    grid = read(out / "grid.png")
    assert grid.shape == (128, 128, 3)
    np.testing.assert_array_equal(grid[64:, 64:], read(out / "seed-1000000.png"))
    said = capsys.readouterr().out
    assert "best weights, 0.5 kimg" in said
    assert f"4 images: {out / 'seed-000000.png'} to seed-1000000.png" in said
    assert f"grid: {out / 'grid.png'}" in said


def test_the_same_seed_gives_the_same_image_again(run, tmp_path):
    generate(run, "--seeds", "4-6", "--out", tmp_path / "a", "--precision", "float32")
    generate(run, "--seeds", "6,5", "--out", tmp_path / "b", "--precision", "float32", "--batch-size", 1)
    for name in ("seed-000005.png", "seed-000006.png"):
        assert np.abs(read(tmp_path / "a" / name) - read(tmp_path / "b" / name)).max() <= 1


def test_best_and_last_differ(run, tmp_path, capsys):
    for which in ("best", "last"):
        generate(run, "--seeds", "0", "--out", tmp_path / which, "--which", which)
    assert np.abs(read(tmp_path / "best" / "seed-000000.png") - read(tmp_path / "last" / "seed-000000.png")).max() > 1
    assert "last weights, 2.0 kimg" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--seeds", "5-2"], "runs backwards"),
        (["--which", "worst"], "worst"),
        (["--batch-size", "0"], "--batch-size"),
        (["--precision", "float64"], "float64"),
        (["--sedes", "1"], "sedes"),
        (["--grid", "--seeds", "0-99999"], "--grid holds 65536 images"),
    ],
)
def test_a_wrong_option_is_named_in_one_line(run, tmp_path, capsys, arguments, words):
    assert generate(run, "--out", tmp_path / "none", *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and "\n" not in error
    assert not (tmp_path / "none").exists()


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert run_command("generate", [str(tmp_path / "missing")]) == 2
    assert "no run folder" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_made(run, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert generate(run, "--seeds", "0", "--out", tmp_path / "file") == 2
    assert "--out" in capsys.readouterr().err


def test_too_little_memory_is_one_line(run, tmp_path, capsys, monkeypatch):
    def fail(*arguments):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr("gan_tf.sampling.generate.images_of_seeds", fail)
    assert generate(run, "--seeds", "0", "--out", tmp_path) == 2
    assert "--batch-size" in capsys.readouterr().err


def test_help_does_not_load_tensorflow():
    code = "import sys\nfrom gan_tf.cli.generate import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_process_of_its_own_says_nothing_but_what_it_did(run, tmp_path):
    done = subprocess.run(
        [*COMMAND, "generate", str(run.folder), "--seeds", "0-1", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("TF_CPP")},
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2
