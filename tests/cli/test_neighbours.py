"""`gan-tf neighbours`: copies are reported, and wrong options are errors."""

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401  split into two devices before anything else uses it

from gan_tf.cli.main import run_command
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import open_source
from gan_tf.io import image_files
from gan_tf.runs.weights import load_generator
from gan_tf.sampling.generate import images_of_seeds
from tests.metrics import stubs
from tests.training import tiny

COPIED = [3, 1]  # seeds whose images are training images number 12 and 13


@pytest.fixture(scope="module", autouse=True)
def tiny_networks():
    with tiny.in_place():
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with 14 training images; its generator makes the last two."""
    folder = tmp_path_factory.mktemp("runs")
    run = tiny.trained(tiny.images_file(folder), folder)
    [(_, made)] = images_of_seeds(load_generator(run).folded(), COPIED, 2)
    assert made.std(axis=(1, 2, 3)).min() > 1
    np.savez(folder / "set.npz", images=np.concatenate([tiny.square_images(), made]))
    config = dataclasses.replace(run.read_settings()[0], dataset=str(folder / "set.npz"))
    images = prepare(open_source(config.dataset), resolution=64)
    run.write_settings(config, {"fingerprint": images.fingerprint, "images": len(images), "class_names": []})
    return run


def neighbours(run, *arguments):
    return run_command("neighbours", [str(run.folder), *map(str, arguments)])


def test_copies_are_reported(run, tmp_path, capsys):
    out = tmp_path / "new" / "a.png"
    assert neighbours(run, "--seeds", "3,1", "--nearest", 2, "--out", out) == 0
    printed, logged = capsys.readouterr()
    first, second, last = printed.splitlines()
    assert first == "seed 3, pixels: nearest is training image 12, distance 0, ratio 0.00, counts as a copy"
    assert second.startswith("seed 1, pixels: nearest is training image 13, distance 0, ratio 0.00")
    assert last == f"{out}: 2 of 2 images count as copies (a ratio below 0.45)"
    assert "best weights, 0.1 kimg" in logged
    shown = image_files.read_png(out)
    assert shown.shape[1] > 3 * 128 and ((shown == (220, 40, 40)).all(axis=2)).any()


def test_dataset_names_a_set_that_has_moved(run, tmp_path, capsys):
    settings, _ = run.read_settings()
    moved = tmp_path / "moved.npz"
    shutil.copy(settings.dataset, moved)
    assert neighbours(run, "--seeds", 3, "--out", tmp_path / "a.png", "--dataset", moved) == 0
    out, err = capsys.readouterr()
    assert "image 12, distance 0" in out and "comparing with them anyway" not in err
    other = tmp_path / "other.npz"
    np.savez(other, images=tiny.square_images())
    assert neighbours(run, "--seeds", 3, "--out", tmp_path / "a.png", "--dataset", other) == 0
    out, err = capsys.readouterr()
    assert f"the images in {other} are not those" in err
    assert "0 of 1 images count as copies" in out


def test_features_are_compared_as_well(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gan_tf.metrics.features.Networks", lambda **options: stubs.networks())
    assert neighbours(run, "--seeds", 3, "--space", "both", "--out", tmp_path / "a.png") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("seed 3, pixels: nearest is training image 12, distance 0,")
    assert lines[1].startswith("seed 3, inception: nearest is training image 12,") and "ratio 0.00" in lines[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--seeds", "5-2"], "--seeds"),
        (["--seeds", "0-100"], "--seeds has 101"),
        (["--nearest", "0"], "--nearest is 0"),
        (["--nearest", "15"], "--nearest is 15"),
        (["--seeds", "0-99"], "--nearest 5 for 100 --seeds"),
        (["--out", "file/a.png"], "--out file/a.png"),
        (["--out", "a.jpg"], "--out is a.jpg"),
        (["--which", "worst"], "--which"),
        (["--dataset", "missing"], "--dataset missing"),
        (["--space", "lpips"], "lpips"),
    ],
)
def test_wrong_options_are_named_before_images_are_generated(run, tmp_path, monkeypatch, capsys, arguments, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("gan_tf.sampling.generate.images_of_seeds", lambda *given: pytest.fail("generated"))
    assert neighbours(run, *arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert expected in error and error.startswith("gan-tf: error")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_changed_training_images_are_an_error(run, tmp_path, capsys):
    config, data = run.read_settings()
    run.write_settings(config, {**data, "fingerprint": "0" * 64})
    try:
        assert neighbours(run, "--out", tmp_path / "a.png") == 2
        assert "--dataset: the images in" in capsys.readouterr().err
    finally:
        run.write_settings(config, data)


def test_missing_weights_of_inception_are_an_error(run, tmp_path, capsys):
    assert neighbours(run, "--space", "inception", "--offline", "--out", tmp_path / "a.png") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "inception" in error.lower() and "--offline" in error and "give --space pixels" in error
