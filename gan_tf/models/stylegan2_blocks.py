"""Building blocks of the StyleGAN2 networks.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), sections 2 and 4 and appendix B,
with the details of the official StyleGAN2-ADA program.
"""

import math

import keras
import tensorflow as tf

from gan_tf.models.block import ExactBlock
from gan_tf.models.stylegan2_mapping import StyleDense, StyleLayer
from gan_tf.ops.bias_act import ACTIVATIONS, bias_act, clamped
from gan_tf.ops.equalised import EqualisedConv, append_minibatch_stddev, at_least_float32, biased
from gan_tf.ops.layers import leaky_relu
from gan_tf.ops.modulated import modulated_conv
from gan_tf.ops.resampled import resampled_conv
from gan_tf.ops.upfirdn import fir_filter

FILTER = fir_filter((1, 3, 3, 1))
GAIN = ACTIVATIONS["lrelu"][1]  # of the leaky ReLU; put into what is in front of it, with which it commutes
CONST = "const"  # noise that a generator has of its own, the same in every image


@keras.saving.register_keras_serializable("gan_tf")
class StyledConv(StyleLayer):
    """Modulated 3x3 convolution, noise, bias and leaky ReLU.

    Call: x [N, H, W, I], w [N, W], noise -> [N, up * H, up * W, filters] of x's type.
        noise: [N, up * H, up * W, 1], "const" for the layer's own map, None for none.

    Args:
        filters: output channels.
        up: 1, or 2 for twice the size.
        clamp: limit of the output, None for none.
    """

    def __init__(self, filters, up=1, clamp=None, seed=0, **kwargs):
        super().__init__(seed, **kwargs)
        self.filters = filters
        self.up = up
        self.clamp = clamp

    def build(self, shape, w_size=None):
        _, height, width, channels = shape
        self.affine = StyleDense(channels, first_bias=1.0, **self.part("affine"))
        self.affine.build((None, w_size))
        self.kernel = self.normal("kernel", (3, 3, channels, self.filters))
        self.bias = self.weight("bias", (self.filters,))
        self.noise_strength = self.weight("noise_strength", ())
        self.noise = self.normal("noise", (self.up * height, self.up * width), trainable=False)

    def call(self, x, w, noise=None):
        styles = self.affine(w)
        added = self.scaled_noise(noise, GAIN)
        x = modulated_conv(x, self.kernel.value, styles, FILTER, self.up, noise=added, convolve=self.up > 1, gain=GAIN)
        return clamped(leaky_relu(biased(x, self.bias.value * GAIN)), self.clamp)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "up": self.up, "clamp": self.clamp}

    def scaled_noise(self, noise, gain=1.0):
        """What is added to the map, [N or 1, H, W, 1], or None: the noise times its strength and `gain`.

        Raises:
            ValueError: it is a word other than "const".
        """
        if noise is None:
            return None
        if isinstance(noise, str):
            if noise != CONST:
                raise ValueError(f"noise is a list of maps, {CONST!r} or None, got {noise!r}")
            noise = self.noise.value[None, :, :, None]
        return tf.cast(noise, self.variable_dtype) * (self.noise_strength.value * gain)


@keras.saving.register_keras_serializable("gan_tf")
class ToRgb(StyleLayer):
    """Modulated 1x1 convolution to colours, without demodulation.

    Call: x [N, H, W, I], w [N, W] -> [N, H, W, 3], at least float32.
    """

    def __init__(self, clamp=None, seed=0, **kwargs):
        super().__init__(seed, **kwargs)
        self.clamp = clamp

    def build(self, shape, w_size=None):
        channels = shape[-1]
        self.affine = StyleDense(channels, first_bias=1.0, **self.part("affine"))
        self.affine.build((None, w_size))
        self.kernel = self.normal("kernel", (1, 1, channels, 3))
        self.bias = self.weight("bias", (3,))

    def call(self, x, w):
        styles = self.affine(w) / math.sqrt(x.shape[-1])
        x = modulated_conv(x, self.kernel.value, styles, demodulate=False)
        return at_least_float32(clamped(biased(x, self.bias.value), self.clamp))

    def get_config(self):
        return {**super().get_config(), "clamp": self.clamp}


