"""The picture of nearest training images: what stands where, and what is framed in red."""

import numpy as np

from gan_tf.sampling.neighbours import COPY, LARGEST, LEAST, Neighbours, picture, size_of


def row(side=64, ratios=(0.2, 0.9), seed=7):
    """A generated image of 10, with neighbours of 100 and 101."""
    images = np.full((3, side, side, 3), 10, np.uint8)
    images[1:] = np.array([100, 101])[:, None, None, None]
    return Neighbours(images[0], seed, "pixels", images[1:], ("a", "b"), (1.5, 2.5), ratios)


def test_the_images_stand_side_by_side_and_copies_are_red():
    shown = picture([row()], 0.45)
    middle = shown[shown.shape[0] // 2]
    values = middle[:, 0].tolist()
    assert [values.count(value) for value in (10, 100, 101)] == [LEAST] * 3
    assert values.index(10) < values.index(100) < values.index(101)
    red = np.flatnonzero((middle == COPY).all(axis=1))
    assert red.min() < values.index(10) and red.max() < values.index(101)  # the first pair, not the second
    assert red.size == 4 * (LEAST // 32)


def test_its_size_is_known_before():
    for side, rows in ((16, 1), (64, 3), (1024, 2)):
        assert size_of(rows, 2, side) == picture([row(side=side)] * rows, 0.45).shape[1::-1]


def test_new_images_have_no_red():
    assert not (picture([row(ratios=(0.5, 0.9))], 0.45) == COPY).all(axis=2).any()


def test_rows_stand_below_each_other_with_their_words():
    one, two = picture([row()], 0.45), picture([row(), row(seed=8)], 0.45)
    assert two.shape == (2 * one.shape[0], *one.shape[1:])
    np.testing.assert_array_equal(two[: one.shape[0]], one)
    assert not np.array_equal(two[one.shape[0] :], one)  # the other seed's number


def test_large_images_are_made_smaller():
    middle = picture([row(side=1024)], 0.45)
    assert (middle[middle.shape[0] // 2][:, 0] == 100).sum() == LARGEST
