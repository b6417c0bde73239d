"""Changes of resolution with an anti-aliasing filter: alone (upfirdn), with a convolution, and modulated by a style.

A filter is a constant when a function is traced: a NumPy array [h, w], an array [taps] that is applied along each axis,
or None. Paddings are in pixels; negative ones crop.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), section 2.2 and appendix B, and
Zhang 2019 (Making Convolutional Networks Shift-Invariant Again); conventions of the official StyleGAN2-ADA program.
"""

import numpy as np
import tensorflow as tf

from gan_tf.ops.activations import is_half
from gan_tf.ops.forms import forms
from gan_tf.ops.normalisation import EPSILON

DENSE_UP_TO = 4  # channels up to which a convolution with a diagonal kernel is as fast as a depthwise one


def fir_filter(taps=(1, 3, 3, 1)):
    """Two-dimensional filter of sum 1: the outer product of 1-D taps [k] with themselves, float64 [k, k]."""
    return np.outer(taps, taps) / np.sum(taps) ** 2


def upfirdn2d(x, f, up=1, down=1, pad=0, gain=1.0, flip=False):
    """Inserts zeros, pads, filters and subsamples.

    Args:
        x: [N, H, W, C], any float type; H, W and C known.
        f: filter, see above; convolved in the mathematical sense, that is flipped and correlated.
        up: factor, or (horizontal, vertical): zeros are inserted after every pixel.
        down: factor, or (horizontal, vertical): every down-th column and row is kept, including the first.
        pad: padding of the map with inserted zeros: a number, (horizontal, vertical) or (left, right, top, bottom).
        gain: factor on the output.
        flip: correlate with the unflipped filter.

    Returns:
        [N, H', W', C] of x's type, H' = floor((H * up + top + bottom - h) / down) + 1 for a filter of h rows.
    """
    f = np.ones((1, 1)) if f is None else np.asarray(f, np.float64)
    f = np.outer(f, f) if f.ndim == 1 else f
    f = (f if flip else f[::-1, ::-1]) * gain
    up, down = (np.broadcast_to(factor, 2)[::-1].tolist() for factor in (up, down))  # vertical, horizontal
    left, right, top, bottom = pad if np.size(pad) == 4 else np.repeat(np.broadcast_to(pad, 2), 2)
    pads = ((top, bottom), (left, right))
    outputs = [side * u + sum(p) - k + 1 for side, u, p, k in zip(x.shape[1:3], up, pads, f.shape, strict=True)]
    if max(up) == 1:
        x = padded(x, *pads)
        return x if f.size == 1 and f[0, 0] == 1 and max(down) == 1 else _correlate(x, f, down)
    # A transposed convolution gives the filtered map with k - 1 pixels of padding. Crop or pad the rest.
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
        kernel: [k, k, I, O], k odd.
        f: filter [h, h] or None; not used where `up` and `down` are 1.
        up, down: integers, at least one of them 1.
        convolve: flip the kernel, as a convolution in the mathematical sense; False correlates.

    Returns:
        [N, H * up / down, W * up / down, O] of x's type.
    """
    kernel, size = tf.cast(kernel, x.dtype), kernel.shape[0]
    pad = paddings(size, f, up, down) * 2
    if up > 1 and size == 1:
        return upfirdn2d(tf.nn.conv2d(x, kernel, 1, "VALID"), f, up, pad=pad, gain=up**2)
    # TensorFlow correlates, and convolves where it transposes.
    if convolve == (up == 1) and size > 1:
        kernel = tf.reverse(kernel, (0, 1))
    if up > 1:
        return filtered_up_conv(x, tf.transpose(kernel, (0, 1, 3, 2)), f, up)
    if down == 1:
        return tf.nn.conv2d(x, kernel, 1, "SAME")
    if size == 1:  # subsample first, since the kernel does not mix pixels
        return tf.nn.conv2d(upfirdn2d(x, f, down=down, pad=pad), kernel, 1, "VALID")
    return tf.nn.conv2d(upfirdn2d(x, f, pad=pad), kernel, down, "VALID")


def paddings(size, f, up, down):
    """(before, after): padding of a map with inserted zeros for a filter and a kernel of `size` pixels."""
    around, width = size // 2, 1 if f is None else len(f)
    if up > 1:
        return around + (width + up - 1) // 2, around + (width - up) // 2
    if down > 1:
        return around + (width - down + 1) // 2, around + (width - down) // 2
    return around, around


def filtered_up_conv(x, kernel, f, up):
    """`resampled_conv` to a larger map, with `convolve=True` and the last two axes of the kernel exchanged.

    x [N, H, W, I], kernel [k, k, O, I] of x's type -> [N, H * up, W * up, O].
    """
    size, filters = kernel.shape[0], kernel.shape[2]
    sides = [(side - 1) * up + size for side in x.shape[1:3]]
    large = tf.nn.conv2d_transpose(x, kernel, (tf.shape(x)[0], *sides, filters), up, "VALID")
    large = tf.ensure_shape(large, (x.shape[0], *sides, filters))
    # The output has k - 1 pixels of padding, and no zeros after the last pixel.
    before, after = paddings(size, f, up, 1)
    pad = (before - size + 1, after - size + up)
    return upfirdn2d(large, f, pad=pad * 2, gain=up**2)


def modulated_conv(x, kernel, styles, f=None, up=1, down=1, demodulate=True, noise=None, convolve=False, gain=1.0):
    """Convolution whose kernel is multiplied by the image's style and scaled to unit length for each output channel.

    The fast form uses one kernel for the whole batch: styles scale the input maps, demodulation scales the output maps.
    The plain form uses one kernel per image. For 1x1 kernels it takes half the time on CPUs, so it is always used.

    Args:
        x: [N, H, W, I], computed in its type; H and W known.
        kernel: [k, k, I, O].
        styles: [N, I]. Kernel and styles are at least float32, and so are the factors of demodulation.
        f, up, down, convolve: as for `resampled_conv`.
        demodulate: divide by the length of the modulated kernel, which preserves unit variance whatever the scale of
            kernel and styles. In float16 both are first made small enough that no sum overflows.
        noise: added to the output, [N or 1, H', W', 1], or None.
        gain: factor on the output of the convolution, before noise is added.

    Returns:
        [N, H', W', O] of x's type.
    """
    if demodulate and x.dtype == tf.float16:
        kernel, styles = small_kernel(kernel), small_styles(styles)

    def convolution(x):
        return resampled_conv(x, kernel, f, up, down, convolve)

    is_small = kernel.shape[0] == up == down == 1
    if not (forms().shared_small_modulation if is_small else forms().shared_modulation):
        y = _own_kernels(x, kernel, styles, f, up, down, demodulate, convolve, gain)
    elif demodulate:
        y = demodulated_conv(x, convolution, tf.reduce_sum(kernel**2, (0, 1)), styles, gain)
    else:
        y = convolution(x * _per_channel(styles, x)) * tf.cast(gain, x.dtype)
    return y if noise is None else y + tf.cast(noise, y.dtype)


def demodulated_conv(x, convolution, squares, styles, gain=1.0):
    """The fast form of `modulated_conv` with demodulation: x [N, H, W, I], styles [N, I].

    `convolution` is a function of a map like x, with the kernel that all images share; `squares` [I, O] are the sums
    of that kernel's squares over its pixels.
    """
    inverse_lengths = tf.math.rsqrt(styles**2 @ squares + EPSILON)  # [N, O], of the modulated kernel
    return convolution(x * _per_channel(styles, x)) * _per_channel(inverse_lengths * gain, x)


def small_kernel(kernel):
    """A kernel [k, k, I, O] divided by a number per output channel so that float16 sums do not overflow.

    Demodulation cancels such factors, so they need no gradient.
    """
    fan_in = kernel.shape[0] * kernel.shape[1] * kernel.shape[2]
    return kernel / tf.stop_gradient(tf.reduce_max(tf.abs(kernel), (0, 1, 2)) * fan_in**0.5)


def small_styles(styles):
    """Styles [N, I] divided by the largest absolute value of each image."""
    return styles / tf.stop_gradient(tf.reduce_max(tf.abs(styles), 1, keepdims=True))


def _own_kernels(x, kernel, styles, f, up, down, demodulate, convolve, gain):
    """The plain form: filter, then multiply the neighbourhood of every pixel by the image's own kernel."""
    size = kernel.shape[0]
    own = kernel * styles[:, None, None, :, None]  # [N, k, k, I, O]
    if demodulate:
        own *= tf.math.rsqrt(tf.reduce_sum(own**2, (1, 2, 3), keepdims=True) + EPSILON)
    own = tf.cast(own * gain, x.dtype)
    own = tf.reverse(own, (1, 2)) if convolve else own
    x = upfirdn2d(x, None if up == down == 1 else f, up, pad=paddings(size, f, up, down) * 2, gain=up**2)
    if not size == down == 1:  # the pixels under the kernel at every `down`-th position, as channels
        height, width = (side - size + 1 - (side - size) % down for side in x.shape[1:3])
        taps = [x[:, i : height + i : down, j : width + j : down] for i in range(size) for j in range(size)]
        x = tf.concat(taps, axis=3)
    count, height, width, inputs = x.shape
    y = tf.reshape(x, (-1, height * width, inputs)) @ tf.reshape(own, (-1, inputs, kernel.shape[3]))
    return tf.ensure_shape(tf.reshape(y, (-1, height, width, y.shape[2])), (count, height, width, y.shape[2]))


