"""MTCNN on real portraits, one face each, in the folder GAN_TF_PHOTOS; skipped without it."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401  at the top, so that the devices are split in time
from PIL import Image

from gan_tf.data.sources import ArraySource, FolderSource
from gan_tf.faces.search import CropSettings, Detector
from tests.faces.dots import run_search

PHOTOS = os.environ.get("GAN_TF_PHOTOS", "")
NEARLY_ALL = 0.95
SETTINGS = CropSettings(size=128, at_edge="keep")


@pytest.fixture(scope="module")
def detector():
    return Detector()


@pytest.fixture(scope="module")
def photos():
    """The portraits. Without the folder the tests are skipped, or fail if CI is set."""
    if not Path(PHOTOS or "?").is_dir():
        reason = "GAN_TF_PHOTOS is not a folder of portraits"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return FolderSource(PHOTOS)


def check_level_and_centred(crops, detector):
    """Checks that the eyes of nearly all crops are level. MTCNN's landmarks vary by 2 % of the eyes' distance."""
    landmarks = np.full((len(crops), 5, 2), np.nan)  # as shares of the side; NaN without a face
    for k, faces in enumerate(detector.find(list(crops), 0.5)):
        if len(faces):
            landmarks[k] = faces[faces["score"].argmax()]["landmarks"] / SETTINGS.size
    across = landmarks[:, 1] - landmarks[:, 0]
    degrees = np.degrees(np.arctan2(across[:, 1], across[:, 0]))
    assert np.nanmean(np.abs(degrees)) < 2
    assert (np.abs(degrees) < 6).mean() >= NEARLY_ALL
    np.testing.assert_allclose(np.nanmean(landmarks[:, :2], axis=(0, 1)), (0.5, 0.45), atol=0.03)
    np.testing.assert_allclose(np.nanmean(landmarks[:, 3:], axis=(0, 1)), (0.5, 0.70), atol=0.03)


def test_nearly_all_faces_are_found_level_and_centred(photos, detector, tmp_path):
    start = time.process_time()
    crops = run_search(photos, tmp_path / "out", SETTINGS, detector)
    seconds = (time.process_time() - start) / len(photos)
    assert len(np.unique(crops.faces["photo"])) >= NEARLY_ALL * len(photos)
    assert len(crops) <= len(photos) / NEARLY_ALL
    check_level_and_centred(crops, detector)
    # Seconds of one core per photograph of 1024 pixels; 0.05 is typical.
    assert seconds < 0.5


@pytest.mark.parametrize("degrees", [pytest.param(-30, marks=pytest.mark.slow), 20])
def test_rotated_photographs_give_upright_faces(photos, detector, tmp_path, degrees):
    rotated = [Image.open(photos.folder / name).convert("RGB") for name in photos.names[:20]]
    rotated = [np.asarray(image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor="grey")) for image in rotated]
    crops = run_search(ArraySource("rotated", rotated), tmp_path / "out", SETTINGS, detector)
    assert len(np.unique(crops.faces["photo"])) >= NEARLY_ALL * len(rotated)
    check_level_and_centred(crops, detector)


def test_every_face_of_a_group_is_found(photos, detector, tmp_path):
    side = 150  # the faces have about 108 pixels, the smallest 85
    small = [Image.open(photos.folder / name).convert("RGB").resize((side, side)) for name in photos.names[:24]]
    group = Image.new("RGB", (6 * side, 4 * side), "grey")
    for k, image in enumerate(small):
        group.paste(image, (k % 6 * side, k // 6 * side))
    group = ArraySource("group", [np.asarray(group)])
    faces = run_search(group, tmp_path / "out", SETTINGS, detector).faces
    tiles = {tuple(place) for place in (faces["landmarks"][:, 2] // side).astype(int).tolist()}
    assert len(tiles) == len(faces) >= NEARLY_ALL * len(small)
    assert len(run_search(group, tmp_path / "one", SETTINGS._replace(faces="largest"), detector)) == 1
