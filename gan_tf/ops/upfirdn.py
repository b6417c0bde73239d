"""Changes of resolution behind a finite impulse response filter: zero insertion, filtering, decimation.

A filter is a constant, known when a function is traced: a NumPy array [h, w], or [taps] for one that is applied along
each axis in turn, or None for none. Paddings are in pixels of the map in question; negative ones cut off.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), appendix B, and Zhang 2019 (Making
Convolutional Networks Shift-Invariant Again); conventions as in the official StyleGAN2-ADA program.
"""

import math

import numpy as np
import tensorflow as tf

SEPARABLE_FROM = 8  # taps from which two passes of a separable filter are cheaper than one with its outer product
DENSE_UP_TO = 4  # channels for which an ordinary convolution with a diagonal kernel is no slower than a depthwise one
NONE = np.ones((1, 1))


def fir_filter(taps=(1, 3, 3, 1)):
    """Filter of a sum of 1: 1-D taps become their outer product, unless there are so many that two passes are cheaper.

    taps [k], [h, w] or None -> float64 array [k], [h, w] or None.
    """
    if taps is None:
        return None
    taps = np.asarray(taps, np.float64)
    if taps.ndim == 1 and len(taps) < SEPARABLE_FROM:
        taps = np.outer(taps, taps)
    return taps / taps.sum()


def upfirdn2d(x, f, up=1, down=1, pad=0, gain=1.0, flip=False):
    """Inserts zeros, pads, filters and keeps every so many pixels.

    Args:
        x: [N, H, W, C], any float type. H, W and C known.
        f: filter, see above. It is convolved with the map: turned by half a turn, then correlated.
        up: a pixel becomes up[0] x up[1] (width, height), its own value first and zeros behind it; or one number.
        down: every down[0]-th column and down[1]-th row is kept, the first always; or one number.
        pad: (left, right, top, bottom) of the map after zeros are inserted; (horizontal, vertical); or one number.
        gain: factor on the output.
        flip: correlate with the filter as it is.

    Returns:
        [N, H', W', C] of x's type, H' = floor((H * up + top + bottom - h) / down) + 1 for a filter of h rows.

    Raises:
        ValueError: nothing would be left.
    """
    f = NONE if f is None else np.asarray(f, np.float64)
    if not flip:
        f = f[::-1] if f.ndim == 1 else f[::-1, ::-1]
    (up_x, up_y), (down_x, down_y), (left, right, top, bottom) = _pair(up), _pair(down), _sides(pad)
    if f.ndim == 2:
        return _pass(x, f * gain, (up_y, up_x), (down_y, down_x), (top, bottom), (left, right))
    f = f * math.sqrt(gain)
    x = _pass(x, f[None, :], (1, up_x), (1, down_x), (0, 0), (left, right))
    return _pass(x, f[:, None], (up_y, 1), (down_y, 1), (top, bottom), (0, 0))


