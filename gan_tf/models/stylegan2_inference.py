"""StyleGAN2's generator for inference: what does not depend on styles is done once, when weights are brought.

Kernels are scaled, arranged and cast, and their squares summed for demodulation. Weights are those of a moment.
"""

import math

import keras
import tensorflow as tf

from gan_tf.models.conditioning import FoldedEmbedding
from gan_tf.models.folded import fold_into, generator_of
from gan_tf.models.stylegan2 import GENERATOR_ARGUMENTS, Generator, Synthesis
from gan_tf.models.stylegan2_blocks import FILTER, GAIN, StyledConv, ToRgb
from gan_tf.models.stylegan2_mapping import Mapping, StyleDense
from gan_tf.ops.bias_act import clamped
from gan_tf.ops.equalised import at_least_float32
from gan_tf.ops.layers import leaky_relu
from gan_tf.ops.modulated import demodulated_conv, small_kernel, small_styles
from gan_tf.ops.resampled import up_conv


def fold(generator: Generator, dtype=None):
    """Returns a FoldedGenerator with the weights of a built generator; see `fold_into`."""
    return fold_into(FoldedGenerator, generator, FoldedGenerator.ARGUMENTS, dtype)


def judge(discriminator, generator: Generator):
    """Returns what a discriminator says of one finished image and its class.

    Alone in its batch an image has no spread, so the batch's standard deviation is the same for all images.
    """
    shape = (1, discriminator.resolution, discriminator.resolution, 3)
    return lambda image, labels=None: discriminator(tf.ensure_shape(image, shape), labels, training=False)


@keras.saving.register_keras_serializable("gan_tf")
class FoldedDense(StyleDense):
    """`StyleDense` whose kernel and bias are ready."""

    def build(self, shape):
        self.kernel = self.weight("kernel", (shape[-1], self.units))
        self.bias = self.weight("bias", (self.units,))

    def ready(self):
        return self.kernel.value, self.bias.value

    def refresh(self, source):
        """Takes the weights of a trained layer."""
        for variable, value in zip((self.kernel, self.bias), source.ready(), strict=True):
            variable.assign(value)


@keras.saving.register_keras_serializable("gan_tf")
class FoldedMapping(Mapping):
    """`Mapping` whose average does not move, and whose classes' vectors are ready; labels are integers."""

    dense_class = FoldedDense

    def embedding(self):
        return FoldedEmbedding(self.w_size, self.classes, dtype=self.dtype_policy)

    def embedded(self, labels):
        return self.embed(labels)

    def call(self, z, labels=None, truncation=1.0, training=False):
        return super().call(z, labels, truncation=truncation, update_average=False)

    def refresh(self, source):
        """Takes the weights and the average of a trained network."""
        for own, theirs in zip(self.layers, source.layers, strict=True):
            own.refresh(theirs)
        if self.classes:
            self.embed.refresh(source)
        self.average.assign(source.average.value)


@keras.saving.register_keras_serializable("gan_tf")
class FoldedStyledConv(StyledConv):
    """`StyledConv` with a ready kernel: gains in bias and noise strength, taps as an up-convolution wants them."""

    def build(self, shape, w_size=None):
        _, height, width, channels = shape
        self.affine = FoldedDense(channels, **self.part("affine"))
        self.affine.build((None, w_size))
        inner = (channels, self.filters) if self.up == 1 else (self.filters, channels)
        self.kernel = self.weight("kernel", (3, 3, *inner), dtype=self.compute_dtype)
        self.squares = self.weight("squares", (channels, self.filters))
        self.bias = self.weight("bias", (self.filters,))
        self.noise_strength = self.weight("noise_strength", ())
        self.noise = self.weight("noise", (self.up * height, self.up * width))

    def call(self, x, w, noise=None):
        styles = self.affine(w)
        if self.compute_dtype == "float16":
            styles = small_styles(styles)
        x = demodulated_conv(x, self._convolution, self.squares.value, styles, GAIN)
        added = self.scaled_noise(noise)
        if added is not None:
            x += tf.cast(added, x.dtype)
        return clamped(leaky_relu(tf.nn.bias_add(x, tf.cast(self.bias.value, x.dtype))), self.clamp)

    def refresh(self, source):
        """Takes the weights of a trained layer."""
        self.affine.refresh(source.affine)
        kernel = source.kernel.value
        if self.compute_dtype == "float16":
            kernel = small_kernel(kernel)
        self.squares.assign(tf.reduce_sum(kernel**2, (0, 1)))
        self.kernel.assign(tf.cast(kernel if self.up == 1 else tf.transpose(kernel, (0, 1, 3, 2)), self.compute_dtype))
        self.bias.assign(source.bias.value * GAIN)
        self.noise_strength.assign(source.noise_strength.value * GAIN)
        self.noise.assign(source.noise.value)

    def _convolution(self, x):
        kernel = tf.cast(self.kernel.value, x.dtype)
        return tf.nn.conv2d(x, kernel, 1, "SAME") if self.up == 1 else up_conv(x, kernel, FILTER, self.up)


