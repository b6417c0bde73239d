"""`gan_tf.load`, and the code blocks of docs/api.md."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import gan_tf
from gan_tf import rng
from gan_tf.cli.main import run_command
from gan_tf.errors import UsageError
from gan_tf.io.image_files import read_png
from gan_tf.sampling.api import Trained

from .trained import BEST_AT, CONFIG, SECOND, difference, make_growing, make_run, trained_fastgan

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "api.md").read_text(), re.M | re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "checkpoints" / "demo").folder


@pytest.fixture(scope="module")
def trained(folder):
    return gan_tf.load(folder)


def test_import_is_light():
    code = "import sys, gan_tf\nsys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_code_blocks_of_the_docs_run(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "checkpoints").symlink_to(folder.parent)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save("photo.png")
    quick = ["--distance", "l2", "--steps", "2", "--samples", "4"]
    assert run_command("project", ["checkpoints/demo", "photo.png", *quick]) == 0
    names = {}
    for block in BLOCKS:
        exec(compile(block, "docs/api.md", "exec"), names)
    assert len(BLOCKS) > 8
    files = {"checkpoints", "photo.png", "projected", "panda-3.png", "walk.webp"}
    assert {path.name for path in tmp_path.iterdir()} == files
    assert "no-such-run" in capsys.readouterr().out


def test_sample_makes_the_images_of_generate(folder, trained, tmp_path):
    run_command("generate", [str(folder), "--seeds", "3,9", "--out", str(tmp_path), "--precision", "float32"])
    images = trained.sample([3, 9])
    assert images.shape == (2, 64, 64, 3) and images.dtype == np.uint8
    for seed, image in zip((3, 9), images, strict=True):
        assert difference(image, read_png(tmp_path / f"seed-{seed:06d}.png")) <= 1
    assert difference(images[0], images[1]) > 1
    for seeds in (range(3, 10, 6), np.array([3, 9])):
        assert difference(trained.sample(seeds), images) <= 1
    assert difference(trained.sample(9), images[1:]) <= 1


def test_which_and_precision(folder):
    assert gan_tf.load(folder).images_seen == BEST_AT
    assert gan_tf.load(folder, which="last").images_seen == SECOND
    with pytest.raises(UsageError, match="12"):
        gan_tf.load(folder, which=12)
    with pytest.raises(UsageError, match="float64"):
        gan_tf.load(folder, precision="float64")


def test_truncation_scales_the_latents(trained):
    z = trained.latents([4, 5])
    np.testing.assert_array_equal(trained.latents([4, 5], truncation=0.5), z * np.float32(0.5))
    truncated = trained.images_of(0.5 * z, noise_seeds=[4, 5])
    assert difference(trained.sample([4, 5], truncation=0.5), truncated) <= 1
    assert difference(trained.sample([4, 5]), truncated) > 1
    assert difference(trained.sample([4, 5]), trained.images_of(z, noise_seeds=[4, 5])) <= 1


def test_noise_maps_can_be_passed():
    trained = Trained(trained_fastgan().folded(), CONFIG, 0)  # with visible noise
    z, seeds = trained.latents([4, 5]), tf.constant([4, 5], tf.int64)
    maps = [np.asarray(one) for one in rng.noise_of_seeds(seeds, trained.generator.noise_shapes)]
    assert difference(trained.images_of(z, noise=maps), trained.sample([4, 5])) <= 1
    shared = trained.images_of(z, noise_seeds=4)
    assert difference(trained.images_of(z, noise=[values[0] for values in maps], batch_size=1), shared) <= 1
    assert difference(trained.images_of(z, noise=maps)[1:], shared[1:]) > 1


def test_batch_size_and_other_seeds_do_not_change_an_image():
    trained, seeds = Trained(trained_fastgan().folded(), CONFIG, 0), [5, 0, 2**40, 7, 1]
    expected = trained.sample(seeds)
    assert min(image.std() for image in expected) > 1
    for batch_size in (1, 2, 5):
        assert difference(trained.sample(seeds, batch_size=batch_size), expected) <= 1
    other = trained.sample([5, 4])
    assert difference(other[0], expected[0]) <= 1 < difference(other[1], expected[1])


def noise_for(g, count):
    return [np.zeros((count, *shape), np.float32) for shape in g.generator.noise_shapes]


@pytest.mark.parametrize(
    "call, reason",
    [
        (lambda g: g.sample([]), "seeds"),
        (lambda g: g.sample([0.5]), "seeds"),
        (lambda g: g.sample([-1]), "seeds"),
        (lambda g: g.sample([1], truncation=3), "^truncation is 3"),
        (lambda g: g.sample([1], classes="cat"), "classes are cat"),
        (lambda g: g.images_of(np.zeros((2, 5))), r"\[2, 5\]; give \[N, 16\]"),
        (lambda g: g.images_of(np.zeros((2, 16)), noise_seeds=[1, 2, 3]), "noise_seeds has 3"),
        (lambda g: g.images_of(np.zeros((2, 16)), noise=[]), "noise maps"),
        (lambda g: g.images_of(np.zeros((2, 16)), noise=noise_for(g, 3)), "noise maps"),
        (lambda g: g.interpolate([1]), "1 seeds"),
        (lambda g: g.interpolate([1, 1]), "same latent"),
        (lambda g: g.interpolate([1, 2], space="x"), "space is 'x'"),
        (lambda g: g.interpolate([1, 2], space="w"), "no mapping network"),
        (lambda g: g.ws([1]), "no mapping network"),
        (lambda g: g.images_of(ws=[[[0.0]]]), "no mapping network"),
        (lambda g: g.mix([1, 2], [3]), "2 seeds and style 1"),
        (lambda g: g.mix([1], [2], layers="7-"), "^layers is 7-"),
    ],
)
def test_invalid_arguments_raise_usage_errors(trained, call, reason):
    with pytest.raises(UsageError, match=reason) as error:
        call(trained)
    assert "\n" not in str(error.value)


def test_features_that_a_family_lacks_raise_usage_errors(tmp_path):
    growing = gan_tf.load(make_growing(tmp_path / "run").folder)
    assert growing.sample([1, 2]).shape == (2, 16, 16, 3)
    with pytest.raises(UsageError, match="^truncation is 0.7, but pggan"):
        growing.sample([1], truncation=0.7)
