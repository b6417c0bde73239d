"""`gan-tf neighbours`: a generator that copies is found out, and every mistake is one line."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401  split into two devices before anything else uses it

from gan_tf.cli.main import run_command
from gan_tf.config.settings import TrainConfig
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import open_source
from gan_tf.io import image_files
from gan_tf.models import FAMILIES
from gan_tf.runs.weights import load_generator
from gan_tf.sampling.generate import images_of_seeds
from tests.metrics import stand_in
from tests.training import tiny

from ..sampling import trained

COPIED = [3, 1]  # seeds whose images are training images number 12 and 13


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was trained on 12 pictures and on two that its own generator makes."""
    folder = tmp_path_factory.mktemp("runs")
    run = trained.make_run(folder / "run")
    g = load_generator(run).generator
    [(_, made)] = images_of_seeds(FAMILIES["fastgan"].fold(g, "float32"), COPIED, 2)
    assert made.std(axis=(1, 2, 3)).min() > 1
    np.savez(folder / "set.npz", images=np.concatenate([tiny.square_pictures(), made]))
    config = TrainConfig(**{**vars(trained.CONFIG), "dataset": str(folder / "set.npz")})
    images = prepare(open_source(config.dataset), resolution=64)
    run.write_settings(config, {"fingerprint": images.fingerprint, "images": len(images), "class_names": []})
    return run


def neighbours(run, *arguments):
    return run_command("neighbours", [str(run.folder), *map(str, arguments)])


def test_copied_images_are_found(run, tmp_path, capsys):
    out = tmp_path / "new" / "a.png"
    assert neighbours(run, "--seeds", "3,1", "--nearest", 2, "--out", out) == 0
    said, told = capsys.readouterr()
    first, second, last = said.splitlines()
    assert first == "seed 3, pixels: nearest is training image 12, distance 0, ratio 0.00, counts as a copy"
    assert second.startswith("seed 1, pixels: nearest is training image 13, distance 0, ratio 0.00")
    assert last == f"{out}: 2 of 2 images count as copies (a ratio below 0.45)"
    assert "best weights, 0.5 kimg" in told
    shown = image_files.read_png(out)
    assert shown.shape[1] > 3 * 128 and ((shown == (220, 40, 40)).all(axis=2)).any()


def test_a_moved_set_is_opened_where_it_is(run, tmp_path, capsys):
    settings, _ = run.read_settings()
    moved = tmp_path / "moved.npz"
    shutil.copy(settings.dataset, moved)
    assert neighbours(run, "--seeds", 3, "--out", tmp_path / "a.png", "--dataset", moved) == 0
    out, err = capsys.readouterr()
    assert "image 12, distance 0" in out and "as they are" not in err
    other = tmp_path / "other.npz"
    np.savez(other, images=tiny.square_pictures())
    assert neighbours(run, "--seeds", 3, "--out", tmp_path / "a.png", "--dataset", other) == 0
    out, err = capsys.readouterr()
    assert f"{other} are not those that the run was trained on: comparing with them as they are" in err
    assert "0 of 1 images count as copies" in out


def test_features_are_compared_too(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gan_tf.metrics.networks.Networks", lambda **options: stand_in.networks())
    assert neighbours(run, "--seeds", 3, "--space", "both", "--out", tmp_path / "a.png") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("seed 3, pixels: nearest is training image 12, distance 0,")
    assert lines[1].startswith("seed 3, inception: nearest is training image 12,") and "ratio 0.00" in lines[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "5-2"], "runs backwards"),
        (["--seeds", "0-100"], "--seeds names 101"),
        (["--nearest", "0"], "--nearest is 0"),
        (["--nearest", "15"], "--nearest is 15, but there are 14 training images"),
        (["--seeds", "0-99"], "--nearest 5 for 100 --seeds in 1 spaces: the image would have"),
        (["--out", "file/a.png"], "--out file/a.png cannot be written"),
        (["--out", "a.jpg"], "--out is a.jpg; give a name that ends in .png"),
        (["--which", "worst"], "worst"),
        (["--dataset", "missing"], "--dataset missing: no such file"),
        (["--space", "lpips"], "lpips"),
    ],
)
def test_a_wrong_option_is_named_in_one_line(run, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("gan_tf.sampling.generate.images_of_seeds", lambda *given: pytest.fail("the work has begun"))
    assert neighbours(run, *arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in error and error.startswith("gan-tf: error")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_changed_set_is_refused(run, tmp_path, capsys):
    config, data = run.read_settings()
    run.write_settings(config, {**data, "fingerprint": "0" * 64})
    try:
        assert neighbours(run, "--out", tmp_path / "a.png") == 2
        assert "are not those that the run was trained on; restore them, or give" in capsys.readouterr().err
    finally:
        run.write_settings(config, data)


def test_missing_weights_of_inception_are_one_line(run, tmp_path, capsys):
    assert neighbours(run, "--space", "inception", "--offline", "--out", tmp_path / "a.png") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "inception" in error.lower() and "--offline" in error and "give --space pixels" in error


def test_help_does_not_load_tensorflow():
    code = "import sys\nfrom gan_tf.cli.neighbours import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
