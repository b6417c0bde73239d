"""Building blocks of the Progressive GAN networks.

Source: Karras et al. 2018 (Progressive Growing of GANs for Improved Quality, Stability, and Variation), appendix A.
"""

import math

import tensorflow as tf

from gan_tf.models.network import ClassEmbedding
from gan_tf.ops.activations import leaky_relu
from gan_tf.ops.equalised import EqualisedConv, EqualisedDense, EqualisedDownConv, EqualisedStem, EqualisedUpConv
from gan_tf.ops.layers import BatchNorm, ExactLayer, sub_weights
from gan_tf.ops.normalisation import append_minibatch_stddev, pixel_norm, scale_and_shift

LATENT_GAIN = 2**0.5 / 4  # of the generator's first layer, as in the official program


class GeneratorBlock(ExactLayer):
    """Two layers, each followed by batch norm (optional), leaky ReLU and pixel norm (optional).

    A sub-class creates the first layer in `first_layer`; the second is a 3x3 convolution. With batch norm, layers have
    no bias; folded, kernel and bias contain the batch norm.
    """

    def __init__(self, filters, batch_norm=False, pixel_norm=True, base=(4, 4), **kwargs):
        super().__init__(**kwargs)
        self.filters, self.pixel_norm, self.base = filters, pixel_norm, base
        use_bias, batch_norm = self.folded or not batch_norm, batch_norm and not self.folded
        self.first = self.first_layer(filters, use_bias=use_bias, **self.part("first"))
        self.conv = EqualisedConv(filters, 3, use_bias=use_bias, **self.part("conv"))
        self.first_norm = BatchNorm(**self.part("first_norm")) if batch_norm else None
        self.conv_norm = BatchNorm(**self.part("conv_norm")) if batch_norm else None

    def build(self, shape):
        wide = (None, None, None, self.filters)
        self.first.build(shape)
        self.conv.build(wide)
        for norm in (self.first_norm, self.conv_norm):
            if norm is not None:
                norm.build(wide)

    def call(self, x, training=False):
        for layer, norm in ((self.first, self.first_norm), (self.conv, self.conv_norm)):
            x = layer(x)
            if norm is not None:
                x = norm(x, training=training)
            x = leaky_relu(x)
            if self.pixel_norm:
                x = pixel_norm(x)
        return x

    def fold_weights(self, weights):
        """Stores the weights of a trained block."""
        for name in ("first", "conv"):
            norm = sub_weights(weights, f"{name}_norm")
            scale, bias = scale_and_shift(**norm) if norm else (1.0, None)
            getattr(self, name).fold_weights(sub_weights(weights, name), scale, bias)


class StemBlock(GeneratorBlock):
    """Maps latents to the first map: z [N, Z] -> [N, *base, filters]."""

    def first_layer(self, filters, **arguments):
        return EqualisedStem(filters, LATENT_GAIN, self.base, **arguments)


class GrowBlock(GeneratorBlock):
    """Doubles the size: x [N, H, W, I] -> [N, 2H, 2W, filters]."""

    def first_layer(self, filters, **arguments):
        return EqualisedUpConv(filters, **arguments)


class ShrinkBlock(ExactLayer):
    """Halves the size: a 3x3 convolution that keeps the number of channels, one that changes it, average pooling.

    Call: x [N, H, W, I] -> [N, H / 2, W / 2, filters].
    """

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.down = EqualisedDownConv(filters, **self.part("down"))

    def build(self, shape):
        self.conv = EqualisedConv(shape[-1], 3, **self.part("conv"))
        self.conv.build(shape)
        self.down.build(shape)

    def call(self, x):
        return leaky_relu(self.down(leaky_relu(self.conv(x))))


class ClassProjection(ClassEmbedding):
    """Class term of the logits: the scalar product of the features with the vector of the class.

    Call: features [N, C], labels -> [N, 1] in the features' type, divided by sqrt(C) to have one feature's variance.
    """

    def __init__(self, units, classes, **kwargs):
        super().__init__(units, classes, normalised=False, **kwargs)

    def call(self, features, labels):
        vectors = tf.cast(super().call(labels) / math.sqrt(self.units), features.dtype)
        return tf.reduce_sum(features * vectors, axis=1, keepdims=True)


class HeadBlock(ExactLayer):
    """Logits from the smallest maps, optionally with the minibatch standard deviation and a projection on classes.

    Call: x [N, *base, I], labels -> logits [N, 1].
    """

    def __init__(self, filters, minibatch_stddev=True, classes=0, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.minibatch_stddev = filters, minibatch_stddev
        self.project = ClassProjection(filters, classes, **self.part("project")) if classes else None
        self.dense = EqualisedDense(filters, **self.part("dense"))
        self.to_logits = EqualisedDense(1, gain=1.0, **self.part("to_logits"))

    def build(self, shape):
        _, height, width, channels = shape
        self.conv = EqualisedConv(channels, 3, **self.part("conv"))
        self.conv.build((None, height, width, channels + self.minibatch_stddev))
        self.dense.build((None, height * width * channels))
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
