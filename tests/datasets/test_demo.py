"""The drawn pandas: the same everywhere, different from each other, the same animal at every size."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from gan_tf_datasets.catalogue import open_demo
from gan_tf_datasets.demo.demo_dataset_builder import Builder
from gan_tf_datasets.demo.panda_art import EXTRAS, PICTURES, draw_indexed, pick
from gan_tf_datasets.demo.shapes import Frame, ellipse, paint, polygon


def test_pictures_are_the_ones_of_this_version():
    # Another digest means other pictures: prepared sets and runs made from them no longer agree with the code. Raise
    # VERSION in the builder, add a release note, then change the digest.
    digest = hashlib.sha256(b"".join(draw_indexed(i, 64).tobytes() for i in range(20))).hexdigest()
    assert (str(Builder.VERSION), digest) == (
        "1.0.0",
        "a6a8a5dad57d23836fafa569dcfebd68dda0730b44df0de4dc8bf31cf0d6cfce",
    )


def test_pictures_differ():
    pictures = np.stack([draw_indexed(i, 32) for i in range(60)]).astype(float)
    distances = np.abs(pictures[:, None] - pictures[None]).mean((2, 3, 4))
    assert distances[~np.eye(60, dtype=bool)].min() > 4  # grey levels per channel, of 255
    assert pictures.std(0).mean() > 30


@pytest.mark.parametrize("resolution", [128, 256])
def test_same_panda_at_every_size(resolution):
    small, large = draw_indexed(7, 64).astype(float), draw_indexed(7, resolution).astype(float)
    factor = resolution // 64
    shrunk = large.reshape(64, factor, 64, factor, 3).mean((1, 3))
    assert np.abs(small - shrunk).mean() < 2


def test_edges_are_smooth():
    picture = draw_indexed(0, 64)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 200  # flat colours alone would be some twenty


def test_tiny_resolution_is_refused():
    with pytest.raises(ValueError, match="at least 8 pixels, got 4"):
        draw_indexed(0, 4)


def test_pick_follows_the_probabilities():
    drawn = [pick(EXTRAS, u) for u in (np.arange(1000) + 0.5) / 1000]
    assert {name: drawn.count(name) / 1000 for name, _ in EXTRAS} == pytest.approx(dict(EXTRAS), abs=0.002)


def test_area_of_painted_shapes():
    # Area of the anti-aliased cover against geometry: an ellipse, and a square turned by a frame.
    for shape, frame, area in (
        (ellipse(0.0, 0.0, 0.4, 0.2, 0.7), Frame(0.5, 0.5), np.pi * 0.4 * 0.2),
        (polygon([(-1, -1), (1, -1), (1, 1), (-1, 1)]), Frame(0.5, 0.5, 0.25, 0.3), 0.25),
    ):
        image = np.zeros((128, 128, 3))
        paint(image, frame, shape, (1.0, 1.0, 1.0))
        assert image.mean() == pytest.approx(area, rel=0.01)


def test_shape_outside_of_the_picture_paints_nothing():
    image = np.zeros((16, 16, 3))
    paint(image, Frame(), ellipse(3.0, 3.0, 0.5, 0.5), (1.0, 1.0, 1.0))
    assert not image.any()


def test_source_holds_what_is_drawn(tmp_path):
    said = []
    source = open_demo(64, tmp_path, log=said.append)
    assert len(source) == PICTURES >= 500 and source.names[41] == "panda-041"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(source.read(41)))), draw_indexed(41, 64))
    again = open_demo(50, tmp_path, log=said.append)  # the next size up
    assert again.fingerprint == source.fingerprint
    assert len(said) == 1 and "64x64" in said[0]
