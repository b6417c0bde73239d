"""`gan-tf neighbours`: copies are reported, and wrong options are errors."""

import shutil

import numpy as np
import pytest

from gan_tf.io import image_files
from gan_tf.runs.folder import Run
from tests.metrics import stubs
from tests.training import tiny


def test_copies_are_reported_by_pixels_and_features(copying, tmp_path, done, monkeypatch):
    out = tmp_path / "new" / "a.png"
    printed, logged = done("neighbours", copying.folder, "--seeds", "3,1", "--nearest", 2, "--out", out)
    first, second, last = printed.splitlines()
    assert first == "seed 3, pixels: nearest is training image 12, distance 0, ratio 0.00, counts as a copy"
    assert second.startswith("seed 1, pixels: nearest is training image 13, distance 0, ratio 0.00")
    assert last == f"{out}: 2 of 2 images count as copies (a ratio below 0.45)"
    assert "best weights, 0.5 kimg" in logged
    shown = image_files.read_png(out)
    assert shown.shape[1] > 3 * 128 and ((shown == (220, 40, 40)).all(axis=2)).any()
    monkeypatch.setattr("gan_tf.metrics.features.Networks", stubs.networks)
    printed = done("neighbours", copying.folder, "--seeds", 3, "--space", "both", "--out", out, "--overwrite").out
    first, second, _ = printed.splitlines()
    assert first.startswith("seed 3, pixels: nearest is training image 12, distance 0,")
    assert second.startswith("seed 3, inception: nearest is training image 12,") and "ratio 0.00" in second


def test_dataset_names_a_set_that_has_moved(copying, tmp_path, done):
    moved = shutil.copy(copying.read_settings()[0].dataset, tmp_path / "moved.npz")
    command = ("neighbours", copying.folder, "--seeds", 3, "--out", tmp_path / "a.png", "--overwrite", "--dataset")
    out, err = done(*command, moved)
    assert "image 12, distance 0" in out and "comparing with them anyway" not in err
    other = tmp_path / "other.npz"
    np.savez(other, images=tiny.square_images())
    out, err = done(*command, other)
    assert f"the images in {other} are not those" in err and "0 of 1 images count as copies" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--seeds", "0-100"], "--seeds has 101"),
        (["--nearest", "0"], "--nearest is 0"),
        (["--nearest", "15"], "--nearest is 15"),
        (["--seeds", "0-99"], "--nearest 5 for 100 --seeds"),
        (["--out", "file/a.png"], "--out file/a.png"),
        (["--out", "a.jpg"], "--out is a.jpg"),
        (["--dataset", "missing"], "--dataset missing"),
        (["--space", "lpips"], "lpips"),
    ],
)
def test_wrong_options_are_named_before_the_work(copying, tmp_path, monkeypatch, refused, arguments, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("gan_tf.sampling.generate.images_of_seeds", lambda *given: pytest.fail("generated"))
    assert expected in refused("neighbours", copying.folder, *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_changed_training_images_are_an_error(copying, tmp_path, refused):
    config, data = copying.read_settings()
    changed = Run(tmp_path / "run")
    shutil.copytree(copying.folder, changed.folder)
    changed.write_settings(config, {**data, "fingerprint": "0" * 64})
    assert "--dataset: the images in" in refused("neighbours", changed.folder, "--out", tmp_path / "a.png")


def test_missing_weights_of_inception_are_an_error(copying, tmp_path, refused):
    error = refused("neighbours", copying.folder, "--space", "inception", "--offline", "--out", tmp_path / "a.png")
    assert "inception" in error.lower() and "--offline" in error and "give --space pixels" in error
