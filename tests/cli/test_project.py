"""`gan-tf project`: files written, and detection of training images."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import gan_tf
from gan_tf.cli.project import ProjectOptions, describe_copy
from gan_tf.io import image_files
from gan_tf.models import FAMILIES
from gan_tf.runs.folder import Run
from tests.pretrained import made_weights
from tests.training import tiny

QUICK = ("--distance", "l2", "--steps", 4, "--samples", 8, "--restarts", 2)


@pytest.fixture(scope="module")
def images(copying, tmp_path_factory):
    """A folder with images to project: made by the generator, a training image, a new one."""
    folder = tmp_path_factory.mktemp("images")
    image_files.save_png(folder / "generated.png", gan_tf.load(copying.folder).sample([3])[0])
    image_files.save_png(folder / "drawn.png", tiny.square_images()[5])
    image_files.save_png(folder / "new.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    return folder


def test_the_files_of_a_projection(copying, images, tmp_path, done):
    out = tmp_path / "new" / "found"
    output, log = done("project", copying.folder, images / "generated.png", *QUICK, "--out", out)
    names = ["latent.npz", "projected.png", "search.webp", "side-by-side.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    target, image = (image_files.read_png(images / "generated.png"), image_files.read_png(out / names[1]))
    np.testing.assert_array_equal(image_files.read_png(out / names[3]), np.concatenate([target, image], axis=1))
    loaded = gan_tf.load(copying.folder)
    with np.load(out / "latent.npz") as stored:
        noise = [stored[f"noise_{i}"] for i in range(len(loaded.generator.noise_shapes))]
        again = loaded.images_of([stored["latent"]], noise=noise)[0]
    assert np.abs(again.astype(int) - image).max() <= 1
    with Image.open(out / "search.webp") as search:
        assert search.n_frames >= 5 and search.size[0] == 512
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
def test_training_images_are_detected(copying, images, tmp_path, done, image, message):
    assert message in done("project", copying.folder, images / image, *QUICK, "--out", tmp_path).out


class RepeatingGenerator:
    """A generator that makes one image from all latents."""

    resolution, latent_size, noise_shapes, image_shape = 64, 16, [(8, 8, 1)], (64, 64, 3)

    def __init__(self, image):
        self.image = tf.constant(image / 127.5 - 1, tf.float32)

    def __call__(self, latents, labels=None, noise=None, training=False):
        return tf.repeat(self.image[None], latents.shape[0], axis=0)


def test_a_memorised_image_is_detected(copying, images, tmp_path, done, monkeypatch):
    image = tiny.square_images()[5]
    family = dataclasses.replace(FAMILIES["fastgan"], fold=lambda g, policy: RepeatingGenerator(image))
    monkeypatch.setitem(FAMILIES, "fastgan", family)
    output = done("project", copying.folder, images / "drawn.png", *QUICK, "--out", tmp_path).out
    assert "is the training image 5" in output and "has memorised it: the best of 8 random latents" in output
    np.testing.assert_array_equal(image_files.read_png(tmp_path / "projected.png"), image)
    output = done("project", copying.folder, images / "new.png", *QUICK, "--out", tmp_path, "--overwrite").out
    assert "is not a training image" in output


def test_each_image_has_its_own_folder_by_default(images):
    names = {ProjectOptions(run="r", image=str(images / name)).out for name in ("new.png", "drawn.png")}
    assert names == {str(Path("projected", "new")), str(Path("projected", "drawn"))}


@pytest.mark.parametrize(
    "ratios, message",
    [
        ([0.0, 0.3, 0.1], "has memorised it: the best of 1000 random latents has ratio 0.30"),
        ([0.0, 0.9, 0.1], "can make it, but rarely does: the result has ratio 0.10"),
        ([0.0, 0.9, 0.8], "has not memorised it"),
    ],
)
def test_descriptions_of_copies(ratios, message):
    assert message in describe_copy("a.png", ratios, 0.45, 1000)


def test_missing_training_images(copying, images, tmp_path, done, refused, monkeypatch):
    run, (settings, data) = Run(shutil.copytree(copying.folder, tmp_path / "run")), copying.read_settings()
    run.write_settings(dataclasses.replace(settings, dataset="/nowhere"), data)
    command = ("project", run.folder, images / "generated.png", *QUICK, "--out", tmp_path / "out")
    assert "/nowhere" in done(*command).err
    assert "is the training image 12" in done(*command, "--overwrite", "--dataset", settings.dataset).out
    monkeypatch.setattr("gan_tf.sampling.project.project", lambda *_, **__: pytest.fail("the search has begun"))
    assert "--dataset /elsewhere" in refused(*command, "--overwrite", "--dataset", "/elsewhere")


def test_lpips_is_the_default_and_is_not_replaced_silently(copying, images, tmp_path, done, refused, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    arguments = ("--steps", 1, *QUICK[4:], "--offline", "--out", tmp_path / "out")
    command = ("project", copying.folder, images / "generated.png", *arguments)
    error = refused(*command)
    assert "lpips" in error and "--distance l2" in error and not (tmp_path / "out").exists()
    made_weights.put_weights(monkeypatch)
    output, log = done(*command)
    assert "LPIPS" in log and "(LPIPS and mean squares of pixels" in output
