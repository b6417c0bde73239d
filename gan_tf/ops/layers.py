"""Layers with reproducible initial values and a folded form for inference: batch norm, noise and spectral norm."""

import math

import keras
import tensorflow as tf

from gan_tf.ops.forms import forms
from gan_tf.ops.normalisation import BATCH_NORM_EPSILON, scale_and_shift, spectral_normalise, synchronised_batch_norm
from gan_tf.ops.resample import transposed_taps, up_convolution, uses_transposed_form
from gan_tf.rng import stream_key, unit_normal, unit_uniform

MOMENTUM = 0.1  # weight of the new batch in batch norm's running statistics


class Seeded:
    """Mixin for layers and networks: arguments for sub-layers, and variables whose type Keras does not cast.

    Args:
        seed: of the initial values, which do not depend on other layers or on networks that were built before.
        folded: build for inference alone. A folded layer stores its weights in the form that `call` multiplies by:
            normalised, scaled, arranged, cast to the compute type; kernel and bias contain the batch norm after it.
            `fold_weights` computes them from the weights {attribute path: tensor} of the trainable layer.
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

        def initialise(shape, dtype):
            return tf.cast(mean + stddev * self.random(name, shape), dtype)

        return self.weight(name, shape, initialise, **options)

    def uniform(self, name, shape, bound, **options):
        """Creates a variable with initial values that are uniform in [-bound, bound)."""

        def initialise(shape, dtype):
            values = unit_uniform(shape, tf.constant([stream_key(self.seed, name), 0], tf.int64))
            return tf.cast(bound * (2.0 * values - 1.0), dtype)

        return self.weight(name, shape, initialise, **options)

    def random(self, name, shape):
        """Standard normal float32 numbers from the stream `name`."""
        return unit_normal(shape, tf.constant([stream_key(self.seed, name), 0], tf.int64))

    def fold_parts(self, weights, *names):
        """Stores weights of the trainable layer in the folded attributes `names`: layers, lists of layers, or None."""
        for name in names:
            part = getattr(self, name)
            if isinstance(part, list):
                for i, layer in enumerate(part):
                    layer.fold_weights(sub_weights(weights, f"{name}/{i}"))
            elif part is not None:
                part.fold_weights(sub_weights(weights, name))


class SeededLayer(Seeded, keras.layers.Layer):
    """Layer with the arguments of `Seeded`."""


class ExactLayer(SeededLayer):
    """Layer that computes in the type of its input, so that a discriminator can compute penalties in float32."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)


def sub_weights(weights, name):
    """Weights {attribute path: value} of the part `name`, with paths relative to it."""
    return {path.removeprefix(f"{name}/"): value for path, value in weights.items() if path.startswith(f"{name}/")}


class BatchNorm(SeededLayer):
    """Batch norm over N, H, W with running statistics for evaluation.

    Call: x [N, H, W, C] -> tensor like x. Statistics are computed in float32, over the global batch; the running
    variance is the unbiased estimate. Folded, it has `shift` [C] alone, and the convolution before it contains the
    factor. Source: Ioffe and Szegedy 2015; initial values of the official FastGAN code.

    Args:
        torch_initial: initial factors of 1, as in PyTorch's layer, instead of random ones near 1.
    """

    def __init__(self, torch_initial=False, **kwargs):
        super().__init__(**kwargs)
        self.stddev = 0.0 if torch_initial else 0.02

    def build(self, shape):
        channels = (shape[-1],)
        if self.folded:
            self.shift = self.weight("shift", channels)
            return
        self.gamma = self.normal("gamma", channels, mean=1.0, stddev=self.stddev)
        self.beta = self.weight("beta", channels)
        # Every replica computes the same statistics.
        fixed = {"trainable": False, "aggregation": "only_first_replica"}
        self.moving_mean = self.weight("moving_mean", channels, **fixed)
        self.moving_variance = self.weight("moving_variance", channels, "ones", **fixed)

    def call(self, x, training=False):
        gamma, beta = self.gamma.value, self.beta.value
        if not training:
            scale, shift = scale_and_shift(gamma, beta, self.moving_mean.value, self.moving_variance.value)
            return tf.cast(tf.cast(x, scale.dtype) * scale + shift, x.dtype)
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        if forms().fused_batch_norm and replicas == 1 and x.dtype != tf.float64:  # the kernel has no float64
            y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=BATCH_NORM_EPSILON, is_training=True
            )
        else:
            y, mean, variance = synchronised_batch_norm(x, gamma, beta, tf.identity(self.moving_mean.value))
        for running, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            running.value.assign_add(MOMENTUM * (batch - running.value))
        return y

    def fold_weights(self, weights):
        """Stores the shift of a trained layer {name: array} and returns its factor [C]."""
        scale, shift = scale_and_shift(**weights)
        self.shift.assign(shift)
        return scale


class NoiseInjection(SeededLayer):
    """Adds noise with a learned strength, zero at first.

    Call: x [N, H, W, C], noise [N, H, W, 1] or None -> tensor like x. All channels share one strength, as in the
    official FastGAN; folded, each has its own, multiplied by the factor of the batch norm after it. Source: Karras et
    al. 2019 (StyleGAN), section 2.
    """

    def build(self, shape):
        strengths = (shape[-1],) if self.folded else (1,)
        self.strength = self.add_weight(name="strength", shape=strengths, initializer="zeros", autocast=not self.folded)

    def call(self, x, noise=None):
        return x if noise is None else x + self.strength * noise

    def fold_weights(self, weights, scale):
        """Stores a trained strength times the factor `scale` [C] of the batch norm after it."""
        self.strength.assign(weights["strength"] * scale)


