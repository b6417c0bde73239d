"""Convolutions that change the resolution behind an anti-aliasing filter.

An up-convolution works on the small map and filters what a transposed convolution makes of it; a down-convolution
filters first and skips what it would throw away. Both take a third of the time of one convolution with a kernel that
has the filter in it (6x6 for 3x3), on CPUs, in float32 as in bfloat16.

Source: Karras et al. 2020 (StyleGAN2), appendix B; conventions as in the official StyleGAN2-ADA program.
"""

import tensorflow as tf

from gan_tf.ops.upfirdn import padded, upfirdn2d


def resampled_conv(x, kernel, f=None, up=1, down=1, convolve=False, groups=1):
    """Convolution with zero padding that makes a map `up` times larger or `down` times smaller.

    Args:
        x: [N, H, W, I], H and W known.
        kernel: [k, k, I / groups, O], k odd; cast to x's type.
        f: filter of `ops.upfirdn`, [h, h] or None; not used where `up` and `down` are 1.
        up, down: integers, one of them 1.
        convolve: turn the kernel by half a turn, as a convolution in the strict sense does; False correlates.
        groups: groups of channels that do not see each other.

    Returns:
        [N, H * up / down, W * up / down, O] of x's type.
    """
    if up > 1 and down > 1:
        raise ValueError(f"a convolution makes a map larger or smaller, not both: got up {up} and down {down}")
    kernel, size = tf.cast(kernel, x.dtype), kernel.shape[0]
    width = 1 if f is None else f.shape[0]
    if up > 1:
        return _up_conv(x, kernel, f, up, (size // 2 + (width + up - 1) // 2), convolve, groups)
    if convolve:
        kernel = turned(kernel)
    if down == 1:
        return tf.nn.conv2d(x, kernel, 1, "SAME")
    before, after = size // 2 + (width - down + 1) // 2, size // 2 + (width - down) // 2
    pad = (before, after, before, after)
    if size == 1:  # decimated first, since its pixels do not mix
        return tf.nn.conv2d(upfirdn2d(x, f, down=down, pad=pad), kernel, 1, "VALID")
    return tf.nn.conv2d(upfirdn2d(x, f, pad=pad), kernel, down, "VALID")


def turned(kernel):
    """A kernel [k, k, ...] turned by half a turn."""
    return kernel if kernel.shape[0] == 1 else tf.reverse(kernel, (0, 1))


def _up_conv(x, kernel, f, up, before, convolve, groups):
    """`before` is how many zeros stand in front of the map with zeros inserted, for filter and kernel together."""
    size, width = kernel.shape[0], 1 if f is None else f.shape[0]
    height, breadth = (up * side for side in x.shape[1:3])
    if size == 1:
        after = width - 1 - before
        return upfirdn2d(tf.nn.conv2d(x, kernel, 1, "VALID"), f, up, pad=(before, after) * 2, gain=up**2)
    # Of the zeros in front, those that the kernel needs are implied in the transposed convolution.
    large = transposed_conv(x, kernel if convolve else turned(kernel), up, groups)
    first = before - (size - 1)
    last = [out - made - first + width - 1 for out, made in zip((height, breadth), large.shape[1:3], strict=True)]
    if f is None:
        return padded(large, (first, last[0]), (first, last[1])) * up**2
    return upfirdn2d(large, f, pad=(first, last[1], first, last[0]), gain=up**2)


def transposed_conv(x, kernel, stride, groups=1):
    """Adds the kernel times every pixel to the larger map: its convolution with x between whose pixels zeros stand.

    x [N, H, W, I], kernel [k, k, I / groups, O] -> [N, (H - 1) * stride + k, ..., O].
    """
    size, filters = kernel.shape[0], kernel.shape[3]
    sides = [(side - 1) * stride + size for side in x.shape[1:3]]
    if groups > 1:  # the operation is the gradient of a convolution from O to I channels, and counts them in that way
        kernel = tf.reshape(kernel, (size, size, kernel.shape[2], groups, filters // groups))
        kernel = tf.reshape(tf.transpose(kernel, (0, 1, 4, 3, 2)), (size, size, filters // groups, -1))
    else:
        kernel = tf.transpose(kernel, (0, 1, 3, 2))
    large = tf.nn.conv2d_transpose(x, kernel, (tf.shape(x)[0], *sides, filters), stride, "VALID")
    return tf.ensure_shape(large, (x.shape[0], *sides, filters))
