"""Spectrally normalised convolutions, noise injection and activations."""

import keras
import tensorflow as tf

from gan_tf.ops.forms import forms
from gan_tf.ops.initial import normal_initializer, unit_initializer
from gan_tf.ops.normalisation import spectral_normalise
from gan_tf.ops.resample import up_convolution
from gan_tf.ops.upfirdn import is_half

LEAK = 0.2
KERNEL_STDDEV = 0.02  # divided out by spectral norm, but it sets how fast Adam turns the kernel


def leaky_relu(x):
    """x, or 0.2 x where x is negative."""
    return tf.nn.leaky_relu(x, LEAK)


def swish(x):
    """x * sigmoid(x)."""
    return x * tf.sigmoid(x)


def glu(x):
    """Gated linear unit: the first half of the channels times the sigmoid of the second.

    x [..., 2C] -> [..., C]. Source: Dauphin et al. 2017.
    """
    return _lean_glu(x) if forms().lean_glu else plain_glu(x)


def plain_glu(x):
    """`glu` as separate operations."""
    values, gates = tf.split(x, 2, axis=-1)
    return values * tf.sigmoid(gates)


@tf.custom_gradient
def _lean_glu(x):
    """`glu` whose sigmoid is taken in float32, since a bfloat16 sigmoid is slow on CPUs, and kept for the gradient.

    As fast as the chain compiled by XLA, without 10 s of compilation in front of the first step.
    """
    values, gates = tf.split(x, 2, axis=-1)
    opening = tf.cast(tf.sigmoid(tf.cast(gates, tf.float32)), x.dtype) if is_half(x) else tf.sigmoid(gates)

    def gradient(slopes):
        to_values = slopes * opening
        return tf.concat([to_values, to_values * values * (1 - opening)], axis=-1)

    return values * opening, gradient


class SpectralLayer(keras.layers.Layer):
    """Owns a kernel and the spectral vectors `u` and `v` that estimate its largest singular value.

    Sub-classes call `add_kernel` in `build` and `normalised_kernel` in `call`. There is no bias.
    """

    def __init__(self, filters, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.seed = seed

    def add_kernel(self, *shape):
        """Creates `kernel` [*shape] (output channels last), `u` [shape[-1]] and `v` [the other entries]."""
        rows = 1
        for size in shape[:-1]:
            rows *= size
        normal = normal_initializer(self.seed, "kernel", stddev=KERNEL_STDDEV)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=normal, autocast=False)
        self.u = self._vector("u", shape[-1])
        self.v = self._vector("v", rows)

    def normalised_kernel(self, training):
        """kernel / sigma in float32; a training call moves u and v by one power iteration."""
        kernel, u, v = spectral_normalise(self.kernel.value, self.u.value, self.v.value, training)
        if training:
            self.u.assign(u)
            self.v.assign(v)
        return kernel

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "seed": self.seed}

    def _vector(self, name, size):
        return self.add_weight(
            name=name,
            shape=(size,),
            initializer=unit_initializer(self.seed, name),
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",  # every replica computes the same value
        )


@keras.saving.register_keras_serializable("gan_tf")
class SpectralConv(SpectralLayer):
    """Convolution without bias.

    Call: x [N, H, W, I] -> [N, H / strides, W / strides, filters] for "SAME" (even H and W when strides is 2: PyTorch's
    padding of 1), [N, H - kernel_size + 1, ...] for "VALID".
    Source: Miyato et al. 2018.
    """

    def __init__(self, filters, kernel_size, strides=1, padding="SAME", seed=0, **kwargs):
        super().__init__(filters, seed, **kwargs)
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding

    def build(self, shape):
        self.add_kernel(self.kernel_size, self.kernel_size, shape[-1], self.filters)

    def call(self, x, training=False):
        kernel = tf.cast(self.normalised_kernel(training), self.compute_dtype)
        return tf.nn.conv2d(x, kernel, self.strides, self.padding)

    def get_config(self):
        own = {"kernel_size": self.kernel_size, "strides": self.strides, "padding": self.padding}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("gan_tf")
class SpectralUpConv(SpectralLayer):
    """Nearest upsampling by 2, then a 3x3 convolution without bias.

    Call: x [N, H, W, I] -> [N, 2H, 2W, filters].
    """

    def build(self, shape):
        self.add_kernel(3, 3, shape[-1], self.filters)

    def call(self, x, training=False):
        return up_convolution(x, self.normalised_kernel(training), self.compute_dtype)


@keras.saving.register_keras_serializable("gan_tf")
class SpectralStem(SpectralLayer):
    """Turns latents into a 4x4 map: a 4x4 transposed convolution of a 1x1 map, which is a matrix product.

    Call: z [N, Z] -> [N, 4, 4, filters].
    """

    def build(self, shape):
        self.add_kernel(shape[-1], 4, 4, self.filters)

    def call(self, z, training=False):
        kernel = tf.cast(self.normalised_kernel(training), self.compute_dtype)
        return tf.reshape(z @ tf.reshape(kernel, (z.shape[-1], -1)), (-1, 4, 4, self.filters))


@keras.saving.register_keras_serializable("gan_tf")
class NoiseInjection(keras.layers.Layer):
    """Adds noise of learned strength, zero at first.

    Call: x [N, H, W, C], noise [N, H, W, 1] or None (nothing is added) -> like x.
    Source: Karras et al. 2019 (StyleGAN), with one strength for all channels.
    """

    def build(self, shape):
        self.strength = self.add_weight(name="strength", shape=(1,), initializer="zeros")

    def call(self, x, noise=None):
        return x if noise is None else x + self.strength * noise
