"""Building blocks of the StyleGAN2 networks: mapping network, styled convolutions, discriminator blocks.

Folding does all work that does not depend on styles once: kernels are scaled, arranged and cast, and their squares are
summed for demodulation.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), sections 2 and 4 and appendix B, and
for the mapping network Karras et al. 2019 (A Style-Based Generator Architecture for Generative Adversarial Networks),
section 2 and appendix B; details as in the official StyleGAN2-ADA program.
"""

import math

import keras
import tensorflow as tf

from gan_tf.models.network import ClassEmbedding, class_weights
from gan_tf.ops.activations import ACTIVATIONS, at_least_float32, bias_act, biased, clamped, leaky_relu
from gan_tf.ops.equalised import EqualisedConv
from gan_tf.ops.filtered import (
    demodulated_conv,
    filtered_up_conv,
    fir_filter,
    modulated_conv,
    resampled_conv,
    small_kernel,
    small_styles,
)
from gan_tf.ops.layers import ExactLayer
from gan_tf.ops.normalisation import append_minibatch_stddev, pixel_norm

FILTER = fir_filter()
GAIN = ACTIVATIONS["lrelu"][1]  # of the leaky ReLU; multiplies its input, which is equivalent
CONST = "const"  # selects the noise maps that a generator stores, the same for every image
MAPPING_LR = 0.01  # learning rate of the mapping network relative to that of other layers
AVERAGE_DECAY = 0.995  # share of the average w that is kept per batch


class StyleDense(ExactLayer):
    """Matrix product with equalised learning rate, bias and activation: x [N, I] -> [N, units].

    Args:
        activation: "linear" or "lrelu".
        lr_multiplier: factor on the effective learning rate; weights are stored divided by it.
        first_bias: initial value of the bias.
    """

    def __init__(self, units, activation="linear", lr_multiplier=1.0, first_bias=0.0, **kwargs):
        super().__init__(**kwargs)
        self.units, self.activation, self.lr_multiplier, self.first_bias = units, activation, lr_multiplier, first_bias

    def build(self, shape):
        self.gain = ACTIVATIONS[self.activation][1] * self.lr_multiplier
        self.scale = self.gain / math.sqrt(shape[-1])
        self.kernel = self.normal("kernel", (shape[-1], self.units), stddev=1 / self.lr_multiplier)
        self.bias = self.weight("bias", (self.units,), keras.initializers.Constant(self.first_bias))

    def call(self, x):
        kernel, bias = self.kernel.value, self.bias.value
        if not self.folded:
            kernel, bias = kernel * self.scale, bias * self.gain
        return bias_act(x @ tf.cast(kernel, x.dtype), bias, self.activation, gain=1)

    def fold_weights(self, weights):
        """Stores a trained layer's kernel and bias, multiplied by their gains."""
        self.kernel.assign(weights["kernel"] * self.scale)
        self.bias.assign(weights["bias"] * self.gain)


