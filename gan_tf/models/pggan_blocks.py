"""Building blocks of the Progressive GAN networks.

Source: Karras et al. 2018 (Progressive Growing of GANs for Improved Quality, Stability, and Variation), appendix A.
"""

import keras
import tensorflow as tf

from gan_tf.models.block import ExactBlock
from gan_tf.models.conditioning import ClassProjection
from gan_tf.ops.equalised import (
    EqualisedConv,
    EqualisedDense,
    EqualisedDownConv,
    EqualisedLayer,
    EqualisedStem,
    EqualisedUpConv,
    append_minibatch_stddev,
    pixel_norm,
)
from gan_tf.ops.layers import leaky_relu
from gan_tf.ops.normalisation import BatchNorm

LATENT_GAIN = 2**0.5 / 4  # of the generator's first layer


class GeneratorBlock(ExactBlock):
    """Two layers, each followed by batch norm (if asked for), leaky ReLU and pixel norm (if asked for).

    Sub-classes say which is the first; the second is a 3x3 convolution. Batch norm takes the place of the bias.
    """

    def __init__(self, filters, batch_norm=False, pixel_norm=True, seed=0, **kwargs):
        super().__init__(filters, seed, **kwargs)
        self.batch_norm = batch_norm
        self.pixel_norm = pixel_norm
        self.first = self.first_layer(filters, use_bias=not batch_norm, **self.part("first"))
        self.conv = EqualisedConv(filters, 3, use_bias=not batch_norm, **self.part("conv"))
        self.first_norm = BatchNorm(**self.part("first_norm")) if batch_norm else None
        self.conv_norm = BatchNorm(**self.part("conv_norm")) if batch_norm else None

    def first_layer(self, filters, **part) -> EqualisedLayer:
        """Makes the first layer."""
        raise NotImplementedError

    def build(self, shape):
        wide = (None, None, None, self.filters)
        self.first.build(shape)
        self.conv.build(wide)
        if self.batch_norm:
            self.first_norm.build(wide)
            self.conv_norm.build(wide)

    def call(self, x, training=False):
        for layer, norm in ((self.first, self.first_norm), (self.conv, self.conv_norm)):
            x = layer(x)
            if norm is not None:
                x = norm(x, training=training)
            x = leaky_relu(x)
            if self.pixel_norm:
                x = pixel_norm(x)
        return x

    def get_config(self):
        return {**super().get_config(), "batch_norm": self.batch_norm, "pixel_norm": self.pixel_norm}


@keras.saving.register_keras_serializable("gan_tf")
class StemBlock(GeneratorBlock):
    """Turns latents into a map of 4x4 pixels.

    Call: z [N, Z] -> [N, 4, 4, filters].
    """

    def first_layer(self, filters, **part):
        return EqualisedStem(filters, LATENT_GAIN, **part)


@keras.saving.register_keras_serializable("gan_tf")
class GrowBlock(GeneratorBlock):
    """Doubles the size.

    Call: x [N, H, W, I] -> [N, 2H, 2W, filters].
    """

    def first_layer(self, filters, **part):
        return EqualisedUpConv(filters, **part)


@keras.saving.register_keras_serializable("gan_tf")
class ShrinkBlock(ExactBlock):
    """Halves the size: a 3x3 convolution that keeps the channels, another that changes them, 2x2 means.

    Call: x [N, H, W, I] -> [N, H / 2, W / 2, filters].
    """

    def __init__(self, filters, seed=0, **kwargs):
        super().__init__(filters, seed, **kwargs)
        self.down = EqualisedDownConv(filters, **self.part("down"))

    def build(self, shape):
        self.conv = EqualisedConv(shape[-1], 3, **self.part("conv"))
        self.conv.build(shape)
        self.down.build(shape)

    def call(self, x):
        return leaky_relu(self.down(leaky_relu(self.conv(x))))


@keras.saving.register_keras_serializable("gan_tf")
class HeadBlock(ExactBlock):
    """Judges maps of 4x4 pixels, perhaps with the spread of the batch beside them, perhaps as images of a class.

    Call: x [N, 4, 4, I], labels -> logits [N, 1].
    """

    def __init__(self, filters, minibatch_stddev=True, seed=0, classes=0, **kwargs):
        super().__init__(filters, seed, **kwargs)
        self.minibatch_stddev = minibatch_stddev
        self.classes = classes
        self.project = ClassProjection(filters, classes, **self.part("project")) if classes else None
        self.dense = EqualisedDense(filters, **self.part("dense"))
        self.to_logits = EqualisedDense(1, gain=1.0, **self.part("to_logits"))

    def build(self, shape):
        channels = shape[-1]
        self.conv = EqualisedConv(channels, 3, **self.part("conv"))
        self.conv.build((None, 4, 4, channels + self.minibatch_stddev))
        self.dense.build((None, 4 * 4 * channels))
        self.to_logits.build((None, self.filters))
        if self.project is not None:
            self.project.build()

    def call(self, x, labels=None):
        if self.minibatch_stddev:
            x = append_minibatch_stddev(x)
        x = leaky_relu(self.conv(x))
        x = leaky_relu(self.dense(tf.reshape(x, (-1, self.dense.kernel.shape[0]))))
        logits = self.to_logits(x)
        return logits if self.project is None else logits + self.project(x, labels)

    def get_config(self):
        return {**super().get_config(), "minibatch_stddev": self.minibatch_stddev, "classes": self.classes}
