"""The drawn pandas and cats: the same everywhere, in classes that cannot be mistaken for each other."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from gan_tf_datasets.catalogue import open_demo
from gan_tf_datasets.demo.panda_art import draw_indexed as draw_panda
from gan_tf_datasets.demo_kinds.cat_art import draw_indexed as draw_cat
from gan_tf_datasets.demo_kinds.demo_kinds_dataset_builder import EACH, Builder
from tests.datasets.kinds import accuracy, nearest_class


def test_pictures_are_the_ones_of_this_version():
    # Another digest means other pictures: raise VERSION in the builder, add a release note, then change the digest.
    digest = hashlib.sha256(b"".join(draw_cat(i, 64).tobytes() for i in range(20))).hexdigest()
    assert (str(Builder.VERSION), digest[:16]) == ("1.0.0", "3b173bf890d89c10")


def test_cats_differ_and_are_the_same_at_every_size():
    cats = np.stack([draw_cat(i, 32) for i in range(60)]).astype(float)
    distances = np.abs(cats[:, None] - cats[None]).mean((2, 3, 4))
    assert distances[~np.eye(60, dtype=bool)].min() > 4  # grey levels per channel, of 255
    large = draw_cat(7, 128).astype(float).reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(draw_cat(7, 64) - large).mean() < 2


@pytest.mark.slow
def test_the_set_holds_both_kinds_in_turn(tmp_path):
    source = open_demo(64, tmp_path, kinds=True)
    assert source.class_names == ("panda", "cat") and len(source) == 2 * EACH
    assert source.labels.tolist() == [0, 1] * EACH and source.names[:3] == ["panda-000", "cat-000", "panda-001"]
    for number, drawn in ((4, draw_panda(2, 64)), (5, draw_cat(2, 64))):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(source.read(number)))), drawn)


def test_means_of_pixels_tell_the_kinds_apart_on_pictures_that_they_were_not_taken_of():
    draw = {0: draw_panda, 1: draw_cat}
    known, others = (
        {k: np.stack([draw[k](i, 32) for i in some]) for k in draw} for some in (range(60), range(60, 120))
    )
    assert accuracy(nearest_class(known), others) >= 0.99