@keras.saving.register_keras_serializable("gan_tf")
class FilteredConv(EqualisedConv):
    """Convolution with equalised learning rate, activation and clamp; the discriminator's.

    Call: x [N, H, W, I] -> [N, H / down, W / down, filters].

    Args:
        filters, kernel_size: of the kernel.
        down: 1, or 2 for half the size, behind the filter.
        activation: "linear" or "lrelu".
        gain: factor on the output, beside the activation's own.
        clamp: limit of the output, which `gain` multiplies; None for none.
    """

    def __init__(
        self, filters, kernel_size, down=1, activation="lrelu", gain=1.0, clamp=None, use_bias=True, seed=0, **kwargs
    ):
        super().__init__(filters, kernel_size, gain, use_bias, seed, **kwargs)
        self.down = down
        self.activation = activation
        self.clamp = clamp

    def build(self, shape):
        super().build(shape)
        self.own_gain = ACTIVATIONS[self.activation][1]

    def call(self, x):
        x = resampled_conv(x, self.scaled_kernel() * self.own_gain, FILTER, down=self.down)
        bias = None if self.bias is None else self.bias.value * (self.gain * self.own_gain)
        clamp = None if self.clamp is None else self.clamp * self.gain
        return bias_act(x, bias, self.activation, gain=1, clamp=clamp)

    def get_config(self):
        own = {"down": self.down, "activation": self.activation, "clamp": self.clamp}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("gan_tf")
class ResidualBlock(ExactBlock):
    """Halves the size: two convolutions, and beside them one of 1x1 pixels if `residual`; both halves of unit spread.

    Call: x [N, H, W, I] -> [N, H / 2, W / 2, filters].
    """

    def __init__(self, filters, residual=True, clamp=None, seed=0, **kwargs):
        super().__init__(filters, seed, **kwargs)
        self.residual = residual
        self.clamp = clamp
        gain = math.sqrt(0.5) if residual else 1.0
        self.down = FilteredConv(filters, 3, 2, gain=gain, clamp=clamp, **self.part("down"))
        self.skip = None
        if residual:
            self.skip = FilteredConv(filters, 1, 2, "linear", gain=gain, use_bias=False, **self.part("skip"))

    def build(self, shape):
        self.conv = FilteredConv(shape[-1], 3, clamp=self.clamp, **self.part("conv"))
        for layer in (self.conv, self.down, *([self.skip] if self.residual else [])):
            layer.build(shape)

    def call(self, x):
        y = self.down(self.conv(x))
        return y + self.skip(x) if self.residual else y

    def get_config(self):
        return {**super().get_config(), "residual": self.residual, "clamp": self.clamp}


@keras.saving.register_keras_serializable("gan_tf")
class Head(ExactBlock):
    """Judges maps of 4x4 pixels, with the spread of groups of images beside them.

    Call: x [N, 4, 4, I] -> [N, filters].

    Args:
        filters: outputs for each image.
        group: images whose spread is measured together, at most.
        statistics: channels that tell the spread, 0 to leave it out.
    """

    def __init__(self, filters, group=4, statistics=1, clamp=None, seed=0, **kwargs):
        super().__init__(filters, seed, **kwargs)
        self.group = group
        self.statistics = statistics
        self.clamp = clamp
        self.to_logits = StyleDense(filters, **self.part("to_logits"))

    def build(self, shape):
        channels = shape[-1]
        self.conv = FilteredConv(channels, 3, clamp=self.clamp, **self.part("conv"))
        self.conv.build((None, 4, 4, channels + self.statistics))
        self.dense = StyleDense(channels, "lrelu", **self.part("dense"))
        self.dense.build((None, 4 * 4 * channels))
        self.to_logits.build((None, channels))

    def call(self, x):
        if self.statistics:
            x = append_minibatch_stddev(x, self.group, self.statistics)
        x = self.conv(x)
        return self.to_logits(self.dense(tf.reshape(x, (-1, self.dense.kernel.shape[0]))))

    def get_config(self):
        own = {"group": self.group, "statistics": self.statistics, "clamp": self.clamp}
        return {**super().get_config(), **own}
