"""`gan-tf generate`: from a run folder to files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.cli.generate import path_beside
from gan_tf.cli.main import run_command
from gan_tf.io.image_files import read_png
from gan_tf.sampling import image_writer
from tests.sampling.test_image_writer import content
from tests.sampling.trained import make_growing


def test_a_png_for_each_seed_and_a_grid(run, tmp_path, done):
    out = tmp_path / "new" / "images"
    printed = done("generate", run.folder, "--seeds", "0-2,1000000", "--out", out, "--grid", "--batch-size", 3).out
    names = ["seed-000000.png", "seed-000001.png", "seed-000002.png", "seed-1000000.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    grid = read_png(tmp_path / "new" / "images-grid.png")
    assert grid.shape == (128, 128, 3)
    np.testing.assert_array_equal(grid[64:, 64:], read_png(out / "seed-1000000.png"))
    assert "best weights, 0.5 kimg" in printed
    assert f"4 images: {out / 'seed-000000.png'} to seed-1000000.png" in printed
    assert f"grid: {tmp_path / 'new' / 'images-grid.png'}" in printed


def test_the_current_folder_gets_its_grid_next_to_it(tmp_path, monkeypatch):
    beside = tmp_path / "here-grid.png"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for out, grid in ((".", beside), ("a/..", beside), ("/", Path("/grid.png"))):
        assert path_beside(Path(out), "grid") == grid


def test_images_of_other_seeds_are_reported(run, tmp_path, done):
    (tmp_path / "seed-mine.part").write_text("mine")
    first, second = (done("generate", run.folder, "--seeds", seeds, "--out", tmp_path).out for seeds in ("3-4", "5-6"))
    assert "other seeds" not in first and "2 images of other seeds, such as seed-000003.png" in second
    assert (tmp_path / "seed-mine.part").exists()


def test_the_size_of_a_growing_generator_is_printed(tmp_path, done):
    run = make_growing(tmp_path / "run", 1.0)
    printed = done("generate", run.folder, "--seeds", 0, "--out", tmp_path / "out").out
    assert "pggan at 8x8 (growing to 16x16)" in printed


def test_os_errors_are_reported_only_for_the_output(run, tmp_path, refused, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("gan_tf.cli.generate.check_writable", Mock())
        patch.setattr("gan_tf.io.files.os.fsync", Mock(side_effect=OSError(28, "No space left on device")))
        assert f"--out {tmp_path / 'new'}" in refused("generate", run.folder, "--seeds", 0, "--out", tmp_path / "new")
    for filename in (None, "/elsewhere/file"):
        fail = Mock(side_effect=OSError(2, "No such file", filename))
        monkeypatch.setattr("gan_tf.sampling.generate.images_of_seeds", fail)
        with pytest.raises(OSError, match="No such file"):
            run_command("generate", [str(run.folder), "--seeds", "0", "--out", str(tmp_path / "other")])


def test_out_of_memory_advises_a_smaller_batch(run, tmp_path, refused, monkeypatch):
    fail = Mock(side_effect=tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"))
    monkeypatch.setattr("gan_tf.sampling.generate.images_of_seeds", fail)
    assert "--batch-size" in refused("generate", run.folder, "--seeds", 0, "--out", tmp_path)


@pytest.mark.parametrize("name", ["folder", "a.zip", "a.npz"])
def test_an_interrupted_command_ends_with_the_same_bytes(run, tmp_path, monkeypatch, done, refused, name):
    """In the folder only the last batch, which is padded, remains to be generated."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    flags = "--count 7 --batch-size 3 --truncation 0.9 --precision float32 --grid --out"
    arguments = [str(run.folder), *flags.split()]
    done("generate", *arguments, whole / name)
    to_uint8, batches = image_writer.image_files.to_uint8, []

    def interrupt(images):
        if len(batches) == 2:
            raise KeyboardInterrupt
        batches.append(images)
        return to_uint8(images)

    with monkeypatch.context() as patch:
        patch.setattr("gan_tf.io.image_files.to_uint8", interrupt)
        assert run_command("generate", [*arguments, str(stopped / name)]) == 42
    if name == "folder":
        other = (*arguments, stopped / name, "--which", "last")
        assert "weights" in refused("generate", *other)
        shutil.copytree(stopped, tmp_path / "other")
        elsewhere = (*arguments, tmp_path / "other" / name, "--which", "last", "--overwrite")
        assert "images exist" not in done("generate", *elsewhere).out
    printed = done("generate", *arguments, stopped / name).out
    assert ("6 of 7 images exist" in printed) == (name == "folder")
    for path in (name, f"{name}-grid.png"):
        assert content(stopped / path) == content(whole / path)


@pytest.mark.parametrize(
    ("command", "lines"), [("generate RUN --seeds 0-1 --out OUT", 0), ("inspect demo --resolution 64", 1)]
)
def test_process_prints_no_messages_of_tensorflow(command, lines, run, tmp_path):
    """`inspect` prints one line on stderr, before it draws the demo images."""
    command = command.replace("RUN", str(run.folder)).replace("OUT", str(tmp_path)).split()
    env = {name: value for name, value in os.environ.items() if not name.startswith("TF_CPP")}
    process = subprocess.run(
        [sys.executable, "-m", "gan_tf.cli.main", *command], capture_output=True, text=True, env=env
    )
    assert process.returncode == 0 and len(process.stderr.splitlines()) == lines, process.stderr
