"""`gan-tf augment-preview`: rows, draws, invalid options."""

import numpy as np
import pytest
from PIL import Image

from gan_tf.augment.choice import Augmentation
from gan_tf.cli.augment_preview import LABEL_WIDTH, preview_rows

SIDE = 32


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, colour in enumerate([(250, 40, 40), (40, 250, 40), (40, 40, 250)]):
        Image.new("RGB", (40, SIDE), colour).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        (
            ["--augment-policy", "color,cutout", "--augment-probability", "0.5"],
            "original, color, translation, cutout, color+cutout at 0.5 (training)",
        ),
        (["--augment", "ada", "--p", "0.3"], "original, blit, geom, color, bgc at 0.3 (training)"),
    ],
)
def test_the_grid_has_a_row_per_augmentation_and_one_for_all(photos, tmp_path, done, options, rows):
    out = tmp_path / "rows.png"
    assert rows in done("augment-preview", photos, "--out", out, "--resolution", SIDE, "--images", 2, *options).out
    image = np.asarray(Image.open(out))
    assert image.shape == (5 * SIDE, LABEL_WIDTH + 2 * SIDE, 3)
    np.testing.assert_array_equal(image[0, LABEL_WIDTH], (250, 40, 40))
    labels = image[:, :LABEL_WIDTH].reshape(5, SIDE, -1)
    assert (labels.min(axis=(1, 2)) < 128).all()  # each row has a name


def test_an_augmentation_alone_and_in_training_has_the_same_draws():
    images = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    translation = Augmentation("diffaugment", ("translation",))
    rows = preview_rows(images, translation, 1.0, seed=4)
    np.testing.assert_array_equal(rows["translation (training)"], rows["translation"])
    np.testing.assert_array_equal(rows["original"], images)
    assert (rows["translation"] != preview_rows(images, translation, 1.0, seed=5)["translation"]).any()
    rows = preview_rows(images, Augmentation("ada", ("cutout",)), 1.0, seed=4)
    np.testing.assert_array_equal(rows["cutout at 1 (training)"], rows["cutout"])
    assert (rows["cutout"] != images).any()
    for row in preview_rows(images, Augmentation("ada", ("bgc",)), 0.0, seed=4).values():
        np.testing.assert_array_equal(row, images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--augment-policy", "colour"], "--augment-policy is 'colour'"),
        (["--augment-probability", "2"], "--augment-probability"),
        (["--augment", "ada", "--augment-policy", "bcg"], "--augment-policy is 'bcg'"),
        (["--augment", "ada", "--augment-policy", "blit,geom"], "--augment-policy is 'blit,geom'"),
        (["--augment", "ada", "--p", "1.1"], "--p"),
        (["--augment", "ada", "--augment-probability", "0.5"], "use --p with ada"),
        (["--p", "0.2"], "use --augment-probability with diffaugment"),
        (["--images", "0"], "--images"),
        (["--out", "nowhere/rows.png"], "--out nowhere/rows.png"),
        (["--resolution", str(SIDE), "--out", "photos.png"], "--out photos.png"),
        (["--out", "rows.gif"], "--out is rows.gif; give a name that ends in .png"),
    ],
)
def test_invalid_options(photos, tmp_path, monkeypatch, refused, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos.png").mkdir()
    assert message in refused("augment-preview", photos, *options)
