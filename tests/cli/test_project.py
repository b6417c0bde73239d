"""`gan-tf project`: files written, and detection of training images."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import gan_tf
from gan_tf.cli.main import run_command
from gan_tf.cli.project import describe_copy
from gan_tf.config.settings import TrainConfig
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import open_source
from gan_tf.io import image_files
from gan_tf.models import FAMILIES
from tests.pretrained import made_weights
from tests.training import tiny

from ..sampling import trained

QUICK = ("--distance", "l2", "--steps", 4, "--samples", 8, "--restarts", 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run trained on 12 images and on number 12, which its own generator makes."""
    folder = tmp_path_factory.mktemp("runs")
    run = trained.make_run(folder / "run")
    generated = gan_tf.load(run.folder).sample([3])
    np.savez(folder / "set.npz", images=np.concatenate([tiny.square_images(), generated]))
    image_files.save_png(folder / "generated.png", generated[0])
    image_files.save_png(folder / "drawn.png", tiny.square_images()[5])
    image_files.save_png(folder / "new.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    config = TrainConfig(**{**vars(trained.CONFIG), "dataset": str(folder / "set.npz")})
    images = prepare(open_source(config.dataset), resolution=64)
    run.write_settings(config, {"fingerprint": images.fingerprint, "images": len(images), "class_names": []})
    return run


def project(run, image, *arguments):
    return run_command("project", [str(run.folder), str(run.folder.parent / image), *map(str, arguments)])


def test_the_files_of_a_projection(run, tmp_path, capsys):
    out = tmp_path / "new" / "found"
    assert project(run, "generated.png", *QUICK, "--out", out) == 0
    names = ["latent.npz", "projected.png", "search.webp", "side-by-side.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    target, image = (image_files.read_png(run.folder.parent / "generated.png"), image_files.read_png(out / names[1]))
    np.testing.assert_array_equal(image_files.read_png(out / names[3]), np.concatenate([target, image], axis=1))
    loaded = gan_tf.load(run.folder)
    with np.load(out / "latent.npz") as stored:
        noise = [stored[f"noise_{i}"] for i in range(len(loaded.generator.noise_shapes))]
        again = loaded.images_of([stored["latent"]], noise=noise)[0]
    assert np.abs(again.astype(int) - image).max() <= 1
    with Image.open(out / "search.webp") as search:
        assert search.n_frames >= 5 and search.size[0] == 512
    output, log = capsys.readouterr()
    error = np.sqrt(np.mean((target.astype(float) - image) ** 2))
    assert output.startswith(f"error {error:.1f} of 255 grey levels")
    assert "the best of 8 random latents had" in output and "length of the latent" in output
    assert "--distance l2" in log


@pytest.mark.parametrize(
    "image, message",
    [
        ("generated.png", "is the training image 12, or a copy of it (ratio 0.00"),
        ("drawn.png", "is the training image 5, or a copy of it (ratio 0.00"),
        ("new.png", "is not a training image"),
    ],
)
def test_training_images_are_detected(run, tmp_path, capsys, image, message):
    assert project(run, image, *QUICK, "--out", tmp_path) == 0
    assert message in capsys.readouterr().out


class RepeatingGenerator:
    """A generator that makes one image from all latents."""

    resolution, latent_size, noise_shapes = 64, 16, [(8, 8, 1)]

    def __init__(self, image):
        self.image = tf.constant(image / 127.5 - 1, tf.float32)

    def __call__(self, latents, labels=None, noise=None, training=False):
        return tf.repeat(self.image[None], latents.shape[0], axis=0)


def test_a_memorised_image_is_detected(run, tmp_path, capsys, monkeypatch):
    image = tiny.square_images()[5]
    family = dataclasses.replace(FAMILIES["fastgan"], fold=lambda g, policy: RepeatingGenerator(image))
    monkeypatch.setitem(FAMILIES, "fastgan", family)
    assert project(run, "drawn.png", *QUICK, "--out", tmp_path) == 0
    output = capsys.readouterr().out
    assert "is the training image 5" in output and "has memorised it: the best of 8 random latents" in output
    np.testing.assert_array_equal(image_files.read_png(tmp_path / "projected.png"), image)
    assert project(run, "new.png", *QUICK, "--out", tmp_path) == 0
    assert "is not a training image" in capsys.readouterr().out


@pytest.mark.parametrize(
    "ratios, message",
    [
        ([0.0, 0.3, 0.1], "has memorised it: the best of 1000 random latents has ratio 0.30"),
        ([0.0, 0.9, 0.1], "can make it, but rarely does: the result has ratio 0.10"),
        ([0.0, 0.9, 0.8], "has not memorised it"),
        ([0.5, 0.1, 0.1], "is not a training image: the nearest is a.png, at ratio 0.50"),
    ],
)
def test_descriptions_of_copies(ratios, message):
    assert message in describe_copy("a.png", ratios, 0.45, 1000)


def test_missing_training_images(run, tmp_path, capsys, monkeypatch):
    settings, data = run.read_settings()
    run.write_settings(TrainConfig(**{**vars(settings), "dataset": "/nowhere"}), data)
    try:
        assert project(run, "generated.png", *QUICK, "--out", tmp_path) == 0
        assert "/nowhere" in capsys.readouterr().err
        assert project(run, "generated.png", *QUICK, "--out", tmp_path, "--dataset", settings.dataset) == 0
        assert "is the training image 12" in capsys.readouterr().out
        monkeypatch.setattr("gan_tf.sampling.project.project", lambda *_, **__: pytest.fail("the search has begun"))
        assert project(run, "generated.png", *QUICK, "--out", tmp_path, "--dataset", "/elsewhere") == 2
        assert "--dataset /elsewhere" in capsys.readouterr().err
    finally:
        run.write_settings(settings, data)


def test_lpips_is_the_default_and_is_not_replaced_silently(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    assert project(run, "generated.png", *QUICK[2:], "--offline", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err.strip()
    assert "lpips" in error and "--distance l2" in error and "\n" not in error
    assert not (tmp_path / "out").exists()
    made_weights.put_weights(monkeypatch)
    assert project(run, "generated.png", "--steps", 1, *QUICK[4:], "--offline", "--out", tmp_path / "out") == 0
    output, log = capsys.readouterr()
    assert "LPIPS" in log and "(LPIPS and mean squares of pixels" in output
