"""Modulated convolution: each image has its own style, a factor for every input channel of the kernel.

In the fast form the kernel is shared: what a style does to the kernel's inputs is done to the map in front of it, and
what demodulation does to its outputs to the map behind it. In the plain form every image has a kernel of its own. That
is the faster one for kernels of one pixel alone (in half the time, to three colours, on CPUs), which therefore have no
other.

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
        kernel, styles = small_kernel(kernel), small_styles(styles)
    shared = forms().shared_modulation and not kernel.shape[0] == up == down == 1
    form = _shared_kernel if shared else _own_kernels
    y = form(x, kernel, styles, demodulate, gain, {"f": f, "up": up, "down": down, "convolve": convolve})
    return y if noise is None else y + tf.cast(noise, y.dtype)


def demodulated_conv(x, convolution, squares, styles, gain=1.0):
    """The fast form with demodulation.

    Args:
        x: [N, H, W, I].
        convolution: function of a map like x, with the kernel that all images share.
        squares: [I, O], sums of that kernel's squares over its pixels.
        styles: [N, I].
        gain: factor on the output.
    """
    lengths = tf.math.rsqrt(styles**2 @ squares + EPSILON)  # [N, O], of the modulated kernel, inverted
    return convolution(x * _over_pixels(styles, x)) * _over_pixels(lengths * gain, x)


def small_kernel(kernel):
    """A kernel [k, k, I, O] times a factor for each output, after which sums of float16 do not overflow.

    Demodulation takes factors out again, which hence need no gradient.
    """
    fan_in = kernel.shape[0] * kernel.shape[1] * kernel.shape[2]
    return kernel / tf.stop_gradient(tf.reduce_max(tf.abs(kernel), (0, 1, 2)) * fan_in**0.5)


def small_styles(styles):
    """Styles [N, I] times a factor for each image, the largest 1."""
    return styles / tf.stop_gradient(tf.reduce_max(tf.abs(styles), 1, keepdims=True))


def _shared_kernel(x, kernel, styles, demodulate, gain, how):
    def convolution(x):
        return resampled_conv(x, kernel, **how)

    if demodulate:
        return demodulated_conv(x, convolution, tf.reduce_sum(kernel**2, (0, 1)), styles, gain)
    y = convolution(x * _over_pixels(styles, x))
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
    around = _surroundings(x, size, down)
    height, width, inputs = around.shape[1:]
    y = tf.reshape(around, (-1, height * width, inputs)) @ tf.reshape(own, (-1, inputs, kernel.shape[3]))
    return tf.ensure_shape(tf.reshape(y, (-1, height, width, y.shape[2])), (x.shape[0], height, width, y.shape[2]))


def _surroundings(x, size, step):
    """The size^2 pixels that a kernel sees in every `step`-th place, side by side in the channels."""
    if size == step == 1:
        return x
    height, width = (side - (side - size) % step for side in x.shape[1:3])
    taps = [
        x[:, i : height - size + 1 + i : step, j : width - size + 1 + j : step]
        for i in range(size)
        for j in range(size)
    ]
    return tf.concat(taps, axis=3)


def _over_pixels(factors, x):
    """[N, C] -> [N, 1, 1, C] of x's type."""
    return tf.cast(factors[:, None, None, :], x.dtype)
