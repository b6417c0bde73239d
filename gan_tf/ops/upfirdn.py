"""Changes of resolution with an anti-aliasing filter, alone (upfirdn) and combined with a convolution.

A filter is a constant that is known when a function is traced: a NumPy array [h, w], [taps] for one that is applied
along each axis, or None. Paddings are in pixels; negative ones crop.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), appendix B, and Zhang 2019 (Making
Convolutional Networks Shift-Invariant Again); conventions of the official StyleGAN2-ADA program.
"""

import numpy as np
import tensorflow as tf

from gan_tf.ops.activations import is_half

DENSE_UP_TO = 4  # channels up to which a convolution with a diagonal kernel is as fast as a depthwise one


def fir_filter(taps=(1, 3, 3, 1)):
    """Two-dimensional filter of sum 1: the outer product of 1-D taps [k] with themselves, float64 [k, k]."""
    return np.outer(taps, taps) / np.sum(taps) ** 2


def upfirdn2d(x, f, up=1, down=1, pad=0, gain=1.0, flip=False):
    """Inserts zeros, pads, filters and subsamples.

    Args:
        x: [N, H, W, C], any float type; H, W and C known.
        f: filter, see above; applied as a convolution, that is flipped and correlated.
        up: factor, or (horizontal, vertical): zeros are inserted after every pixel.
        down: factor, or (horizontal, vertical): every down-th column and row is kept, including the first.
        pad: of the map with inserted zeros: one number, (horizontal, vertical) or (left, right, top, bottom).
        gain: factor on the output.
        flip: correlate with the unflipped filter.

    Returns:
        [N, H', W', C] of x's type, H' = floor((H * up + top + bottom - h) / down) + 1 for a filter of h rows.

    Raises:
        ValueError: the output would be empty.
    """
    f = np.ones((1, 1)) if f is None else np.asarray(f, np.float64)
    f = np.outer(f, f) if f.ndim == 1 else f
    f = (f if flip else f[::-1, ::-1]) * gain
    up, down = (np.broadcast_to(factor, 2)[::-1].tolist() for factor in (up, down))  # vertical, horizontal
    left, right, top, bottom = pad if np.size(pad) == 4 else np.repeat(np.broadcast_to(pad, 2), 2)
    pads = ((top, bottom), (left, right))
    outputs = [side * u + sum(p) - k + 1 for side, u, p, k in zip(x.shape[1:3], up, pads, f.shape, strict=True)]
    if min(outputs) < 1:
        raise ValueError(f"a padded map of {x.shape[1]} x {x.shape[2]} pixels is smaller than the filter {f.shape}")
    if max(up) == 1:
        x = padded(x, *pads)
        return x if f.size == 1 and f[0, 0] == 1 and max(down) == 1 else _correlate(x, f, down)
    # A transposed convolution gives the filtered map without the inserted zeros, with k - 1 pixels of padding. Crop
    # or pad the rest.
    x = _transposed_filter(x, f, up)
    ends = [
        (p[0] - k + 1, output + k - 1 - p[0] - side)
        for p, k, output, side in zip(pads, f.shape, outputs, x.shape[1:3], strict=True)
    ]
    return _subsample(padded(x, *ends), down)


