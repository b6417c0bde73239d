"""`gan-tf generate --best`: the best images by each score are selected and labelled as curated."""

import dataclasses
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gan_tf.cli.curate import sheet_layout
from gan_tf.cli.datasets import resolve
from gan_tf.cli.main import run_command
from gan_tf.io import image_files
from gan_tf.metrics.feature_metrics import realism, smaller_balls
from gan_tf.metrics.neighbour_index import pixel_vectors
from gan_tf.models import FAMILIES
from gan_tf.ops.resample import nearest_resize
from gan_tf.sampling.sampler import load_discriminator_scorer
from gan_tf.training import state as states
from gan_tf.training.recipes import pggan
from tests.metrics import stubs
from tests.sampling.trained import CONFIG, make_growing
from tests.training import tiny


@pytest.fixture(scope="module", autouse=True)
def tiny_networks():
    """Tiny networks, whose discriminator gets an image and its every second pixel."""
    networks, recipe = tiny.family()
    logits = lambda d, g: lambda image, labels=None: d((image, image[:, ::2, ::2]))  # noqa: E731
    with tiny.in_place((dataclasses.replace(networks, image_logits=logits), recipe)):
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose training images include images 4 and 17 of its generator."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        tiny.set_scores(patch, [1, 2])  # the best weights are not the newest
        made = tiny.trained(tiny.images_file(folder), folder)
    assert run_command("generate", best(made, folder / "all.npz")) == 0
    with np.load(folder / "all.npz") as arrays:
        near = arrays["images"][[4, 17]]
    noisy = near.astype(int) + np.random.default_rng(0).integers(-1, 2, near.shape)
    images = np.concatenate([noisy.clip(0, 255).astype(np.uint8), near, tiny.square_images(12)])
    np.savez(folder / "images.npz", images=images)
    config = dataclasses.replace(made.read_settings()[0], dataset=str(folder / "images.npz"), mirror=False)
    fingerprint = resolve(config.dataset, size=(64, 64), offline=True).fingerprint
    made.write_settings(config, {"fingerprint": fingerprint, "images": len(images), "class_names": []})
    return made


@pytest.fixture(scope="module")
def images(run):
    with np.load(run.folder.parent / "all.npz") as arrays:
        return arrays["images"]


def best(run, out, *arguments):
    """Arguments of `gan-tf generate`."""
    return [str(run.folder), "--count", "30", "--out", str(out), "--precision", "float32", *arguments]


def test_by_pixels_the_nearest_are_selected_and_labelled(run, images, tmp_path, done):
    printed = done("generate", *best(run, tmp_path / "out", "--best", "4", "--by", "pixels")).out
    label = "curated: the best 4 of 30 images by small versions of the pixels (realism)"
    assert label in printed and f"sheet: {tmp_path / 'out-best.png'}" in printed
    assert "copy check: " in printed and "of 4 selected images repeat a training image" in printed
    with np.load(run.folder.parent / "images.npz") as arrays:
        scores = realism(smaller_balls(pixel_vectors(arrays["images"])), pixel_vectors(images))
    order = np.argsort(-scores, kind="stable")[:4]
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {f"seed-{seed:06d}.png" for seed in order}
    for rank, seed in enumerate(order, 1):
        with Image.open(tmp_path / "out" / f"seed-{seed:06d}.png") as image:
            assert image.text["Description"].startswith(f"{label}; seed {seed}, rank {rank}: pixels")
    with Image.open(tmp_path / "out-best.png") as sheet:
        assert sheet.text["Description"] == label
    sheet = image_files.read_png(tmp_path / "out-best.png")
    band = sheet.shape[0] - 512
    assert sheet.shape[1] == 512 and 15 < band < 80 and sheet[:band].min() < 60  # words above 2x2 images
    shown = sheet[band : band + 256 : 4, :256:4]
    np.testing.assert_array_equal(shown, image_files.read_png(tmp_path / "out" / f"seed-{order[0]:06d}.png"))


@pytest.mark.parametrize("count, columns", [(1, 1), (4, 2), (6, 3), (22, 5), (24, 6), (12, 4), (60, 10), (64, 8)])
def test_a_sheet_has_no_holes_where_that_can_be(count, columns):
    assert sheet_layout(count, 64)[0] == columns