class KernelLayer(SeededLayer):
    """Layer with a variable `kernel`, which sub-classes create by `add_kernel` in `build`."""

    STDDEV = 1.0  # of the initial kernel

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def add_kernel(self, *shape):
        """Creates `kernel` [*shape], normally distributed; in a folded layer zeros of the compute type."""
        if self.folded:
            self.kernel = self.weight("kernel", shape, dtype=self.compute_dtype)
        else:
            self.kernel = self.initial_kernel(shape)

    def initial_kernel(self, shape):
        """Creates the variable of a trainable layer."""
        return self.normal("kernel", shape, stddev=self.STDDEV)

    def up_shape(self, shape):
        """Shape of the kernel of a 3x3 up-convolution of maps [N, H, W, I]."""
        if self.folded and uses_transposed_form(shape[1]):
            return 4, 4, self.filters, shape[-1]
        return 3, 3, shape[-1], self.filters

    def assign_folded_kernel(self, kernel):
        """Stores a float32 kernel in the arrangement of the trainable layer as `call` uses it."""
        if kernel.shape != self.kernel.shape:  # of an up-convolution in its transposed form
            kernel = transposed_taps(kernel)
        self.kernel.assign(tf.cast(kernel, self.kernel.dtype))


class SpectralLayer(KernelLayer):
    """Layer whose kernel is divided by an estimate of its largest singular value: Miyato et al. 2018.

    Args:
        torch_initial: initial kernel as in PyTorch's layers, uniform up to 1 / sqrt(fan in), instead of normal. Its
            scale has no effect on the output; it determines how fast Adam changes the normalised kernel.
    """

    STDDEV = 0.02

    def __init__(self, filters, torch_initial=False, **kwargs):
        super().__init__(filters, **kwargs)
        self.torch_initial = torch_initial

    def add_kernel(self, *shape):
        """Creates `kernel` [*shape] (output channels last) and the spectral vectors `u` [O] and `v` [other entries]."""
        super().add_kernel(*shape)
        if not self.folded:
            self.u = self._spectral_vector("u", shape[-1])
            self.v = self._spectral_vector("v", math.prod(shape[:-1]))

    def initial_kernel(self, shape):
        if self.torch_initial:
            return self.uniform("kernel", shape, self.fan_in(shape) ** -0.5)
        return super().initial_kernel(shape)

    def fan_in(self, shape):
        """Inputs of an output, by the shape of the kernel."""
        return math.prod(shape[:-1])

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
        """Stores a trained layer's kernel times `scale`, a number or [filters], of the batch norm after it."""
        kernel, _, _ = spectral_normalise(weights["kernel"], weights["u"], weights["v"], training=False)
        self.assign_folded_kernel(kernel * scale)

    def _spectral_vector(self, name, size):
        """A variable [size], at first a random vector of length 1; every replica computes the same updates."""

        def initialise(shape, dtype):
            vector = self.random(name, shape)
            return tf.cast(vector / tf.norm(vector), dtype)

        return self.weight(name, (size,), initialise, trainable=False, aggregation="only_first_replica")


class SpectralConv(SpectralLayer):
    """Convolution with spectral norm, and with `use_bias` a bias.

    Call: x [N, H, W, I] -> [N, H / strides, W / strides, filters] for "SAME" (PyTorch's padding of 1 for a 4x4 kernel,
    stride 2 and even sizes), [N, H - kernel_size + 1, ...] for "VALID". kernel_size: one number, or (rows, columns).
    """

    def __init__(self, filters, kernel_size, strides=1, padding="SAME", use_bias=False, **kwargs):
        super().__init__(filters, **kwargs)
        self.kernel_size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        self.strides, self.padding, self.use_bias = strides, padding, use_bias

    def build(self, shape):
        self.add_kernel(*self.kernel_size, shape[-1], self.filters)
        if self.use_bias:
            self.bias = self.uniform("bias", (self.filters,), (math.prod(self.kernel_size) * shape[-1]) ** -0.5)

    def call(self, x, training=False):
        kernel = tf.cast(self.normalised_kernel(training), self.compute_dtype)
        x = tf.nn.conv2d(x, kernel, self.strides, self.padding)
        return x + tf.cast(self.bias.value, x.dtype) if self.use_bias else x

    def fold_weights(self, weights, scale=1.0):
        super().fold_weights(weights, scale)
        if self.use_bias:
            self.bias.assign(weights["bias"])


class SpectralUpConv(SpectralLayer):
    """Nearest upsampling by 2, then a 3x3 convolution with spectral norm: x [N, H, W, I] -> [N, 2H, 2W, filters]."""

    def build(self, shape):
        self.add_kernel(*self.up_shape(shape))

    def call(self, x, training=False):
        return up_convolution(x, self.normalised_kernel(training))


class SpectralStem(SpectralLayer):
    """Maps latents to the first map by a matrix product with spectral norm: z [N, Z] -> [N, *base, filters]."""

    def __init__(self, filters, base=(4, 4), **kwargs):
        super().__init__(filters, **kwargs)
        self.base = base

    def build(self, shape):
        self.add_kernel(shape[-1], *self.base, self.filters)

    def fan_in(self, shape):
        return math.prod(shape[1:])  # as PyTorch computes it for a transposed convolution

    def call(self, z, training=False):
        kernel = tf.cast(self.normalised_kernel(training), self.compute_dtype)
        return tf.reshape(z @ tf.reshape(kernel, (z.shape[-1], -1)), (-1, *self.base, self.filters))
