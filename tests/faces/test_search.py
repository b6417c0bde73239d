"""Crops of faces, and the search on photographs of dots and on portraits: geometry, filters, continuation."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401  at the top, so that the devices are split in time
from PIL import Image

from gan_tf.data.sources import ArraySource, FolderSource
from gan_tf.faces import search as module
from gan_tf.faces.crop import Square, crop_square, cut, shown_twice
from gan_tf.faces.results import FACE
from gan_tf.faces.search import CropSettings, Detector, Photo, search_key
from tests.data.encoded import encode, write
from tests.faces.dots import DotDetector, find_dots, landmarks_of, photo, run_search

SMALL = CropSettings(size=32, margin=0.1, min_face=40)
PORTRAITS = CropSettings(size=128, at_edge="keep")
PHOTOS = os.environ.get("GAN_TF_PHOTOS", "")
NEARLY_ALL = 0.95


def face_of(landmarks, box=(0, 0, 0, 0)):
    face = np.zeros((), FACE)
    face["landmarks"], face["box"] = landmarks, box
    return face


def expected(size, margin):
    """Returns the positions [5, 2] of the dots in a crop by the docstring of gan_tf.faces.crop (|EM| is u)."""
    side = 2.75 * (1 + 2 * margin)
    return (landmarks_of(0, 0, 1.0) - (0, 0.2)) / side * size + size / 2


@pytest.mark.parametrize("degrees", [0, 10, -25, 45, 90, 180])
@pytest.mark.parametrize(("eyes", "size"), [(30.3, 128), (64.0, 64), (150.7, 48)])
def test_landmarks_are_at_the_documented_positions(eyes, size, degrees):
    around = 2.4 * eyes
    face = around + 0.37, around - 0.21, eyes, degrees
    image = photo((round(2 * around),) * 2, [face])
    square = crop_square(face_of(landmarks_of(*face)), "eyes", 0.1)
    np.testing.assert_allclose(find_dots(cut(image, square, size)), expected(size, 0.1), atol=0.1)


def test_the_crop_of_a_face_seen_from_the_side():
    landmarks = landmarks_of(100, 50, 40)
    landmarks[:, 0] = 100 + (landmarks[:, 0] - 100) * 0.5
    square = crop_square(face_of(landmarks), "eyes", 0)
    assert square.side == pytest.approx(2.75 * 40) and square.angle == 0  # not narrower
    landmarks = landmarks_of(100, 50, 40, 20)
    landmarks[:2] = landmarks[:2].mean(0)  # a profile, with both eyes at one point
    square = crop_square(face_of(landmarks), "eyes", 0)
    assert np.degrees(square.angle) == pytest.approx(20, abs=0.01)


def test_without_alignment_the_square_is_around_the_box():
    face = face_of(landmarks_of(100, 100, 40, 30), (10, 20, 60, 100))
    assert crop_square(face, "none", 0.25) == (35, 60, 80 * 1.5, 0)


def test_a_crop_without_scaling_is_the_photograph_mirrored_beyond_its_edge():
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    crop = cut(Image.fromarray(pixels), Square(0, 12, 20, 0), 20)
    wide = np.pad(pixels, ((20, 20), (20, 20), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(crop, wide[20 + 2 : 20 + 22, 20 - 10 : 20 + 10])


@pytest.mark.parametrize("degrees", [0, 17])
def test_large_reductions_do_not_alias(degrees):
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 255  # reading only a few pixels would give waves of black and white
    crop = cut(Image.fromarray(stripes), Square(400.3, 400.1, 500, np.radians(degrees)), 30)
    assert np.abs(crop.astype(float) - 127.5).max() <= 2


def test_share_that_shows_the_face_twice():
    """u = 40: features are from x - 30 to x + 30 and from y - 10 to y + 50, mirrored at x = 0 from 30 - x on."""

    def share(x, y, degrees=0, angle=0.0):
        return shown_twice(face_of(landmarks_of(x, y, 40, degrees)), Square(x, y, 160, angle), 300, 300)

    # From -60 on; features in 0..50, so that -50..0 shows them again.
    assert share(20, 100) == pytest.approx(50 * 60 / 160**2, abs=0.01)
    assert share(28, 100) == pytest.approx(52 * 60 / 160**2, abs=0.01)  # features in 0..58; -52..0 shows 0..52
    assert share(60, 100) == share(100, 100, angle=1) == 0
    assert share(100, 20, 90, np.pi / 2) == pytest.approx(50 * 60 / 160**2, abs=0.01)


# Search


def test_dots_are_at_the_documented_positions_in_any_file(tmp_path):
    upright = photo((600, 500), [(290, 230, 80, 15)])
    orientation = Image.Exif()
    orientation[274] = 6  # rotate clockwise
    files = {
        "plain.png": encode(upright),
        "rotated.png": encode(upright.transpose(Image.Transpose.ROTATE_90), exif=orientation),
        "palette.gif": encode(upright.quantize(256), "GIF"),
        "rgb.jpg": encode(upright, "JPEG", quality=95, subsampling=0),
    }
    source, detector = FolderSource(write(tmp_path / "photos", files)), DotDetector()
    partial = run_search(source, tmp_path / "out", SMALL._replace(size=64), detector)
    assert len(partial) == 4 and not partial.unreadable
    assert set(detector.searched) == {(300, 360, 3), (64, 64, 3)}  # 24 / 40 of the photograph, and crops
    for face, image in zip(partial.faces, partial, strict=True):
        np.testing.assert_allclose(find_dots(image), expected(64, 0.1), atol=0.5)
        np.testing.assert_allclose(face["landmarks"], landmarks_of(290, 230, 80, 15), atol=1.5)


def test_copies_are_not_larger_than_their_photographs(tmp_path):
    detector = DotDetector()
    source = ArraySource("set", [np.asarray(photo((150, 140), [(70, 60, 24)]))])
    assert len(run_search(source, tmp_path / "out", SMALL._replace(min_face=20), detector)) == 1
    assert detector.searched == [(140, 150, 3), (64, 64, 3)]


def test_faces_are_filtered_by_score_size_and_edge(tmp_path):
    photos = [
        photo((150, 140), [(70, 60, 24)]),  # low score
        photo((150, 140), [(70, 60, 14)]),  # 38.5 pixels
        photo((150, 140), [(16, 60, 24)]),  # the crop would show it twice
        photo((150, 140), [(70, 60, 24)]),
    ]
    source = ArraySource("set", [np.asarray(image) for image in photos])
    partial = run_search(source, tmp_path / "out", SMALL, DotDetector([0.7]))
    assert partial.faces["photo"].tolist() == [3] and partial.at_edge == 1
    partial = run_search(source, tmp_path / "edge", SMALL._replace(at_edge="keep"), DotDetector([0.7]))
    assert partial.faces["photo"].tolist() == [2, 3] and partial.at_edge == 0


def test_largest_is_the_largest_that_can_be_used(tmp_path):
    class Crowd:
        def find(self, images, confidence):
            [at_edge], [small], [large] = (
                DotDetector().find([np.asarray(photo((250, 140), [face]))], confidence)
                for face in ((30, 60, 50), (70, 60, 24), (180, 60, 30))
            )
            return [np.concatenate([at_edge, small, large])] if len(images) == 1 else [at_edge[:0]] * len(images)

    source = ArraySource("set", [np.zeros((140, 250, 3), np.uint8)])
    for faces, noses in (("all", [180, 70]), ("largest", [180])):
        settings = SMALL._replace(min_face=24, faces=faces)
        partial = run_search(source, tmp_path / faces, settings, Crowd())
        assert partial.faces["landmarks"][:, 2, 0].round().tolist() == noses


def test_faces_of_equal_size_are_ordered_from_left_to_right_then_from_top_to_bottom():
    class Crowd:
        def find(self, images, confidence):
            boxes = [(0, 50, 40, 90), (80, 0, 121, 40), (0, 9, 40, 49), (60, 0, 100, 40)]
            return [np.array([(0, box, 1, np.zeros((5, 2))) for box in boxes], FACE)]

    blank = Image.new("RGB", (140, 100))
    faces = module._find_faces([Photo(0, blank, np.asarray(blank))], SMALL, Crowd())
    assert faces["box"][:, :3].tolist() == [[80, 0, 121], [0, 9, 40], [0, 50, 40], [60, 0, 100]]


def test_windows_are_bounded_by_pixels_and_equal_after_a_restart(monkeypatch):
    monkeypatch.setattr(module, "WINDOW", 3)
    monkeypatch.setattr(module, "WINDOW_PIXELS", 100)
    sizes = [10, 10, 10, 90, 20, 5, 200, 0, 1, 1]
    photos = [Photo(i, Image.new("L", (size, 1)) if size else None, None) for i, size in enumerate(sizes)]
    windows = [[photo.index for photo in window] for window in module._windows(photos)]
    assert windows == [[0, 1, 2], [3, 4], [5, 6], [7, 8, 9]]
    assert [[photo.index for photo in window] for window in module._windows(photos[5:])] == windows[2:]


def test_key_depends_on_photographs_and_settings(tmp_path):
    key = search_key(FolderSource(write(tmp_path, {"a.png": b"1"})), SMALL)
    assert key["--min-face"] == 40 and key["--align"] == "eyes"
    other = search_key(FolderSource(write(tmp_path, {"a.png": b"2"})), SMALL._replace(margin=0.3))
    assert {name for name in key if key[name] != other[name]} == {"--margin", "photographs"}


@pytest.fixture(scope="module")
def detector():
    return Detector()


def test_images_without_faces_of_all_sizes(detector):
    draw = np.random.default_rng(0)
    noise = draw.integers(0, 256, (120, 90, 3), np.uint8)
    slope = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (150, 200, 3))
    images = [noise, np.zeros((1, 300, 3), np.uint8), slope, noise[::-1], noise[:11, :11]]
    faces = detector.find(images, 0.8)
    assert [f.shape for f in faces] == [(0,)] * 5
    assert all(f.dtype == FACE for f in faces)
    assert detector.find([], 0.8) == []


def test_rows_of_mtcnn_become_faces_of_their_images_in_bounded_batches(monkeypatch):
    # Index, box, score, five x, five y; the centre of MTCNN's first pixel is at 0.
    row = [0, 1, 2, 3, 4, 0.9, *range(10, 15), *range(20, 25)]
    calls = []

    class Recorded(Detector):
        def __init__(self):
            self._mtcnn = self

        def detect_faces(self, images, **options):
            calls.append([image.shape for image in images])
            return np.array([[i, *row[1:]] for i in range(len(images))])

    monkeypatch.setattr(module, "BATCH_PIXELS", 50)
    wide, high = np.ones((4, 6, 3), np.uint8), np.ones((6, 4, 3), np.uint8)
    faces = Recorded().find([wide, high, wide, high, wide], 0.8)
    # Of equal size only: padding would change the faces.
    assert calls == [[(4, 6, 3)] * 2, [(4, 6, 3)], [(6, 4, 3)] * 2]
    assert [f["photo"].tolist() for f in faces] == [[0], [1], [2], [3], [4]]
    np.testing.assert_array_equal(faces[3]["box"], [[1.5, 2.5, 3.5, 4.5]])
    np.testing.assert_array_equal(faces[3]["landmarks"][0], [(x + 0.5, x + 10.5) for x in range(10, 15)])


# MTCNN on real portraits, one face each, in the folder GAN_TF_PHOTOS


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
            landmarks[k] = faces[faces["score"].argmax()]["landmarks"] / PORTRAITS.size
    across = landmarks[:, 1] - landmarks[:, 0]
    degrees = np.degrees(np.arctan2(across[:, 1], across[:, 0]))
    assert np.nanmean(np.abs(degrees)) < 2
    assert (np.abs(degrees) < 6).mean() >= NEARLY_ALL
    np.testing.assert_allclose(np.nanmean(landmarks[:, :2], axis=(0, 1)), (0.5, 0.45), atol=0.03)
    np.testing.assert_allclose(np.nanmean(landmarks[:, 3:], axis=(0, 1)), (0.5, 0.70), atol=0.03)


def test_nearly_all_faces_are_found_level_and_centred(photos, detector, tmp_path):
    start = time.process_time()
    crops = run_search(photos, tmp_path / "out", PORTRAITS, detector)
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
    crops = run_search(ArraySource("rotated", rotated), tmp_path / "out", PORTRAITS, detector)
    assert len(np.unique(crops.faces["photo"])) >= NEARLY_ALL * len(rotated)
    check_level_and_centred(crops, detector)


def test_every_face_of_a_group_is_found(photos, detector, tmp_path):
    side = 150  # the faces have about 108 pixels, the smallest 85
    small = [Image.open(photos.folder / name).convert("RGB").resize((side, side)) for name in photos.names[:24]]
    group = Image.new("RGB", (6 * side, 4 * side), "grey")
    for k, image in enumerate(small):
        group.paste(image, (k % 6 * side, k // 6 * side))
    group = ArraySource("group", [np.asarray(group)])
    faces = run_search(group, tmp_path / "out", PORTRAITS, detector).faces
    tiles = {tuple(place) for place in (faces["landmarks"][:, 2] // side).astype(int).tolist()}
    assert len(tiles) == len(faces) >= NEARLY_ALL * len(small)
    assert len(run_search(group, tmp_path / "one", PORTRAITS._replace(faces="largest"), detector)) == 1
