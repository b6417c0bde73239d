"""Changes of resolution without a filter: nearest neighbour, average pooling, and convolutions combined with them."""

import numpy as np
import tensorflow as tf

from gan_tf.ops.forms import forms

TRANSPOSED_FROM = 8  # smallest input map, in pixels, for which the transposed form is faster
TRANSPOSED_SUMS = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])  # of (w0, w1, w2), see `transposed_taps`
STRIDED_SUMS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])  # see `down_convolution`


def nearest_resize(images, height):
    """Reduces images by taking every k-th pixel of every k-th row, starting with the first.

    images [N, k * height, k * W, C] -> [N, height, W, C], as PyTorch's `interpolate(mode="nearest")`.
    """
    step = images.shape[1] // height
    return images[:, ::step, ::step, :]


def average_pool_to(x, height):
    """Average pooling over boxes of k x k pixels: x [N, k * height, k * W, C] -> [N, height, W, C]."""
    step = x.shape[1] // height
    return x if step == 1 else tf.nn.avg_pool2d(x, step, step, "VALID")


def upsample_nearest(x):
    """Nearest upsampling by 2: [N, H, W, C] -> [N, 2H, 2W, C]."""
    if forms().resize_operation:
        # Not tf.image.resize: ONNX no longer supports its half-pixel centres, which give the same result here.
        return tf.compat.v1.image.resize_nearest_neighbor(x, (2 * x.shape[1], 2 * x.shape[2]))
    return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)


def up_convolution(x, kernel):
    """Nearest upsampling by 2, then a 3x3 convolution with zero padding; on large maps both are one operation.

    x [N, H, W, I]; kernel [3, 3, I, O] float32, or the output of `transposed_taps` -> [N, 2H, 2W, O] of x's type.
    """
    if kernel.shape[0] == 3 and uses_transposed_form(x.shape[1]):
        kernel = transposed_taps(kernel)
    kernel = tf.cast(kernel, x.dtype)  # after the sums of taps, which are float32
    if kernel.shape[0] == 3:
        return tf.nn.conv2d(upsample_nearest(x), kernel, 1, "SAME")
    shape = (tf.shape(x)[0], 2 * x.shape[1], 2 * x.shape[2], kernel.shape[2])
    return tf.nn.conv2d_transpose(x, kernel, shape, 2, "SAME")


def uses_transposed_form(size: int) -> bool:
    """True if a map of `size` pixels is upsampled and convolved by one transposed convolution."""
    return forms().transposed_up_conv and size >= TRANSPOSED_FROM


def transposed_taps(kernel):
    """Converts a 3x3 kernel for a map upsampled by 2 to the 4x4 stride-2 transposed kernel for the original map.

    kernel [3, 3, I, O] -> [4, 4, O, I]. Output pixel 2i is w0 x[i-1] + (w1 + w2) x[i], pixel 2i + 1 is
    (w0 + w1) x[i] + w2 x[i+1]; a transposed convolution adds t[m - 2i + 1] x[i] to pixel m, hence
    t = (w2, w1 + w2, w0 + w1, w0) along each axis.
    """
    return tf.transpose(_sums_of_taps(kernel, TRANSPOSED_SUMS), (0, 1, 3, 2))


def down_convolution(x, kernel):
    """3x3 convolution with zero padding, then 2x2 average pooling.

    x [N, H, W, I], H and W even; kernel [3, 3, I, O] float32 -> [N, H / 2, W / 2, O] of x's type.
    """
    if not forms().strided_down_conv:
        return average_pool_to(tf.nn.conv2d(x, tf.cast(kernel, x.dtype), 1, "SAME"), x.shape[1] // 2)
    # Along each axis, the mean of output pixels 2i and 2i + 1 is half of w0 x[2i-1] + (w0 + w1) x[2i] +
    # (w1 + w2) x[2i+1] + w2 x[2i+2]: one 4x4 convolution of stride 2.
    return tf.nn.conv2d(x, tf.cast(_sums_of_taps(kernel, 0.5 * STRIDED_SUMS), x.dtype), 2, "SAME")


def _sums_of_taps(kernel, sums):
    """Replaces the taps of a kernel by sums of them along both axes: [3, 3, I, O], sums [4, 3] -> [4, 4, I, O].

    One matrix product takes a third of the time of adding slices, which matters for small maps with large kernels.
    """
    both = tf.constant(np.kron(sums, sums), kernel.dtype)  # [16, 9]
    return tf.reshape(both @ tf.reshape(kernel, (9, -1)), (4, 4, *kernel.shape[2:]))