def test_the_discriminator_of_fastgan_scores_as_in_training(images):
    """An image is scored with the smaller version that the discriminator gets of real images."""
    family, _ = tiny.FASTGAN
    d = family.discriminator(CONFIG, "float32")
    image = tf.constant(images[:1], tf.float32) / 127.5 - 1
    logits = d((image, nearest_resize(image, 32)), training=False)
    np.testing.assert_allclose(family.image_logits(d, None)(image), logits, rtol=1e-4, atol=1e-5)


def test_by_the_discriminator_needs_no_data(run, images, tmp_path, done, monkeypatch):
    monkeypatch.setattr("gan_tf.cli.curate.training_reals", lambda *arguments: pytest.fail("real images were opened"))
    printed = done("generate", *best(run, tmp_path / "out", "--best", "5", "--by", "discriminator")).out
    assert "; the discriminator is that of 0.1 kimg, since only the newest one is stored" in printed
    score, seen = load_discriminator_scorer(run, run.read_settings()[0], None)
    assert seen == 80
    order = np.argsort(-score(images), kind="stable")[:5]
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {f"seed-{seed:06d}" for seed in order}


def test_by_default_both_scores_are_used_and_features_need_weights(run, tmp_path, monkeypatch, done, refused):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    arguments = best(run, tmp_path / "out", "--best", "5", "--offline")
    error = refused("generate", *arguments)
    assert "--offline" in error and "--by discriminator,pixels" in error and not (tmp_path / "out").exists()
    stubs.replace_networks(monkeypatch)
    printed = done("generate", *arguments).out
    label = "curated: the best 5 of 30 images by the discriminator and Inception features (realism) (mean rank)"
    assert label in printed and len(list((tmp_path / "out").iterdir())) == 5


def test_an_interrupted_selection_ends_with_the_same_images(run, tmp_path, monkeypatch, done, refused):
    arguments = ["--by", "pixels,discriminator", "--batch-size", "2", "--best"]
    done("generate", *best(run, tmp_path / "whole", *arguments, "4"))
    stopped = best(run, tmp_path / "out", *arguments)
    with monkeypatch.context() as patch:
        patch.setattr("gan_tf.cli.curate.Selection.write_sheet", Mock(side_effect=KeyboardInterrupt))
        assert run_command("generate", [*stopped, "4"]) == 42
    assert "--best" in refused("generate", *stopped, "5")
    assert "4 of 4 images exist" in done("generate", *stopped, "4").out
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()
    assert (tmp_path / "whole-best.png").read_bytes() == (tmp_path / "out-best.png").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "whole-best.png", "out", "out-best.png"}


def test_npz_describes_the_selection(run, tmp_path, done):
    done("generate", *best(run, tmp_path / "best.npz", "--best", "3", "--by", "pixels"))
    with np.load(tmp_path / "best.npz") as arrays:
        assert arrays["images"].shape == (3, 64, 64, 3)
        assert all(text.startswith("curated: the best 3 of 30") for text in arrays["about"])
    assert (tmp_path / "best.npz-best.png").exists()


def test_a_run_without_checkpoints_has_no_discriminator(tmp_path, refused):
    arguments = ("--best", 3, "--by", "discriminator", "--out", tmp_path / "out")
    error = refused("generate", make_growing(tmp_path / "run").folder, *arguments)
    assert "--by discriminator: " in error and "has no checkpoint" in error and "--by pixels" in error


@pytest.mark.parametrize("growth", [1.0, 1.5, 2.0])
def test_a_growing_discriminator_scores_each_image_alone(tmp_path, growth):
    run = make_growing(tmp_path / "run", growth)
    config, _ = run.read_settings()
    family = FAMILIES["pggan"]
    g, d, g_ema = (build(config, "float32") for build in (family.generator, family.discriminator, family.generator))
    states.save_state(states.create_state(g, d, g_ema, config, pggan.RECIPE), run, keep=1)
    size, level = 2 ** int(2 + np.ceil(growth)), int(np.ceil(growth))
    images = np.random.default_rng(0).integers(0, 256, (5, size, size, 3), np.uint8)
    g.growth.assign(growth)
    score, _ = load_discriminator_scorer(run, config, g)
    alpha = None if growth == level else growth - level + 1
    floats = tf.constant(images, tf.float32) / 127.5 - 1
    expected = [float(d(x[None], level=level, alpha=alpha)[0, 0]) for x in floats]
    np.testing.assert_allclose(score(images), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(score(images[::-1]), expected[::-1], rtol=1e-4, atol=1e-5)
