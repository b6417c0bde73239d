"""Changes of resolution: nearest neighbour, average pooling, and convolution of an upsampled map."""

import numpy as np
import tensorflow as tf

from gan_tf.ops.forms import forms

TRANSPOSED_FROM = 8  # smallest input map, in pixels, on which the transposed form is the faster one
TRANSPOSED_SUMS = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])  # of (w0, w1, w2), see `transposed_taps`
STRIDED_SUMS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])  # see `strided_taps`


def nearest_resize(images, size):
    """Shrinks square images to `size` pixels by taking every k-th pixel, starting with the first.

    images [N, R, R, C], R a multiple of `size` -> [N, size, size, C]. Equal to nearest-neighbour resizing with source
    index floor(i * R / size), as PyTorch's `interpolate(mode="nearest")`.
    """
    step = _whole_ratio(images.shape[1], size)
    return images[:, ::step, ::step, :]


def average_pool_to(x, size):
    """Averages square blocks so that `size` by `size` remain: x [N, H, H, C], H a multiple of `size`."""
    step = _whole_ratio(x.shape[1], size)
    return x if step == 1 else tf.nn.avg_pool2d(x, step, step, "VALID")


def upsample_nearest(x):
    """Repeats every pixel twice along both axes: [N, H, W, C] -> [N, 2H, 2W, C]."""
    if forms().resize_operation:
        # Not tf.image.resize: its pixel centres, the same for doubling, are a form that ONNX has given up.
        return tf.compat.v1.image.resize_nearest_neighbor(x, (2 * x.shape[1], 2 * x.shape[2]))
    return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)


def up_convolution(x, kernel, dtype):
    """Nearest upsampling by 2, then a 3x3 convolution with zero padding.

    Args:
        x: [N, H, W, I] in `dtype`.
        kernel: [3, 3, I, O] float32; cast to `dtype` after its taps have been summed.
        dtype: type of the products.

    Returns:
        [N, 2H, 2W, O].
    """
    if not uses_transposed_form(x.shape[1]):
        return tf.nn.conv2d(upsample_nearest(x), tf.cast(kernel, dtype), 1, "SAME")
    return transposed_up_convolution(x, tf.cast(transposed_taps(kernel), dtype))


def down_convolution(x, kernel, dtype):
    """3x3 convolution with zero padding, then the mean of every 2x2 pixels.

    Args:
        x: [N, H, W, I] in `dtype`, H and W even.
        kernel: [3, 3, I, O] float32; cast to `dtype` after its taps have been summed.
        dtype: type of the products.

    Returns:
        [N, H / 2, W / 2, O].
    """
    if not forms().strided_down_conv:
        return average_pool_to(tf.nn.conv2d(x, tf.cast(kernel, dtype), 1, "SAME"), x.shape[1] // 2)
    return tf.nn.conv2d(x, tf.cast(strided_taps(kernel), dtype), 2, "SAME")


def strided_taps(kernel):
    """Turns a 3x3 kernel whose output is averaged over 2x2 pixels into the 4x4 stride-2 kernel of the same sum.

    kernel [3, 3, I, O] -> [4, 4, I, O]. The mean of pixels 2i and 2i + 1 sees w0 x[2i-1] + (w0 + w1) x[2i] +
    (w1 + w2) x[2i+1] + w2 x[2i+2], halved, along each axis.
    """
    return _sums_of_taps(kernel, 0.5 * STRIDED_SUMS)


def uses_transposed_form(size: int) -> bool:
    """True if a map of `size` pixels is upsampled and convolved by one transposed convolution."""
    return forms().transposed_up_conv and size >= TRANSPOSED_FROM


def transposed_up_convolution(x, taps):
    """x [N, H, W, I], taps [4, 4, O, I] from `transposed_taps` -> [N, 2H, 2W, O]."""
    height, width, filters = 2 * x.shape[1], 2 * x.shape[2], taps.shape[2]
    return tf.nn.conv2d_transpose(x, taps, (tf.shape(x)[0], height, width, filters), 2, "SAME")


def transposed_taps(kernel):
    """Turns a 3x3 kernel for a map upsampled by 2 into the 4x4 stride-2 transposed kernel for the small map.

    kernel [3, 3, I, O] -> [4, 4, O, I]. Output pixel 2i sees w0 x[i-1] + (w1 + w2) x[i], pixel 2i + 1 sees
    (w0 + w1) x[i] + w2 x[i+1]; a transposed convolution gives tap t[m - 2i + 1] of x[i] to pixel m, hence
    t = (w2, w1 + w2, w0 + w1, w0) along each axis.
    """
    return tf.transpose(_sums_of_taps(kernel, TRANSPOSED_SUMS), (0, 1, 3, 2))


def _sums_of_taps(kernel, sums):
    """Replaces the taps of a kernel by sums of them, along both axes alike, in one pass over the memory.

    kernel [3, 3, I, O], sums [4, 3] -> [4, 4, I, O]. As one matrix product it takes a third of the time of adding
    slices, which matters where maps are small and kernels large.
    """
    both = tf.constant(np.kron(sums, sums), kernel.dtype)  # [16, 9]
    return tf.reshape(both @ tf.reshape(kernel, (9, -1)), (4, 4, *kernel.shape[2:]))


def _whole_ratio(large, small):
    if large % small:
        raise ValueError(f"map of {large} pixels cannot be divided into {small} equal parts")
    return large // small