def filter2d(x, f, pad=0, gain=1.0, flip=False):
    """Filters without a change of size: x [N, H, W, C] -> the same shape. `pad` is beside what the filter takes.

    No network needs it; it stands here to be compared with the official operation.
    """
    height, width = _size(f)
    own = (width // 2, (width - 1) // 2, height // 2, (height - 1) // 2)
    return upfirdn2d(x, f, 1, 1, _sum(own, pad), gain, flip)


def upsample2d(x, f, up=2, pad=0, gain=1.0, flip=False):
    """Enlarges and filters: [N, H, W, C] -> [N, up * H, up * W, C], of the same brightness where `gain` is 1."""
    (height, width), (up_x, up_y) = _size(f), _pair(up)
    own = ((width + up_x - 1) // 2, (width - up_x) // 2, (height + up_y - 1) // 2, (height - up_y) // 2)
    return upfirdn2d(x, f, up, 1, _sum(own, pad), gain * up_x * up_y, flip)


def downsample2d(x, f, down=2, pad=0, gain=1.0, flip=False):
    """Filters and shrinks: [N, H, W, C] -> [N, H / down, W / down, C].

    No network needs it; it stands here to be compared with the official operation.
    """
    (height, width), (down_x, down_y) = _size(f), _pair(down)
    own = ((width - down_x + 1) // 2, (width - down_x) // 2, (height - down_y + 1) // 2, (height - down_y) // 2)
    return upfirdn2d(x, f, 1, down, _sum(own, pad), gain, flip)


def padded(x, rows, columns):
    """x [N, H, W, C] with zeros put around it, or where a number is negative with pixels cut off."""
    (top, bottom), (left, right) = rows, columns
    zeros = [[0, 0], [max(top, 0), max(bottom, 0)], [max(left, 0), max(right, 0)], [0, 0]]
    if np.any(zeros):
        x = tf.pad(x, zeros)
    if min(top, bottom, left, right) < 0:
        height, width = x.shape[1], x.shape[2]
        x = x[:, max(-top, 0) : height - max(-bottom, 0), max(-left, 0) : width - max(-right, 0)]
    return x


def _pass(x, f, up, down, rows, columns):
    """One correlation with a filter [h, w]; factors are (vertical, horizontal)."""
    outputs = [
        size * u + sum(pad) - k + 1 for size, u, pad, k in zip(x.shape[1:3], up, (rows, columns), f.shape, strict=True)
    ]
    if min(outputs) < 1:
        raise ValueError(f"a map of {x.shape[1]} x {x.shape[2]} pixels, padded, is smaller than the filter {f.shape}")
    if max(up) == 1:
        x = padded(x, rows, columns)
        return x if f.size == 1 and f.flat[0] == 1 and max(down) == 1 else _correlate(x, f, down)
    # Inserted zeros need not be filtered: a transposed convolution gives what every pixel adds to the map around it,
    # over the whole width of the filter. Padding by `pad` in place of width - 1 shows another part of that.
    x = _spread(x, f, up)
    ends = [
        (pad[0] - k + 1, output + k - 1 - pad[0] - size)
        for pad, k, output, size in zip((rows, columns), f.shape, outputs, x.shape[1:3], strict=True)
    ]
    return _decimate(padded(x, *ends), down)


def _correlate(x, f, strides):
    """Correlation of each channel with f [h, w], nothing padded."""
    if _is_dense(x, strides):
        return tf.nn.conv2d(x, _diagonal(f, x), strides, "VALID")
    if max(strides) > 1 and is_half(x):  # the gradient of the strided form takes seven times as long in bfloat16
        return _decimate(tf.nn.depthwise_conv2d(x, _stacked(f, x), (1, 1, 1, 1), "VALID"), strides)
    return tf.nn.depthwise_conv2d(x, _stacked(f, x), (1, *strides, 1), "VALID")


def _spread(x, f, strides):
    """Transposed form: [N, H, W, C] -> [N, (H - 1) * stride + h, ..., C] with the turned f [h, w] at every pixel."""
    turned = f[::-1, ::-1]
    sizes = [(size - 1) * stride + k for size, stride, k in zip(x.shape[1:3], strides, f.shape, strict=True)]
    shape = (tf.shape(x)[0], *sizes, x.shape[3])
    if _is_dense(x, strides) or is_half(x):  # there the transposed depthwise form takes three times as long
        spread = tf.nn.conv2d_transpose(x, _diagonal(turned, x), shape, strides, "VALID")
    else:
        spread = tf.nn.depthwise_conv2d_backprop_input(shape, _stacked(turned, x), x, (1, *strides, 1), "VALID")
    return tf.ensure_shape(spread, (x.shape[0], *shape[1:]))


def _decimate(x, strides):
    """Keeps every so many rows and columns. As a mean over one pixel: the gradient of a slice with steps is slow."""
    return x if max(strides) == 1 else tf.nn.avg_pool2d(x, 1, strides, "VALID")


def _is_dense(x, strides):
    """True where the depthwise kernels are slower, or are missing: for strides that differ."""
    return x.shape[3] <= DENSE_UP_TO or strides[0] != strides[1]


def is_half(x):
    """True for float16 and bfloat16."""
    return x.dtype in (tf.bfloat16, tf.float16)


def _diagonal(f, x):
    """f as the kernel of a convolution that keeps channels apart, [h, w, C, C] of x's type."""
    return tf.constant(f[:, :, None, None] * np.eye(x.shape[3]), x.dtype)


def _stacked(f, x):
    """f as a depthwise kernel, [h, w, C, 1] of x's type."""
    return tf.tile(tf.constant(f[:, :, None, None], x.dtype), (1, 1, x.shape[3], 1))


def _size(f):
    """Rows and columns of a filter."""
    shape = np.shape(NONE if f is None else f)
    return shape if len(shape) == 2 else shape * 2


def _pair(factor):
    """(horizontal, vertical) of a factor given as one number or two."""
    return (factor, factor) if np.ndim(factor) == 0 else tuple(factor)


def _sides(pad):
    """(left, right, top, bottom) of a padding given as one, two or four numbers."""
    if np.ndim(pad) == 0:
        return (pad,) * 4
    return tuple(pad) if len(pad) == 4 else (pad[0], pad[0], pad[1], pad[1])


def _sum(own, pad):
    return tuple(a + b for a, b in zip(own, _sides(pad), strict=True))
