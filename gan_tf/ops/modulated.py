"""Modulated convolution: each image scales the input channels of the kernel by its own style.

The fast form uses one kernel for the whole batch: styles scale the input maps, and demodulation scales the output maps.
The plain form uses one kernel per image. For 1x1 kernels the plain form is faster (half the time to three colour
channels on CPUs) and always used.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), section 2.2, equations 1 to 3.
"""

import tensorflow as tf

from gan_tf.ops.forms import forms
from gan_tf.ops.upfirdn import paddings, resampled_conv, upfirdn2d

EPSILON = 1e-8


def modulated_conv(
    x, kernel, styles, f=None, up=1, down=1, demodulate=True, noise=None, convolve=False, gain=1.0, normalise=None
):
    """Convolution whose kernel is multiplied by the image's style and scaled to unit length for each output channel.

    Args:
        x: [N, H, W, I], computed in its type; H and W known.
        kernel: [k, k, I, O].
        styles: [N, I]. Kernel, styles and the factors of demodulation are at least float32.
        f, up, down, convolve: as for `resampled_conv`.
        demodulate: divide by the length of the modulated kernel, which preserves unit variance whatever the scale of
            kernel and styles.
        noise: added to the output, [N or 1, H', W', 1], or None.
        gain: factor on the output of the convolution, before noise is added.
        normalise: scale kernel and styles so that no float16 sum overflows; changes only rounding, and only with
            `demodulate`. None: if x is float16.

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
        squares: [I, O], sums of the squares of that kernel over its pixels.
        styles: [N, I].
        gain: factor on the output.
    """
    inverse_lengths = tf.math.rsqrt(styles**2 @ squares + EPSILON)  # [N, O], of the modulated kernel
    return convolution(x * _per_channel(styles, x)) * _per_channel(inverse_lengths * gain, x)


def small_kernel(kernel):
    """A kernel [k, k, I, O] divided by a number per output channel so that float16 sums do not overflow.

    Demodulation removes such factors again, hence they need no gradient.
    """
    fan_in = kernel.shape[0] * kernel.shape[1] * kernel.shape[2]
    return kernel / tf.stop_gradient(tf.reduce_max(tf.abs(kernel), (0, 1, 2)) * fan_in**0.5)


def small_styles(styles):
    """Styles [N, I] divided by the largest absolute value of each image."""
    return styles / tf.stop_gradient(tf.reduce_max(tf.abs(styles), 1, keepdims=True))


def _shared_kernel(x, kernel, styles, demodulate, gain, options):
    def convolution(x):
        return resampled_conv(x, kernel, **options)

    if demodulate:
        return demodulated_conv(x, convolution, tf.reduce_sum(kernel**2, (0, 1)), styles, gain)
    y = convolution(x * _per_channel(styles, x))
    return y if gain == 1 else y * tf.cast(gain, y.dtype)


def _own_kernels(x, kernel, styles, demodulate, gain, options):
    """The plain form: filter, then multiply the neighbourhood of every pixel by the image's own kernel."""
    f, up, down, size = options["f"], options["up"], options["down"], kernel.shape[0]
    own = kernel * styles[:, None, None, :, None]  # [N, k, k, I, O]
    if demodulate:
        own *= tf.math.rsqrt(tf.reduce_sum(own**2, (1, 2, 3), keepdims=True) + EPSILON)
    own = tf.cast(own * gain, x.dtype)
    own = tf.reverse(own, (1, 2)) if options["convolve"] else own
    pad = paddings(size, f, up, down) * 2
    x = upfirdn2d(x, None if up == down == 1 else f, up, pad=pad, gain=up**2)
    patches = _patches(x, size, down)
    height, width, inputs = patches.shape[1:]
    y = tf.reshape(patches, (-1, height * width, inputs)) @ tf.reshape(own, (-1, inputs, kernel.shape[3]))
    return tf.ensure_shape(tf.reshape(y, (-1, height, width, y.shape[2])), (x.shape[0], height, width, y.shape[2]))


def _patches(x, size, step):
    """The size x size pixels under a kernel at every `step`-th position, concatenated along the channels."""
    if size == step == 1:
        return x
    height, width = (side - (side - size) % step for side in x.shape[1:3])
    taps = [
        x[:, i : height - size + 1 + i : step, j : width - size + 1 + j : step]
        for i in range(size)
        for j in range(size)
    ]
    return tf.concat(taps, axis=3)


def _per_channel(factors, x):
    """[N, C] -> [N, 1, 1, C] of x's type."""
    return tf.cast(factors[:, None, None, :], x.dtype)
