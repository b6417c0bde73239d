import numpy as np
import pytest
import tensorflow as tf  # noqa: F401  at the top, so that the devices are split in time
from PIL import Image

from gan_tf.augment.choice import Augmentation
from gan_tf.cli.augment_preview import LABEL_WIDTH, preview_rows
from gan_tf.cli.main import main

SIDE = 32


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, colour in enumerate([(250, 40, 40), (40, 250, 40), (40, 40, 250)]):
        Image.new("RGB", (40, SIDE), colour).save(folder / f"{i}.png")
    return folder


def test_grid_has_a_row_for_each_policy_and_one_for_all(photos, tmp_path, capsys):
    out = tmp_path / "rows.png"
    command = ["augment-preview", str(photos), "--out", str(out), "--resolution", str(SIDE)]
    assert main([*command, "--images", "2", "--augment-policy", "color,cutout", "--augment-probability", "0.5"]) == 0
    assert "original, color, translation, cutout, color+cutout at 0.5 (training)" in capsys.readouterr().out
    picture = np.asarray(Image.open(out))
    assert picture.shape == (5 * SIDE, LABEL_WIDTH + 2 * SIDE, 3)
    np.testing.assert_array_equal(picture[0, LABEL_WIDTH], (250, 40, 40))
    labels = picture[:, :LABEL_WIDTH].reshape(5, SIDE, -1)
    assert (labels.min(axis=(1, 2)) < 128).all()  # every row is named


def test_a_policy_alone_and_in_training_shares_its_draws():
    images = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    chosen = Augmentation("diffaugment", ("translation",))
    rows = preview_rows(images, chosen, 1.0, seed=4)
    np.testing.assert_array_equal(rows["translation (training)"], rows["translation"])
    np.testing.assert_array_equal(rows["original"], images)
    assert (rows["translation"] != preview_rows(images, chosen, 1.0, seed=5)["translation"]).any()


def test_adaptive_augmentation_has_a_row_for_each_group(photos, tmp_path, capsys):
    out = tmp_path / "rows.png"
    command = ["augment-preview", str(photos), "--out", str(out), "--resolution", str(SIDE), "--augment", "ada"]
    assert main([*command, "--images", "2", "--p", "0.3"]) == 0
    assert "original, blit, geom, color, bgc at 0.3 (training)" in capsys.readouterr().out
    assert np.asarray(Image.open(out)).shape == (5 * SIDE, LABEL_WIDTH + 2 * SIDE, 3)


def test_a_group_alone_and_in_training_shares_its_draws():
    images = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    rows = preview_rows(images, Augmentation("ada", ("cutout",)), 1.0, seed=4)
    np.testing.assert_array_equal(rows["cutout at 1 (training)"], rows["cutout"])
    assert (rows["cutout"] != images).any()
    for row in preview_rows(images, Augmentation("ada", ("bgc",)), 0.0, seed=4).values():
        np.testing.assert_array_equal(row, images)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--augment-policy", "colour"], "--augment-policy is 'colour'; give a list of color, translation, cutout"),
        (["--augment-policy", ","], "--augment-policy is ','; give a list of"),
        (["--augment-probability", "2"], "--augment-probability must be from 0 to 1, got 2.0"),
        (["--augment", "ada", "--augment-policy", "bcg"], "--augment-policy is 'bcg'; give one of blit, geom, color,"),
        (["--augment", "ada", "--augment-policy", "blit,geom"], "--augment-policy is 'blit,geom'; give one of blit,"),
        (["--augment", "ada", "--p", "1.1"], "--p must be from 0 to 1, got 1.1"),
        (["--augment", "ada", "--augment-probability", "0.5"], "belongs to --augment diffaugment: use --p with ada"),
        (["--p", "0.2"], "--p belongs to --augment ada: use --augment-probability with diffaugment"),
        (["--images", "0"], "--images must be at least 1, got 0"),
        (["--out", "nowhere/rows.png"], "--out nowhere/rows.png: there is no folder nowhere"),
    ],
)
def test_wrong_options_end_in_one_line(photos, capsys, options, message):
    assert main(["augment-preview", str(photos), *options]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_file_that_cannot_be_written_ends_in_one_line(photos, tmp_path, capsys):
    (tmp_path / "taken.png").mkdir()
    command = ["augment-preview", str(photos), "--resolution", str(SIDE), "--out", str(tmp_path / "taken.png")]
    assert main(command) == 2
    assert "taken.png cannot be written: Is a directory" in capsys.readouterr().err
