"""Modulated convolution: each image has its own style, a factor for every input channel of the kernel.

In the fast form the kernel is shared: what a style does to the kernel's inputs is done to the map in front of it, and
what demodulation does to its outputs to the map behind it. In the plain form every image has a kernel of its own.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), section 2.2, equations 1 to 3.
"""

import tensorflow as tf

from gan_tf.ops.forms import forms
from gan_tf.ops.resampled import paddings, resampled_conv
from gan_tf.ops.upfirdn import upfirdn2d

EPSILON = 1e-8


def modulated_conv(
    x, kernel, styles, f=None, up=1, down=1, demodulate=True, noise=None, convolve=False, gain=1.0, normalise=None
):
    """Convolution whose kernel is multiplied by the image's style, then brought to unit length for each output.

    Args:
        x: [N, H, W, I], computed in its type; H and W known.
        kernel: [k, k, I, O].
        styles: [N, I]. Kernel and styles at least float32, and so are the factors of demodulation.
        f, up, down, convolve: as for `resampled_conv`.
        demodulate: divide by the length of the modulated kernel, which makes outputs of unit spread of inputs of unit
            spread, whatever the scale of kernel and styles.
        noise: added to the output, [N or 1, H', W', 1], or None.
        gain: factor on what the convolution gives, but not on noise.
        normalise: bring kernel and styles to a size at which no sum overflows; has no effect but by rounding, and only
            with `demodulate`. None: in float16.

    Returns:
        [N, H', W', O] of x's type.
    """
    if demodulate and (x.dtype == tf.float16 if normalise is None else normalise):
        kernel, styles = _without_overflow(kernel, styles)
    form = _shared_kernel if forms().shared_modulation else _own_kernels
    y = form(x, kernel, styles, demodulate, gain, {"f": f, "up": up, "down": down, "convolve": convolve})
    return y if noise is None else y + tf.cast(noise, y.dtype)


def demodulation(kernel, styles):
    """1 / length of the modulated kernel of each output: kernel [k, k, I, O], styles [N, I] -> [N, O]."""
    return tf.math.rsqrt(styles**2 @ tf.reduce_sum(kernel**2, (0, 1)) + EPSILON)


def _shared_kernel(x, kernel, styles, demodulate, gain, how):
    y = resampled_conv(x * _over_pixels(styles, x), kernel, **how)
    if demodulate:
        return y * _over_pixels(demodulation(kernel, styles) * gain, x)
    return y if gain == 1 else y * tf.cast(gain, y.dtype)


def _own_kernels(x, kernel, styles, demodulate, gain, how):
    """Spelled out: filter, every pixel's surroundings as one vector, its product with the image's own kernel."""
    f, up, down, size = how["f"], how["up"], how["down"], kernel.shape[0]
    own = kernel * styles[:, None, None, :, None]  # [N, k, k, I, O]
    if demodulate:
        own *= tf.math.rsqrt(tf.reduce_sum(own**2, (1, 2, 3), keepdims=True) + EPSILON)
    own = tf.cast(own * gain, x.dtype)
    own = tf.reverse(own, (1, 2)) if how["convolve"] else own
    pad = paddings(size, f, up, down) * 2
    x = upfirdn2d(x, None if up == down == 1 else f, up, pad=pad, gain=up**2)
    height, width = ((side - size) // down + 1 for side in x.shape[1:3])
    rows, columns = (height - 1) * down + 1, (width - 1) * down + 1
    taps = [x[:, i : i + rows : down, j : j + columns : down] for i in range(size) for j in range(size)]
    around = tf.reshape(tf.concat(taps, axis=3), (-1, height * width, size**2 * x.shape[3]))
    filters = kernel.shape[3]
    y = around @ tf.reshape(own, (-1, size**2 * x.shape[3], filters))
    return tf.ensure_shape(tf.reshape(y, (-1, height, width, filters)), (x.shape[0], height, width, filters))


def _without_overflow(kernel, styles):
    """Kernel and styles with entries of at most 1 / sqrt(fan in) and 1; demodulation takes the factors out again."""
    fan_in = kernel.shape[0] * kernel.shape[1] * kernel.shape[2]
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(kernel), (0, 1, 2)))
    kernel = kernel / (largest * fan_in**0.5)
    return kernel, styles / tf.stop_gradient(tf.reduce_max(tf.abs(styles), 1, keepdims=True))


def _over_pixels(factors, x):
    """[N, C] -> [N, 1, 1, C] of x's type."""
    return tf.cast(factors[:, None, None, :], x.dtype)
