"""Layers with reproducible initial values and a folded form for inference: batch norm, noise and spectral norm."""

import math

import keras
import tensorflow as tf

from gan_tf.ops.forms import forms
from gan_tf.ops.normalisation import (
    fused_batch_norm,
    running_batch_norm,
    scale_and_shift,
    spectral_normalise,
    synchronised_batch_norm,
)
from gan_tf.ops.resample import transposed_taps, up_convolution, uses_transposed_form
from gan_tf.rng import stream_key, unit_normal

MOMENTUM = 0.1  # weight of the new batch in batch norm's running statistics
SPECTRAL_STDDEV = 0.02  # spectral norm divides it out, but it determines how fast Adam changes the kernel


class Seeded:
    """Mixin for layers and networks: arguments for sub-layers, and variables whose type Keras does not cast.

    Args:
        seed: of the initial values, which do not depend on other layers or on networks that were built before.
        folded: build for inference alone. A folded layer holds its weights as `call` multiplies by them (normalised,
            scaled, arranged, cast to the compute type), with the batch norm after it contained in kernel and bias.
            `fold_weights(weights)` computes them from the weights {attribute path: tensor} of the trainable layer.
    """

    def __init__(self, seed=0, folded=False, **kwargs):
        super().__init__(**kwargs)
        self.seed, self.folded = seed, folded

    def part(self, name):
        """Constructor arguments of the sub-layer `name`."""
        return {"seed": stream_key(self.seed, name), "folded": self.folded, "dtype": self.dtype_policy}

    def weight(self, name, shape, initializer="zeros", **options):
        """Creates a variable."""
        return self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False, **options)

    def normal(self, name, shape, mean=0.0, stddev=1.0, **options):
        """Creates a variable with normally distributed initial values."""
        return self.weight(name, shape, normal_initializer(self.seed, name, mean, stddev), **options)


class SeededLayer(Seeded, keras.layers.Layer):
    """Layer with the arguments of `Seeded`."""


class ExactLayer(SeededLayer):
    """Layer that computes in the type of its input, whatever its policy says.

    A discriminator can thus compute its penalties in float32 in a bfloat16 run.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)


def normal_initializer(seed: int, name: str, mean=0.0, stddev=1.0):
    """Returns a Keras initializer that draws N(mean, stddev^2) from the stream `name` of `seed`."""

    def initialise(shape, dtype=None):
        key = tf.constant([stream_key(seed, name), 0], tf.int64)
        return tf.cast(mean + stddev * unit_normal(shape, key), dtype or tf.float32)

    return initialise


def unit_initializer(seed: int, name: str):
    """Returns a Keras initializer that draws a uniformly distributed vector of length 1."""

    def initialise(shape, dtype=None):
        draw = normal_initializer(seed, name)(shape, tf.float32)
        return tf.cast(draw / tf.norm(draw), dtype or tf.float32)

    return initialise


def sub_weights(weights, name):
    """Weights {attribute path: value} of the part `name`, with paths relative to it."""
    return {path.removeprefix(f"{name}/"): value for path, value in weights.items() if path.startswith(f"{name}/")}


class BatchNorm(SeededLayer):
    """Batch norm over N, H, W with running statistics for evaluation.

    Call: x [N, H, W, C] -> the same shape and type. Statistics are computed in float32, over the global batch if there
    are several replicas. The running variance is the unbiased estimate.
    Folded, it holds `shift` [C] alone; the convolution before it contains the factor.
    Source: Ioffe and Szegedy 2015; initial values of the official FastGAN code.
    """

    def build(self, shape):
        channels = (shape[-1],)
        if self.folded:
            self.shift = self.weight("shift", channels)
            return
        self.gamma = self.normal("gamma", channels, mean=1.0, stddev=0.02)
        self.beta = self.weight("beta", channels)
        # Every replica computes the same statistics.
        fixed = {"trainable": False, "aggregation": "only_first_replica"}
        self.moving_mean = self.weight("moving_mean", channels, **fixed)
        self.moving_variance = self.weight("moving_variance", channels, "ones", **fixed)

    def call(self, x, training=False):
        gamma, beta = self.gamma.value, self.beta.value
        if not training:
            return running_batch_norm(x, gamma, beta, self.moving_mean.value, self.moving_variance.value)
        if forms().fused_batch_norm and _replicas() == 1 and x.dtype != tf.float64:  # the kernel has no float64
            y, mean, variance = fused_batch_norm(x, gamma, beta)
        else:
            y, mean, variance = synchronised_batch_norm(x, gamma, beta, tf.identity(self.moving_mean.value))
        for running, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            running.assign(running.value + MOMENTUM * (tf.stop_gradient(batch) - running.value))
        return y

    def fold_weights(self, weights):
        """Stores the shift of a trained layer {name: array} and returns its factor [C]."""
        scale, shift = scale_and_shift(**weights)
        self.shift.assign(shift)
        return scale


def _replicas() -> int:
    replica = tf.distribute.get_replica_context()
    if replica is None:
        raise RuntimeError("batch norm in training mode needs a replica context: call the network in strategy.run")
    return replica.num_replicas_in_sync


class NoiseInjection(SeededLayer):
    """Adds noise of learned strength, zero at first.

    Call: x [N, H, W, C], noise [N, H, W, 1] or None (nothing is added) -> tensor like x.
    Folded, it holds one strength per channel, since the factor of the batch norm after it differs per channel.
    Source: Karras et al. 2019 (StyleGAN), with one strength for all channels.
    """

    def build(self, shape):
        self.strength = self.add_weight(
            name="strength", shape=(shape[-1],) if self.folded else (1,), initializer="zeros", autocast=not self.folded
        )

    def call(self, x, noise=None):
        return x if noise is None else x + self.strength * noise

    def fold_weights(self, weights, scale):
        """Stores a trained strength times the factor `scale` [C] of the batch norm after it."""
        self.strength.assign(weights["strength"] * scale)


class KernelLayer(SeededLayer):
    """Layer with a variable `kernel`."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def up_shape(self, shape):
        """Shape of the kernel of a 3x3 up-convolution of maps [N, H, W, I]."""
        if self.folded and uses_transposed_form(shape[1]):
            return 4, 4, self.filters, shape[-1]
        return 3, 3, shape[-1], self.filters

    def add_folded_kernel(self, shape):
        """Creates the kernel of a folded layer, in the compute type."""
        self.kernel = self.weight("kernel", shape, dtype=self.compute_dtype)

    def assign_folded_kernel(self, kernel):
        """Stores a float32 kernel in the arrangement of the trainable layer as `call` uses it."""
        if kernel.shape != self.kernel.shape:  # of an up-convolution in its transposed form
            kernel = transposed_taps(kernel)
        self.kernel.assign(tf.cast(kernel, self.kernel.dtype))