@keras.saving.register_keras_serializable("gan_tf")
class FoldedToRgb(ToRgb):
    """`ToRgb` with a ready kernel."""

    def build(self, shape, w_size=None):
        self.affine = FoldedDense(shape[-1], **self.part("affine"))
        self.affine.build((None, w_size))
        self.kernel = self.weight("kernel", (shape[-1], 3))
        self.bias = self.weight("bias", (3,))

    def call(self, x, w):
        _, height, width, channels = x.shape
        own = tf.cast(self.affine(w)[:, :, None] * self.kernel.value, x.dtype)  # [N, I, 3]
        y = tf.reshape(tf.reshape(x, (-1, height * width, channels)) @ own, (-1, height, width, 3))
        return at_least_float32(clamped(tf.nn.bias_add(y, tf.cast(self.bias.value, y.dtype)), self.clamp))

    def refresh(self, source):
        """Takes the weights of a trained layer."""
        self.affine.refresh(source.affine)
        self.kernel.assign(source.kernel.value[0, 0] / math.sqrt(self.kernel.shape[0]))
        self.bias.assign(source.bias.value)


class FoldedSynthesis(Synthesis):
    """`Synthesis` of folded layers."""

    conv_class, rgb_class = FoldedStyledConv, FoldedToRgb

    def refresh(self, source):
        """Takes the weights of a trained network."""
        self.const.assign(source.const.value)
        for name in ("first_convs", "convs", "to_rgb"):
            for own, theirs in zip(getattr(self, name), getattr(source, name), strict=True):
                own.refresh(theirs)


@keras.saving.register_keras_serializable("gan_tf", "StyleGan2FoldedGenerator")
class FoldedGenerator(Generator):
    """Makes the images that a `Generator` makes in evaluation mode, within rounding; called like it.

    Latents may also be points behind the mapping network: w [N, 1, W], one for all layers, or ws [N, S, W].
    `refresh` brings newer weights, which functions that were traced before then see.

    Args:
        as for `Generator`; `seed` has no effect.

    Raises:
        ValueError: called with `training=True`.
    """

    ARGUMENTS = (*GENERATOR_ARGUMENTS, "half_resolutions")
    mapping_class, synthesis_class = FoldedMapping, FoldedSynthesis

    def __init__(self, *arguments, trainable=False, **kwargs):
        super().__init__(*arguments, trainable=trainable, **kwargs)

    def call(self, z, labels=None, noise=None, training=False):
        if training:
            raise ValueError("a folded generator cannot be trained; train the generator and refresh this one from it")
        return self.synthesis(self.ws_of(z, labels), noise=noise)

    def ws_of(self, latents, labels=None, truncation=1.0):
        """Styles of all layers: of z [N, Z], or of points behind the mapping network, which are truncated alone.

        Args:
            latents: [N, Z], [N, 1, W] or [N, S, W].
            labels, truncation: as for `Mapping`; labels are of z.

        Returns:
            float32 [N, S, W].
        """
        if len(latents.shape) == 2:
            return self.mapping(latents, labels, truncation=truncation)
        copies = self.mapping.copies
        ws = tf.tile(latents, (1, copies, 1)) if latents.shape[1] == 1 else tf.convert_to_tensor(latents)
        return ws if truncation == 1 else self.mapping.truncated(ws, truncation)

    def refresh(self, generator):
        """Folds the present weights of `generator` into this network.

        Args:
            generator: Generator of the same sizes, or its weights, {attribute path: array or variable}.
        """
        sizes = (getattr(self, name) for name in GENERATOR_ARGUMENTS)
        generator = generator_of(generator, lambda: Generator(*sizes))
        self.mapping.refresh(generator.mapping)
        self.synthesis.refresh(generator.synthesis)
