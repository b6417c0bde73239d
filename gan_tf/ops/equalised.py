"""Layers with equalised learning rate, pixel norm and minibatch standard deviation, as Progressive GAN has them.

An equalised layer keeps its kernel at unit variance and scales it on use by gain / sqrt(fan in), so that Adam, whose
steps do not depend on the size of a gradient, turns all layers equally fast. A layer computes in the type of its input,
whatever its policy says: a discriminator can then be asked for float32 in the middle of a bfloat16 run.

Source: Karras et al. 2018 (Progressive Growing of GANs), sections 3, 4.1 and 4.2.
"""

import math

import keras
import tensorflow as tf

from gan_tf.ops.initial import normal_initializer
from gan_tf.ops.resample import down_convolution, up_convolution

GAIN = math.sqrt(2)  # He's, for a layer with a leaky ReLU behind it
EPSILON = 1e-8
GROUP = 4  # images whose spread is measured together


class EqualisedLayer(keras.layers.Layer):
    """Owns `kernel`, N(0, 1) at first, and `bias` [filters], zero at first, or None.

    Sub-classes call `add_kernel` in `build`, `scaled_kernel` and `add_bias` in `call`.
    """

    def __init__(self, filters, gain=GAIN, use_bias=True, seed=0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.filters = filters
        self.gain = gain
        self.use_bias = use_bias
        self.seed = seed

    def add_kernel(self, *shape, fan_in):
        """Creates `kernel` [*shape] and the bias; `fan_in` is the number of inputs of one output value."""
        self.scale = self.gain / math.sqrt(fan_in)
        normal = normal_initializer(self.seed, "kernel")
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=normal, autocast=False)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros", autocast=False)

    def scaled_kernel(self):
        """kernel * gain / sqrt(fan in), in the type of the weights."""
        return self.kernel.value * self.scale

    def add_bias(self, x):
        """x [..., filters] plus the bias, in x's type."""
        return x if self.bias is None else biased(x, tf.convert_to_tensor(self.bias.value))

    def get_config(self):
        own = {"filters": self.filters, "gain": self.gain, "use_bias": self.use_bias, "seed": self.seed}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("gan_tf")
class EqualisedConv(EqualisedLayer):
    """Convolution with zero padding.

    Call: x [N, H, W, I] -> [N, H, W, filters].
    """

    def __init__(self, filters, kernel_size, gain=GAIN, use_bias=True, seed=0, **kwargs):
        super().__init__(filters, gain, use_bias, seed, **kwargs)
        self.kernel_size = kernel_size

    def build(self, shape):
        size = self.kernel_size
        self.add_kernel(size, size, shape[-1], self.filters, fan_in=size**2 * shape[-1])

    def call(self, x):
        return self.add_bias(tf.nn.conv2d(x, tf.cast(self.scaled_kernel(), x.dtype), 1, "SAME"))

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable("gan_tf")
class EqualisedUpConv(EqualisedLayer):
    """Nearest upsampling by 2, then a 3x3 convolution with zero padding.

    Call: x [N, H, W, I] -> [N, 2H, 2W, filters].
    """

    def build(self, shape):
        self.add_kernel(3, 3, shape[-1], self.filters, fan_in=9 * shape[-1])

    def call(self, x):
        return self.add_bias(up_convolution(x, self.scaled_kernel(), x.dtype))


@keras.saving.register_keras_serializable("gan_tf")
class EqualisedDownConv(EqualisedLayer):
    """3x3 convolution with zero padding, then the mean of every 2x2 pixels.

    Call: x [N, H, W, I], H and W even -> [N, H / 2, W / 2, filters].
    """

    def build(self, shape):
        self.add_kernel(3, 3, shape[-1], self.filters, fan_in=9 * shape[-1])

    def call(self, x):
        return self.add_bias(down_convolution(x, self.scaled_kernel(), x.dtype))


@keras.saving.register_keras_serializable("gan_tf")
class EqualisedStem(EqualisedLayer):
    """Turns latents into a map of 4x4 pixels by a matrix product.

    Call: z [N, Z] -> [N, 4, 4, filters].
    """

    def build(self, shape):
        self.add_kernel(shape[-1], 4, 4, self.filters, fan_in=shape[-1])

    def call(self, z):
        kernel = tf.reshape(tf.cast(self.scaled_kernel(), z.dtype), (z.shape[-1], -1))
        return self.add_bias(tf.reshape(z @ kernel, (-1, 4, 4, self.filters)))


@keras.saving.register_keras_serializable("gan_tf")
class EqualisedDense(EqualisedLayer):
    """Matrix product.

    Call: x [N, I] -> [N, filters].
    """

    def build(self, shape):
        self.add_kernel(shape[-1], self.filters, fan_in=shape[-1])

    def call(self, x):
        return self.add_bias(x @ tf.cast(self.scaled_kernel(), x.dtype))


@tf.custom_gradient
def biased(x, bias):
    """x [..., C] plus bias [C], in x's type.

    The bias's gradient is a matrix product, whose sums are taken in float32. TensorFlow's own sums bfloat16 in
    bfloat16 on the CPU, and stalls as soon as a sum is 256 times a summand.
    """

    def gradient(slopes):
        rows = tf.reshape(slopes, (-1, slopes.shape[-1]))
        ones = tf.ones((1, tf.shape(rows)[0]), rows.dtype)
        return slopes, tf.cast((ones @ rows)[0], bias.dtype)

    return tf.nn.bias_add(x, tf.cast(bias, x.dtype)), gradient


def pixel_norm(x):
    """Divides the channels of every pixel by their root mean square, taken in float32.

    x [..., C] -> the same shape and type. Source: Karras et al. 2018, section 4.2.
    """
    exact = at_least_float32(x)
    mean = tf.reduce_mean(exact**2, axis=-1, keepdims=True)
    return tf.cast(exact * tf.math.rsqrt(mean + EPSILON), x.dtype)


def append_minibatch_stddev(x, group=GROUP, statistics=1):
    """Adds channels that tell how much an image differs from the others of its group.

    A group is 4 images, say (or as many as the largest divisor of N below that), at equal distances in the batch: image
    i and i + N/4, i + 2N/4, i + 3N/4. Rows i, i + k, ... of a batch, which a replica or a micro-batch holds, then form
    the groups that they form in the whole batch.

    Args:
        x: [N, H, W, C], N known, C a multiple of `statistics`.
        group: images of a group at most; None puts the whole batch into one.
        statistics: channels to add. Each is of its own share of the channels, of consecutive ones.

    Returns:
        [N, H, W, C + statistics] of x's type. A last channel is one number for each group: the standard deviation over
        the group, averaged over pixels and the channels of its share.

    Source: Karras et al. 2018, section 3; groups as in the official code.
    """
    count, height, width, channels = x.shape
    if count is None:
        raise ValueError("minibatch standard deviation needs a batch of known size")
    size = max(divisor for divisor in range(1, (group or count) + 1) if count % divisor == 0)
    share = channels // statistics
    groups = tf.reshape(at_least_float32(x), (size, count // size, height, width, statistics, share))
    variance = tf.math.reduce_variance(groups, axis=0)  # [N / size, H, W, statistics, share]
    spread = tf.reduce_mean(tf.sqrt(variance + EPSILON), axis=[1, 2, 4])[:, None, None]  # [N / size, 1, 1, statistics]
    spread = tf.tile(tf.cast(spread, x.dtype), (size, height, width, 1))
    return tf.concat([x, spread], axis=-1)


def at_least_float32(x):
    """x in float32, or as it is where that has more digits."""
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)