class Mapping(ExactLayer):
    """Mapping network: latents, labels or both to w; with latents it tracks the running mean `average` [W] of w.

    Call: z [N, Z] or None, labels -> ws [N, copies, W], or w [N, W] if `copies` is None.
        labels: [N] integers, or [N, classes] class weights (not when folded); ignored without classes.
        truncation: moves ws towards the average: average + truncation * (w - average).
        cutoff: number of copies that are truncated, None for all.
        update_average: update the average with the mean w of the global batch; None: in training calls.

    Args:
        layers: number of layers.
        w_size, latent_size: W and Z; Z is 0 for labels alone.
        classes: number of classes, 0 for latents alone.
        copies: how often w is repeated.
    """

    def __init__(self, layers, w_size, latent_size, classes=0, copies=None, **kwargs):
        super().__init__(**kwargs)
        self.w_size, self.latent_size, self.classes, self.copies = w_size, latent_size, classes, copies
        self.embed = None
        if classes:
            part = self.part("embed")
            self.embed = ClassEmbedding(w_size, classes, **part) if self.folded else StyleDense(w_size, **part)
        self.layers = [StyleDense(w_size, "lrelu", MAPPING_LR, **self.part(f"layers/{i}")) for i in range(layers)]

    def build(self, shape=None):
        if self.classes:
            self.embed.build((None, self.classes))
        inputs = self.latent_size + (self.w_size if self.classes else 0)
        for layer in self.layers:
            layer.build((None, inputs))
            inputs = self.w_size
        self.average = None
        if self.latent_size:
            self.average = self.weight("average", (self.w_size,), trainable=False, aggregation="only_first_replica")

    def call(self, z, labels=None, truncation=1.0, cutoff=None, update_average=None, training=False):
        inputs = [pixel_norm(tf.cast(z, self.variable_dtype))] if self.latent_size else []
        if self.classes and self.folded:
            inputs.append(self.embed(labels))
        elif self.classes:
            inputs.append(pixel_norm(self.embed(class_weights(labels, self.classes, self.variable_dtype))))
        w = tf.concat(inputs, axis=1)
        for layer in self.layers:
            w = layer(w)
        if self.average is not None and (training if update_average is None else update_average):
            mean = tf.stop_gradient(tf.reduce_mean(w, axis=0))
            replica = tf.distribute.get_replica_context()
            if replica.num_replicas_in_sync > 1:
                mean = replica.all_reduce(tf.distribute.ReduceOp.MEAN, mean)
            self.average.assign(mean + AVERAGE_DECAY * (self.average.value - mean))
        if self.copies is None:
            return w
        ws = tf.tile(w[:, None], (1, self.copies, 1))
        return ws if isinstance(truncation, int | float) and truncation == 1 else self.truncated(ws, truncation, cutoff)

    def truncated(self, ws, truncation, cutoff=None):
        """ws [N, S, W] moved towards the average: Karras et al. 2019 (StyleGAN), appendix B."""
        average = self.average.value
        near = average + tf.cast(truncation, ws.dtype) * (ws - average)
        return near if cutoff is None else tf.concat([near[:, :cutoff], ws[:, cutoff:]], axis=1)

    def fold_weights(self, weights):
        """Stores the weights and the average of a trained mapping network, with its normalised class embeddings."""
        self.fold_parts(weights, "layers")
        if self.classes:
            scale = 1 / math.sqrt(self.classes)  # equalised learning rate of the trainable StyleDense
            self.embed.fold_weights({"kernel": weights["embed/kernel"] * scale + weights["embed/bias"]})
        self.average.assign(weights["average"])