def upsample2d(x, f, up=2):
    """Upsamples by an integer factor: [N, H, W, C] -> [N, up * H, up * W, C] of the same brightness."""
    width = len(f)
    return upfirdn2d(x, f, up, pad=((width + up - 1) // 2, (width - up) // 2) * 2, gain=up**2)


def padded(x, rows, columns):
    """x [N, H, W, C] with (before, after) zeros around rows and columns; negative numbers crop."""
    (top, bottom), (left, right) = rows, columns
    zeros = [[0, 0], [max(top, 0), max(bottom, 0)], [max(left, 0), max(right, 0)], [0, 0]]
    if np.any(zeros):
        x = tf.pad(x, zeros)
    if min(top, bottom, left, right) < 0:
        height, width = x.shape[1], x.shape[2]
        x = x[:, max(-top, 0) : height - max(-bottom, 0), max(-left, 0) : width - max(-right, 0)]
    return x


def resampled_conv(x, kernel, f=None, up=1, down=1, convolve=False):
    """Convolution with zero padding to a map `up` times larger or `down` times smaller, with a filter.

    Up: a transposed convolution, then the filter on its output. Down: the filter, then a strided convolution. Either
    takes a third of the time of a single convolution with the combined kernel (6x6 for 3x3) on CPUs.

    Args:
        x: [N, H, W, I], H and W known.
        kernel: [k, k, I, O], k odd; cast to x's type.
        f: filter [h, h] or None; not used where `up` and `down` are 1.
        up, down: integers, at least one of them 1.
        convolve: flip the kernel, as a convolution in the mathematical sense; False correlates.

    Returns:
        [N, H * up / down, W * up / down, O] of x's type.

    Raises:
        ValueError: `up` and `down` are both above 1.
    """
    kernel, size = tf.cast(kernel, x.dtype), kernel.shape[0]
    pad = paddings(size, f, up, down) * 2
    if up > 1 and size == 1:
        return upfirdn2d(tf.nn.conv2d(x, kernel, 1, "VALID"), f, up, pad=pad, gain=up**2)
    if up > 1:
        return filtered_up_conv(x, tf.transpose(kernel if convolve else _flipped(kernel), (0, 1, 3, 2)), f, up)
    kernel = _flipped(kernel) if convolve else kernel
    if down == 1:
        return tf.nn.conv2d(x, kernel, 1, "SAME")
    if size == 1:  # subsample first, since the kernel does not mix pixels
        return tf.nn.conv2d(upfirdn2d(x, f, down=down, pad=pad), kernel, 1, "VALID")
    return tf.nn.conv2d(upfirdn2d(x, f, pad=pad), kernel, down, "VALID")


def paddings(size, f, up, down):
    """(before, after): padding of a map with inserted zeros for a filter and a kernel of `size` pixels."""
    if up > 1 and down > 1:
        raise ValueError(f"a convolution resamples either up or down, got up {up} and down {down}")
    if up == down == 1:
        return size // 2, size // 2
    width = 1 if f is None else len(f)
    if up > 1:
        return size // 2 + (width + up - 1) // 2, size // 2 + (width - up) // 2
    return size // 2 + (width - down + 1) // 2, size // 2 + (width - down) // 2


def filtered_up_conv(x, kernel, f, up):
    """`resampled_conv` to a larger map with `convolve` and a kernel in transposed arrangement.

    x [N, H, W, I], kernel [k, k, O, I] of x's type -> [N, H * up, W * up, O].
    """
    size, filters = kernel.shape[0], kernel.shape[2]
    sides = [(side - 1) * up + size for side in x.shape[1:3]]
    large = tf.nn.conv2d_transpose(x, kernel, (tf.shape(x)[0], *sides, filters), up, "VALID")
    large = tf.ensure_shape(large, (x.shape[0], *sides, filters))
    # The output has k - 1 pixels of padding, and no zeros after the last pixel.
    before, after = paddings(size, f, up, 1)
    pad = (before - size + 1, after - size + up)
    if f is None:
        return padded(large, pad, pad) * tf.cast(up**2, large.dtype)
    return upfirdn2d(large, f, pad=pad * 2, gain=up**2)


def _flipped(kernel):
    """A kernel [k, k, ...] rotated by 180 degrees."""
    return kernel if kernel.shape[0] == 1 else tf.reverse(kernel, (0, 1))


def _correlate(x, f, strides):
    """Correlation of each channel with f [h, w], without padding."""
    if _is_dense(x, strides):
        return tf.nn.conv2d(x, _diagonal(f, x), strides, "VALID")
    if max(strides) > 1 and is_half(x):  # the gradient of the strided form takes seven times as long in bfloat16
        return _subsample(tf.nn.depthwise_conv2d(x, _depthwise(f, x), (1, 1, 1, 1), "VALID"), strides)
    return tf.nn.depthwise_conv2d(x, _depthwise(f, x), (1, *strides, 1), "VALID")


def _transposed_filter(x, f, strides):
    """Transposed convolution of each channel: [N, H, W, C] -> [N, (H - 1) * stride + h, ..., C]."""
    f = f[::-1, ::-1]
    sizes = [(size - 1) * stride + k for size, stride, k in zip(x.shape[1:3], strides, f.shape, strict=True)]
    shape = (tf.shape(x)[0], *sizes, x.shape[3])
    if _is_dense(x, strides) or is_half(x):  # the transposed depthwise form takes three times as long in bfloat16
        y = tf.nn.conv2d_transpose(x, _diagonal(f, x), shape, strides, "VALID")
    else:
        y = tf.nn.depthwise_conv2d_backprop_input(shape, _depthwise(f, x), x, (1, *strides, 1), "VALID")
    return tf.ensure_shape(y, (x.shape[0], *shape[1:]))


def _subsample(x, strides):
    """Every stride-th row and column, by average pooling of one pixel: the gradient of a strided slice is slow."""
    return x if max(strides) == 1 else tf.nn.avg_pool2d(x, 1, strides, "VALID")


def _is_dense(x, strides):
    """True where depthwise kernels are slower, or missing (different strides)."""
    return x.shape[3] <= DENSE_UP_TO or strides[0] != strides[1]


def _diagonal(f, x):
    """f as the kernel of a convolution that keeps channels separate, [h, w, C, C] of x's type."""
    return tf.constant(f[:, :, None, None] * np.eye(x.shape[3]), x.dtype)


def _depthwise(f, x):
    """f as a depthwise kernel, [h, w, C, 1] of x's type."""
    return tf.tile(tf.constant(f[:, :, None, None], x.dtype), (1, 1, x.shape[3], 1))
