import numpy as np
import pytest
import tensorflow as tf

from gan_tf.ops.banded import along_both, along_rows, banded


def band(rows, columns, width=5, seed=0):
    matrix = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    distance = np.abs(np.arange(rows)[:, None] * columns / rows - np.arange(columns))
    return np.where(distance < width, matrix, 0)


def images(rows=12, width=7):
    return tf.constant(np.random.default_rng(1).normal(size=(2, rows, width, 3)).astype(np.float32))


@pytest.mark.parametrize("rows, block", [(24, 8), (25, 8), (3, 32), (12, 1)])
def test_blocks_are_the_matrix(rows, block):
    matrix = band(rows, 12)
    want = np.einsum("ji,niwc->njwc", matrix, images())
    np.testing.assert_allclose(along_rows(images(), banded(matrix, block)), want, atol=1e-5)
    np.testing.assert_allclose(along_rows(images(), tf.constant(matrix)), want, atol=1e-5)


def test_a_band_needs_few_columns_in_a_block():
    assert banded(band(256, 256, width=3), block=16).sources.shape == (16, 20)  # 16 and two on each side


def test_each_image_may_have_its_own_matrix():
    matrices = np.stack([band(5, 12, seed=s) for s in (2, 3)])
    want = np.einsum("nji,niwc->njwc", matrices, images())
    np.testing.assert_allclose(along_rows(images(), tf.constant(matrices)), want, atol=1e-5)


def test_both_axes_leave_swapped():
    rows, columns = band(24, 12), band(9, 7)
    want = np.einsum("ji,nikc,lk->nljc", rows, images(), columns)
    np.testing.assert_allclose(along_both(images(), banded(rows), banded(columns)), want, atol=1e-5)


def test_an_empty_matrix_gives_zeros():
    np.testing.assert_array_equal(along_rows(images(), banded(np.zeros((4, 12)))), np.zeros((2, 4, 7, 3)))