def _per_channel(factors, x):
    """[N, C] -> [N, 1, 1, C] of x's type."""
    return tf.cast(factors[:, None, None, :], x.dtype)


def _correlate(x, f, strides):
    """Correlation of each channel with f [h, w], without padding."""
    if _is_dense(x, strides):
        return tf.nn.conv2d(x, _kernel(f, x, np.eye(x.shape[3])), strides, "VALID")
    kernel = _kernel(f, x, np.ones((x.shape[3], 1)))
    if max(strides) > 1 and is_half(x):  # the gradient of the strided form takes seven times as long in bfloat16
        return _subsample(tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "VALID"), strides)
    return tf.nn.depthwise_conv2d(x, kernel, (1, *strides, 1), "VALID")


def _transposed_filter(x, f, strides):
    """Transposed convolution of each channel: [N, H, W, C] -> [N, (H - 1) * stride + h, ..., C]."""
    f = f[::-1, ::-1]
    sizes = [(size - 1) * stride + k for size, stride, k in zip(x.shape[1:3], strides, f.shape, strict=True)]
    shape = (tf.shape(x)[0], *sizes, x.shape[3])
    if _is_dense(x, strides) or is_half(x):  # the transposed depthwise form takes three times as long in bfloat16
        y = tf.nn.conv2d_transpose(x, _kernel(f, x, np.eye(x.shape[3])), shape, strides, "VALID")
    else:
        kernel = _kernel(f, x, np.ones((x.shape[3], 1)))
        y = tf.nn.depthwise_conv2d_backprop_input(shape, kernel, x, (1, *strides, 1), "VALID")
    return tf.ensure_shape(y, (x.shape[0], *shape[1:]))


def _subsample(x, strides):
    """Every stride-th row and column, by average pooling of one pixel: the gradient of a strided slice is slow."""
    return x if max(strides) == 1 else tf.nn.avg_pool2d(x, 1, strides, "VALID")


def _is_dense(x, strides):
    """True where depthwise operations are slower, or do not exist (different strides)."""
    return x.shape[3] <= DENSE_UP_TO or strides[0] != strides[1]


def _kernel(f, x, channels):
    """f [h, w] as a kernel of x's type: [h, w, C, C] with `channels` the identity, depthwise [h, w, C, 1] with ones."""
    return tf.constant(f[:, :, None, None] * channels, x.dtype)