class SpectralLayer(KernelLayer):
    """Layer without bias whose kernel is divided by an estimate of its largest singular value.

    Sub-classes call `add_kernel` in `build` and `normalised_kernel` in `call`.
    Source: Miyato et al. 2018.
    """

    def add_kernel(self, *shape):
        """Creates `kernel` [*shape] (output channels last) and the spectral vectors `u` [O] and `v` [other entries]."""
        if self.folded:
            self.add_folded_kernel(shape)
            return
        self.kernel = self.normal("kernel", shape, stddev=SPECTRAL_STDDEV)
        self.u = self._spectral_vector("u", shape[-1])
        self.v = self._spectral_vector("v", math.prod(shape[:-1]))

    def normalised_kernel(self, training=False):
        """kernel / sigma in float32; a training call updates u and v by one power iteration."""
        if self.folded:
            return self.kernel.value
        kernel, u, v = spectral_normalise(self.kernel.value, self.u.value, self.v.value, training)
        if training:
            self.u.assign(u)
            self.v.assign(v)
        return kernel

    def fold_weights(self, weights, scale=1.0):
        """Stores a trained layer's kernel, multiplied by `scale`: a number or [filters], of the batch norm after it."""
        kernel, _, _ = spectral_normalise(weights["kernel"], weights["u"], weights["v"], training=False)
        self.assign_folded_kernel(kernel * scale)

    def _spectral_vector(self, name, size):
        initial = unit_initializer(self.seed, name)
        # Every replica computes the same value.
        return self.weight(name, (size,), initial, trainable=False, aggregation="only_first_replica")


class SpectralConv(SpectralLayer):
    """Convolution with spectral norm.

    Call: x [N, H, W, I] -> [N, H / strides, W / strides, filters] for "SAME" (with stride 2 for even H and W:
    PyTorch's padding of 1), [N, H - kernel_size + 1, ...] for "VALID".
    """

    def __init__(self, filters, kernel_size, strides=1, padding="SAME", **kwargs):
        super().__init__(filters, **kwargs)
        self.kernel_size, self.strides, self.padding = kernel_size, strides, padding

    def build(self, shape):
        self.add_kernel(self.kernel_size, self.kernel_size, shape[-1], self.filters)

    def call(self, x, training=False):
        kernel = tf.cast(self.normalised_kernel(training), self.compute_dtype)
        return tf.nn.conv2d(x, kernel, self.strides, self.padding)


class SpectralUpConv(SpectralLayer):
    """Nearest upsampling by 2, then a 3x3 convolution with spectral norm.

    Call: x [N, H, W, I] -> [N, 2H, 2W, filters].
    """

    def build(self, shape):
        self.add_kernel(*self.up_shape(shape))

    def call(self, x, training=False):
        return up_convolution(x, self.normalised_kernel(training), self.compute_dtype)


class SpectralStem(SpectralLayer):
    """Maps latents to 4x4 pixels: a 4x4 transposed convolution of a single pixel, computed as a matrix product.

    Call: z [N, Z] -> [N, 4, 4, filters].
    """

    def build(self, shape):
        self.add_kernel(shape[-1], 4, 4, self.filters)

    def call(self, z, training=False):
        kernel = tf.cast(self.normalised_kernel(training), self.compute_dtype)
        return tf.reshape(z @ tf.reshape(kernel, (z.shape[-1], -1)), (-1, 4, 4, self.filters))
