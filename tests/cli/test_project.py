"""`gan-tf project`: from a picture to its latent, what is said of training images, and every mistake in one line."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gan_tf.cli.main import run_command
from gan_tf.cli.project import words_of_copies
from gan_tf.config.settings import TrainConfig
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import open_source
from gan_tf.io import image_files
from gan_tf.models import FAMILIES
from gan_tf.runs.weights import load_generator
from gan_tf.sampling.generate import images_of_seeds
from tests.pretrained import made_weights
from tests.training import tiny

from ..sampling import trained

QUICK = ("--distance", "l2", "--steps", 4, "--samples", 8, "--restarts", 2)


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    run = trained.make_run(tmp_path_factory.mktemp("generator") / "run")
    return FAMILIES["fastgan"].fold(load_generator(run).generator, "float32")


@pytest.fixture(scope="module")
def run(tmp_path_factory, generator):
    """A run that was trained on 12 pictures and on one that its own generator makes."""
    folder = tmp_path_factory.mktemp("runs")
    run = trained.make_run(folder / "run")
    [(_, made)] = images_of_seeds(generator, [3], 1)
    np.savez(folder / "set.npz", images=np.concatenate([tiny.square_pictures(), made]))
    image_files.save_png(folder / "made.png", made[0])
    image_files.save_png(folder / "drawn.png", tiny.square_pictures()[5])
    image_files.save_png(folder / "new.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    config = TrainConfig(**{**vars(trained.CONFIG), "dataset": str(folder / "set.npz")})
    images = prepare(open_source(config.dataset), resolution=64)
    run.write_settings(config, {"fingerprint": images.fingerprint, "images": len(images), "class_names": []})
    return run


def project(run, image, *arguments):
    return run_command("project", [str(run.folder), str(run.folder.parent / image), *map(str, arguments)])


def test_the_files_of_a_projection(run, generator, tmp_path, capsys):
    out = tmp_path / "new" / "found"
    assert project(run, "made.png", *QUICK, "--out", out) == 0
    names = ["latent.npz", "projected.png", "search.webp", "side-by-side.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    target, image = image_files.read_png(run.folder.parent / "made.png"), image_files.read_png(out / "projected.png")
    np.testing.assert_array_equal(
        image_files.read_png(out / "side-by-side.png"), np.concatenate([target, image], axis=1)
    )
    with np.load(out / "latent.npz") as stored:
        noise = [tf.constant(stored[f"noise_{i}"][None]) for i in range(len(generator.noise_shapes))]
        again = generator(tf.constant(stored["latent"][None]), noise=noise)
    assert np.abs(image_files.to_uint8(again)[0].astype(int) - image).max() <= 1
    with Image.open(out / "search.webp") as search:
        assert search.n_frames >= 5 and search.size[0] == 512
    said, told = capsys.readouterr()
    error = np.sqrt(np.mean((target.astype(float) - image) ** 2))
    assert said.startswith(
        f"error {error:.1f} of 255 grey levels (root mean square over pixels and channels; the other"
    )
    assert "the best of 8 random latents had" in said and "length of the latent" in said
    assert "compared by pixels alone (--distance l2)" in told


def test_training_images_and_others_are_told_apart(run, tmp_path, capsys):
    wanted = {
        "made.png": "the picture is the training image 12, or a copy of it (ratio 0.00",
        "drawn.png": "the picture is the training image 5, or a copy of it (ratio 0.00",
        "new.png": "the picture is no training image: the nearest is",
    }
    for image, words in wanted.items():
        assert project(run, image, *QUICK, "--out", tmp_path) == 0
        assert words in capsys.readouterr().out


class Repeating:
    """A generator that makes one stored image whatever it is given."""

    resolution, latent_size, noise_shapes = 64, 16, [(8, 8, 1)]

    def __init__(self, image):
        self.image = tf.constant(image / 127.5 - 1, tf.float32)

    def __call__(self, latents, labels=None, noise=None, training=False):
        return tf.repeat(self.image[None], latents.shape[0], axis=0)


def test_a_generator_that_repeats_a_training_image_is_found_out_at_once(run, tmp_path, capsys, monkeypatch):
    image = tiny.square_pictures()[5]
    family = dataclasses.replace(FAMILIES["fastgan"], fold=lambda g, policy: Repeating(image))
    monkeypatch.setitem(FAMILIES, "fastgan", family)
    assert project(run, "drawn.png", *QUICK, "--out", tmp_path) == 0
    said = capsys.readouterr().out
    assert "the picture is the training image 5, or a copy of it" in said
    assert "has memorised it: it was found at once, the best of 8 random latents makes it at ratio 0.00" in said
    np.testing.assert_array_equal(image_files.read_png(tmp_path / "projected.png"), image)
    assert project(run, "new.png", *QUICK, "--out", tmp_path) == 0  # nor is another picture taken for memorised
    assert "the picture is no training image" in capsys.readouterr().out


def test_the_data_set_is_opened_before_the_search(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gan_tf.sampling.project.project", lambda *given, **more: pytest.fail("the search has begun"))
    assert project(run, "made.png", *QUICK, "--out", tmp_path / "out", "--dataset", "/elsewhere") == 2
    assert "--dataset /elsewhere: no such file" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_found_before_the_work(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gan_tf.cli.project.start_tensorflow", lambda *given: pytest.fail("the work has begun"))
    (tmp_path / "file").write_text("")
    assert project(run, "made.png", *QUICK, "--out", tmp_path / "file") == 2
    assert f"--out {tmp_path / 'file'} cannot be written" in capsys.readouterr().err


def test_what_is_said_of_a_memorised_image():
    at_once = words_of_copies("a.png", [0.0, 0.3, 0.1], 0.45, 1000)
    assert "has memorised it: it was found at once, the best of 1000 random latents makes it at ratio 0.30" in at_once
    assert "came to ratio 0.10, which counts as a copy; the best of 1000" in words_of_copies(
        "a.png", [0.0, 0.9, 0.1], 0.45, 1000
    )
    assert "has not memorised it" in words_of_copies("a.png", [0.0, 0.9, 0.8], 0.45, 1000)
    assert "is no training image: the nearest is a.png, at ratio 0.50" in words_of_copies(
        "a.png", [0.5, 0.1, 0.1], 0.45, 1000
    )


def test_without_its_training_images_it_says_so(run, tmp_path, capsys):
    settings, data = run.read_settings()
    run.write_settings(TrainConfig(**{**vars(settings), "dataset": "/nowhere"}), data)
    try:
        assert project(run, "made.png", *QUICK, "--out", tmp_path) == 0
        assert "training image was not looked up: --dataset /nowhere: no such file" in capsys.readouterr().err
        assert project(run, "made.png", *QUICK, "--out", tmp_path, "--dataset", settings.dataset) == 0
        assert "is the training image 12" in capsys.readouterr().out
        assert project(run, "made.png", *QUICK, "--out", tmp_path, "--dataset", "/elsewhere") == 2
    finally:
        run.write_settings(settings, data)


def test_lpips_is_the_default_and_never_replaced_silently(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    assert project(run, "made.png", *QUICK[2:], "--offline", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err.strip()
    assert "lpips" in error and "give --distance l2" in error and "\n" not in error
    assert not (tmp_path / "out").exists()
    made_weights.put_weights(monkeypatch)
    assert project(run, "made.png", "--steps", 1, *QUICK[4:], "--offline", "--out", tmp_path / "out") == 0
    said, told = capsys.readouterr()
    assert "compared by pixels and LPIPS" in told and "(LPIPS and mean squares of pixels" in said


@pytest.mark.parametrize(
    ("image", "arguments", "words"),
    [
        ("missing.png", [], "missing.png: no such file"),
        ("set.npz", [], "set.npz cannot be read: not a picture in a known format"),
        ("made.png", ["--steps", "-1"], "--steps is -1"),
        ("made.png", ["--restarts", "0"], "--restarts is 0"),
        ("made.png", ["--samples", "1"], "--samples is 1, fewer than the 2 of --restarts"),
        ("made.png", ["--animation", "avi"], "avi"),
        ("made.png", ["--which", "worst"], "worst"),
        ("made.png", ["--distance", "l1"], "l1"),
    ],
)
def test_a_wrong_option_is_named_in_one_line(run, tmp_path, capsys, image, arguments, words):
    assert project(run, image, *QUICK, "--out", tmp_path / "none", *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and "\n" not in error
    assert not (tmp_path / "none").exists()


def test_a_folder_that_is_no_run_and_one_that_cannot_be_made(run, tmp_path, capsys):
    assert run_command("project", [str(tmp_path), "a.png"]) == 2
    assert "no run folder" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert project(run, "made.png", *QUICK, "--out", tmp_path / "file") == 2
    assert "cannot be written" in capsys.readouterr().err


def test_help_does_not_load_tensorflow():
    code = "import sys\nfrom gan_tf.cli.project import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
