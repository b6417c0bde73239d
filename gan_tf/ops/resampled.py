"""Convolutions that change the resolution behind an anti-aliasing filter.

An up-convolution works on the small map and filters what a transposed convolution makes of it; a down-convolution
filters first and skips what it would throw away. Both take a third of the time of one convolution with a kernel that
has the filter in it (6x6 for 3x3), on CPUs, in float32 as in bfloat16.

Source: Karras et al. 2020 (StyleGAN2), appendix B; conventions as in the official StyleGAN2-ADA program.
"""

import tensorflow as tf

from gan_tf.ops.upfirdn import padded, upfirdn2d


def resampled_conv(x, kernel, f=None, up=1, down=1, convolve=False):
    """Convolution with zero padding that makes a map `up` times larger or `down` times smaller.

    Args:
        x: [N, H, W, I], H and W known.
        kernel: [k, k, I, O], k odd; cast to x's type.
        f: filter of `ops.upfirdn`, [h, h] or None; not used where `up` and `down` are 1.
        up, down: integers, one of them 1.
        convolve: turn the kernel by half a turn, as a convolution in the strict sense does; False correlates.

    Returns:
        [N, H * up / down, W * up / down, O] of x's type.

    Raises:
        ValueError: `up` and `down` are both above 1.
    """
    kernel, size = tf.cast(kernel, x.dtype), kernel.shape[0]
    before, after = paddings(size, f, up, down)
    if up > 1 and size == 1:
        return upfirdn2d(tf.nn.conv2d(x, kernel, 1, "VALID"), f, up, pad=(before, after) * 2, gain=up**2)
    if up > 1:
        return up_conv(x, tf.transpose(kernel if convolve else turned(kernel), (0, 1, 3, 2)), f, up)
    kernel = turned(kernel) if convolve else kernel
    if down == 1:
        return tf.nn.conv2d(x, kernel, 1, "SAME")
    if size == 1:  # decimated first, since its pixels do not mix
        return tf.nn.conv2d(upfirdn2d(x, f, down=down, pad=(before, after) * 2), kernel, 1, "VALID")
    return tf.nn.conv2d(upfirdn2d(x, f, pad=(before, after) * 2), kernel, down, "VALID")


def paddings(size, f, up, down):
    """Zeros before and after a map (once zeros are inserted) that a filter and a kernel of `size` need together."""
    if up > 1 and down > 1:
        raise ValueError(f"a convolution makes a map larger or smaller, not both: got up {up} and down {down}")
    if up == down == 1:
        return size // 2, size // 2
    width = 1 if f is None else f.shape[0]
    if up > 1:
        return size // 2 + (width + up - 1) // 2, size // 2 + (width - up) // 2
    return size // 2 + (width - down + 1) // 2, size // 2 + (width - down) // 2


def turned(kernel):
    """A kernel [k, k, ...] turned by half a turn."""
    return kernel if kernel.shape[0] == 1 else tf.reverse(kernel, (0, 1))


def up_conv(x, kernel, f, up):
    """`resampled_conv` to a larger map, in the strict sense, with a kernel that is arranged for it.

    x [N, H, W, I], kernel [k, k, O, I] of x's type -> [N, H * up, W * up, O].
    """
    # What a transposed convolution makes of x has zeros inserted between its pixels, but not behind its last, and
    # k - 1 zeros around them.
    implied = kernel.shape[0] - 1
    before, after = paddings(kernel.shape[0], f, up, 1)
    pad = (before - implied, after - implied + up - 1)
    large = transposed_conv(x, kernel, up)
    if f is None:
        return padded(large, pad, pad) * tf.cast(up**2, large.dtype)
    return upfirdn2d(large, f, pad=pad * 2, gain=up**2)


def transposed_conv(x, kernel, stride):
    """Adds the kernel times every pixel to a larger map: its convolution with x between whose pixels zeros stand.

    x [N, H, W, I], kernel [k, k, O, I] -> [N, (H - 1) * stride + k, (W - 1) * stride + k, O].
    """
    size, filters = kernel.shape[0], kernel.shape[2]
    sides = [(side - 1) * stride + size for side in x.shape[1:3]]
    large = tf.nn.conv2d_transpose(x, kernel, (tf.shape(x)[0], *sides, filters), stride, "VALID")
    return tf.ensure_shape(large, (x.shape[0], *sides, filters))
