"""Layout of generated images with their nearest training images."""

import numpy as np

from gan_tf.sampling.sheets import COPY, MAX_SIDE, MIN_SIDE, NeighbourRow, neighbour_sheet, neighbour_sheet_size


def row(side=64, ratios=(0.2, 0.9), seed=7):
    """A generated image of value 10 with neighbours of 100 and 101."""
    images = np.full((3, side, side, 3), 10, np.uint8)
    images[1:] = np.array([100, 101])[:, None, None, None]
    return NeighbourRow(images[0], seed, "pixels", images[1:], ("a", "b"), (1.5, 2.5), ratios)


def test_images_are_in_order_and_copies_have_a_red_frame():
    sheet = neighbour_sheet([row()], 0.45)
    middle = sheet[sheet.shape[0] // 2]
    values = middle[:, 0].tolist()
    assert [values.count(value) for value in (10, 100, 101)] == [MIN_SIDE] * 3
    assert values.index(10) < values.index(100) < values.index(101)
    red = np.flatnonzero((middle == COPY).all(axis=1))
    assert red.min() < values.index(10) and red.max() < values.index(101)  # the first pair, not the second
    assert red.size == 4 * (MIN_SIDE // 32)
    assert not (neighbour_sheet([row(ratios=(0.5, 0.9))], 0.45) == COPY).all(axis=2).any()


def test_the_size_is_computed_in_advance_and_limited():
    for side, rows in ((16, 1), (64, 3), (1024, 2)):
        assert neighbour_sheet_size(rows, 2, side) == neighbour_sheet([row(side=side)] * rows, 0.45).shape[1::-1]
    sheet = neighbour_sheet([row(side=1024)], 0.45)
    assert (sheet[sheet.shape[0] // 2][:, 0] == 100).sum() == MAX_SIDE  # large images are reduced


def test_rows_are_below_each_other_with_their_captions():
    one, two = neighbour_sheet([row()], 0.45), neighbour_sheet([row(), row(seed=8)], 0.45)
    assert two.shape == (2 * one.shape[0], *one.shape[1:])
    np.testing.assert_array_equal(two[: one.shape[0]], one)
    assert not np.array_equal(two[one.shape[0] :], one)  # the other seed's number
