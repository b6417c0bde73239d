"""Linear maps of a whole axis of images: matrices whose entries lie in a band, worked through block by block."""

import dataclasses

import numpy as np
import tensorflow as tf

BLOCK = 32  # rows of the matrix in a block; 8 to 64 are as fast, and up to six times faster than the whole matrix


@dataclasses.dataclass(frozen=True, eq=False)
class Banded:
    """A [J, I] matrix, each of whose blocks of rows needs few columns.

    Fields:
        sources: int32 [B, K], the columns that a block needs, filled up with column 0.
        weights: float32 [B, rows, K], the matrix there, zero where filled up.
        rows: J.
    """

    sources: np.ndarray
    weights: np.ndarray
    rows: int


def banded(matrix, block=BLOCK):
    """Cuts a matrix into blocks. matrix: array [J, I]; any zeros are left out, a band is not required."""
    rows, columns = matrix.shape
    count = -(-rows // block)
    filled = np.zeros((count * block, columns), np.float32)
    filled[:rows] = matrix
    blocks = filled.reshape(count, block, columns)
    needed = [np.flatnonzero((part != 0).any(axis=0)) for part in blocks]
    sources = np.zeros((count, max(1, *(len(own) for own in needed))), np.int32)
    weights = np.zeros((count, block, sources.shape[1]), np.float32)
    for i, own in enumerate(needed):
        sources[i, : len(own)] = own
        weights[i, :, : len(own)] = blocks[i][:, own]
    return Banded(sources, weights, rows)


def along_rows(x, matrix):
    """Multiplies the columns of images: out[j] = sum over i of matrix[j, i] x[i], i and j counting rows of pixels.

    Args:
        x: [N, I, W, C] float32.
        matrix: Banded, or a tensor [J, I] or [N, J, I].

    Returns:
        [N, J, W, C].
    """
    count, rows, width, channels = x.shape
    x = tf.reshape(x, (count, rows, width * channels))
    if isinstance(matrix, Banded):
        x = tf.matmul(matrix.weights, tf.gather(x, matrix.sources, axis=1))  # [N, B, rows, W * C]
        x = tf.reshape(x, (count, -1, width * channels))[:, : matrix.rows]
    else:
        x = tf.matmul(matrix, x)
    return tf.reshape(x, (count, x.shape[1], width, channels))


def along_both(x, rows, columns):
    """Multiplies one axis and then the other, and swaps them: twice as fast as bringing them back.

    x [N, I, K, C], rows [J, I], columns [L, K] -> [N, L, J, C], the transpose of rows x columns^T.
    """
    return along_rows(tf.transpose(along_rows(x, rows), (0, 2, 1, 3)), columns)
