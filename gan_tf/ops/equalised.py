"""Layers with equalised learning rate for Progressive GAN and StyleGAN2; they compute in the type of their input.

Source: Karras et al. 2018 (Progressive Growing of GANs), section 4.1.
"""

import math

import tensorflow as tf

from gan_tf.ops.activations import biased
from gan_tf.ops.layers import KernelLayer
from gan_tf.ops.resample import down_convolution, up_convolution

HE_GAIN = math.sqrt(2)  # of a layer that is followed by a leaky ReLU


class EqualisedLayer(KernelLayer):
    """Layer whose kernel has unit variance at first and is multiplied by gain / sqrt(fan in) in `call`.

    Adam's steps do not depend on the size of a gradient, so it trains all layers equally fast.
    """

    def __init__(self, filters, gain=HE_GAIN, use_bias=True, **kwargs):
        super().__init__(filters, autocast=False, **kwargs)
        self.gain, self.use_bias = gain, use_bias

    def add_kernel(self, *shape, fan_in):
        """Creates `kernel` [*shape], N(0, 1), and `bias` [filters], zero, or None; `fan_in`: inputs per output."""
        super().add_kernel(*shape)
        self.scale = self.gain / math.sqrt(fan_in)
        self.bias = self.weight("bias", (self.filters,)) if self.use_bias else None

    def scaled_kernel(self):
        """kernel * gain / sqrt(fan in); folded, the stored kernel, which is already scaled."""
        return self.kernel.value if self.folded else self.kernel.value * self.scale

    def add_bias(self, x):
        """x [..., filters] plus the bias, in x's type."""
        return x if self.bias is None else biased(x, tf.convert_to_tensor(self.bias.value))

    def fold_weights(self, weights, scale=1.0, bias=None):
        """Stores a trained layer's kernel, multiplied by `scale` (a number or [filters]), and its bias or `bias`."""
        self.assign_folded_kernel(weights["kernel"] * self.scale * scale)
        if self.bias is not None:
            self.bias.assign(weights["bias"] if bias is None else bias)


class EqualisedConv(EqualisedLayer):
    """Convolution with zero padding: x [N, H, W, I] -> [N, H, W, filters]."""

    def __init__(self, filters, kernel_size, gain=HE_GAIN, use_bias=True, **kwargs):
        super().__init__(filters, gain, use_bias, **kwargs)
        self.kernel_size = kernel_size

    def build(self, shape):
        size = self.kernel_size
        self.add_kernel(size, size, shape[-1], self.filters, fan_in=size**2 * shape[-1])

    def call(self, x):
        return self.add_bias(tf.nn.conv2d(x, tf.cast(self.scaled_kernel(), x.dtype), 1, "SAME"))


class EqualisedUpConv(EqualisedLayer):
    """Nearest upsampling by 2, then a 3x3 convolution with zero padding: x [N, H, W, I] -> [N, 2H, 2W, filters]."""

    def build(self, shape):
        self.add_kernel(*self.up_shape(shape), fan_in=9 * shape[-1])

    def call(self, x):
        return self.add_bias(up_convolution(x, self.scaled_kernel()))


class EqualisedDownConv(EqualisedLayer):
    """3x3 convolution with zero padding, then 2x2 average pooling: x [N, H, W, I] -> [N, H / 2, W / 2, filters]."""

    def build(self, shape):
        self.add_kernel(3, 3, shape[-1], self.filters, fan_in=9 * shape[-1])

    def call(self, x):
        return self.add_bias(down_convolution(x, self.scaled_kernel()))


class EqualisedStem(EqualisedLayer):
    """Maps latents to the first map by a matrix product: z [N, Z] -> [N, *base, filters]."""

    def __init__(self, filters, gain=HE_GAIN, base=(4, 4), **kwargs):
        super().__init__(filters, gain, **kwargs)
        self.base = base

    def build(self, shape):
        self.add_kernel(shape[-1], *self.base, self.filters, fan_in=shape[-1])

    def call(self, z):
        kernel = tf.reshape(tf.cast(self.scaled_kernel(), z.dtype), (z.shape[-1], -1))
        return self.add_bias(tf.reshape(z @ kernel, (-1, *self.base, self.filters)))


class EqualisedDense(EqualisedLayer):
    """Matrix product: x [N, I] -> [N, filters]."""

    def build(self, shape):
        self.add_kernel(shape[-1], self.filters, fan_in=shape[-1])

    def call(self, x):
        return self.add_bias(x @ tf.cast(self.scaled_kernel(), x.dtype))