class StyledConv(ExactLayer):
    """Modulated 3x3 convolution, noise, bias and leaky ReLU.

    Call: x [N, H, W, I], w [N, W], noise -> [N, up * H, up * W, filters] of x's type.
        noise: [N, up * H, up * W, 1], "const" for the layer's own map, None for none.

    Args:
        up: 1, or 2 to double the size.
        clamp: limit of the output, None for none.
    """

    def __init__(self, filters, up=1, clamp=None, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.up, self.clamp = filters, up, clamp

    def build(self, shape, w_size=None):
        _, height, width, channels = shape
        self.affine = StyleDense(channels, first_bias=1.0, **self.part("affine"))
        self.affine.build((None, w_size))
        if self.folded:
            inner = (channels, self.filters) if self.up == 1 else (self.filters, channels)
            self.kernel = self.weight("kernel", (3, 3, *inner), dtype=self.compute_dtype)
            self.squares = self.weight("squares", (channels, self.filters))
        else:
            self.kernel = self.normal("kernel", (3, 3, channels, self.filters))
        self.bias = self.weight("bias", (self.filters,))
        self.noise_strength = self.weight("noise_strength", ())
        self.noise = self.normal("noise", (self.up * height, self.up * width), trainable=False)

    def call(self, x, w, noise=None):
        styles = self.affine(w)
        if noise is not None:
            noise = self.noise.value[None, :, :, None] if isinstance(noise, str) else noise
            noise = tf.cast(noise, self.variable_dtype) * (self.noise_strength.value * GAIN)
        if self.folded:
            styles = small_styles(styles) if self.compute_dtype == "float16" else styles
            x = demodulated_conv(x, self._folded_convolution, self.squares.value, styles, GAIN)
            x = x if noise is None else x + tf.cast(noise, x.dtype)
        else:
            options = {"noise": noise, "convolve": self.up > 1, "gain": GAIN}
            x = modulated_conv(x, self.kernel.value, styles, FILTER, self.up, **options)
        return clamped(leaky_relu(biased(x, self.bias.value * GAIN)), self.clamp)

    def fold_weights(self, weights):
        """Stores the weights of a trained layer."""
        self.fold_parts(weights, "affine")
        kernel = weights["kernel"]
        if self.compute_dtype == "float16":
            kernel = small_kernel(kernel)
        self.squares.assign(tf.reduce_sum(kernel**2, (0, 1)))
        self.kernel.assign(tf.cast(kernel if self.up == 1 else tf.transpose(kernel, (0, 1, 3, 2)), self.compute_dtype))
        for name in ("bias", "noise_strength", "noise"):
            getattr(self, name).assign(weights[name])

    def _folded_convolution(self, x):
        kernel = tf.cast(self.kernel.value, x.dtype)
        return tf.nn.conv2d(x, kernel, 1, "SAME") if self.up == 1 else filtered_up_conv(x, kernel, FILTER, self.up)


class ToRgb(ExactLayer):
    """Modulated 1x1 convolution to colours, without demodulation.

    Call: x [N, H, W, I], w [N, W] -> [N, H, W, image_channels], at least float32.
    """

    def __init__(self, image_channels=3, clamp=None, **kwargs):
        super().__init__(**kwargs)
        self.image_channels, self.clamp = image_channels, clamp

    def build(self, shape, w_size=None):
        self.affine = StyleDense(shape[-1], first_bias=1.0, **self.part("affine"))
        self.affine.build((None, w_size))
        self.kernel = self.normal("kernel", (1, 1, shape[-1], self.image_channels))
        self.bias = self.weight("bias", (self.image_channels,))

    def call(self, x, w):
        styles = self.affine(w) if self.folded else self.affine(w) / math.sqrt(x.shape[-1])
        x = modulated_conv(x, self.kernel.value, styles, demodulate=False)
        return at_least_float32(clamped(biased(x, self.bias.value), self.clamp))

    def fold_weights(self, weights):
        """Stores the weights of a trained layer."""
        self.fold_parts(weights, "affine")
        self.kernel.assign(weights["kernel"] / math.sqrt(self.kernel.shape[2]))
        self.bias.assign(weights["bias"])


class FilteredConv(EqualisedConv):
    """Convolution of the discriminator: equalised learning rate, filter, activation and clamp.

    Call: x [N, H, W, I] -> [N, H / down, W / down, filters].

    Args:
        down: 1, or 2 to halve the size after the filter.
        activation: "linear" or "lrelu".
        gain: factor on the output in addition to the activation's.
        clamp: limit of the output, multiplied by `gain`; None for none.
    """

    def __init__(self, filters, kernel_size, down=1, activation="lrelu", gain=1.0, clamp=None, **kwargs):
        super().__init__(filters, kernel_size, gain, **kwargs)
        self.down, self.activation = down, activation
        self.activation_gain = ACTIVATIONS[activation][1]
        self.clamp = clamp

    def call(self, x):
        x = resampled_conv(x, self.scaled_kernel() * self.activation_gain, FILTER, down=self.down)
        bias = None if self.bias is None else self.bias.value * (self.gain * self.activation_gain)
        clamp = None if self.clamp is None else self.clamp * self.gain
        return bias_act(x, bias, self.activation, gain=1, clamp=clamp)


class ResidualBlock(ExactLayer):
    """Halves the size by two convolutions, added to a 1x1 convolution of the input if `residual`.

    Call: x [N, H, W, I] -> [N, H / 2, W / 2, filters].
    """

    def __init__(self, filters, residual=True, clamp=None, **kwargs):
        super().__init__(**kwargs)
        self.clamp = clamp
        gain = math.sqrt(0.5) if residual else 1.0  # the sum of both has unit variance
        self.down = FilteredConv(filters, 3, 2, gain=gain, clamp=clamp, **self.part("down"))
        self.skip = None
        if residual:
            self.skip = FilteredConv(filters, 1, 2, "linear", gain=gain, use_bias=False, **self.part("skip"))

    def build(self, shape):
        self.conv = FilteredConv(shape[-1], 3, clamp=self.clamp, **self.part("conv"))
        for layer in (self.conv, self.down, self.skip):
            if layer is not None:
                layer.build(shape)

    def call(self, x):
        y = self.down(self.conv(x))
        return y if self.skip is None else y + self.skip(x)


class Head(ExactLayer):
    """Last layers of the discriminator, from the smallest maps, with the minibatch standard deviation.

    Call: x [N, *base, I] -> [N, filters].

    Args:
        filters: outputs for each image.
        group: largest group of the minibatch standard deviation.
        statistics: channels of the minibatch standard deviation, 0 to leave it out.
    """

    def __init__(self, filters, group=4, statistics=1, clamp=None, **kwargs):
        super().__init__(**kwargs)
        self.group, self.statistics, self.clamp = group, statistics, clamp
        self.to_logits = StyleDense(filters, **self.part("to_logits"))

    def build(self, shape):
        _, height, width, channels = shape
        self.conv = FilteredConv(channels, 3, clamp=self.clamp, **self.part("conv"))
        self.conv.build((None, height, width, channels + self.statistics))
        self.dense = StyleDense(channels, "lrelu", **self.part("dense"))
        self.dense.build((None, height * width * channels))
        self.to_logits.build((None, channels))

    def call(self, x):
        if self.statistics:
            x = append_minibatch_stddev(x, self.group, self.statistics)
        x = self.conv(x)
        return self.to_logits(self.dense(tf.reshape(x, (-1, self.dense.kernel.shape[0]))))
