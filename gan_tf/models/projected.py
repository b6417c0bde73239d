"""Discriminator of Projected GAN: small heads on the features of a frozen, pretrained network.

    image -> EfficientNet-Lite0 -> 4 maps -> Projector -> 4 maps -> one head each -> logits

The pretrained network is not a part of the discriminator, and its maps are the discriminator's input.

Source: Sauer et al. 2021 (Projected GANs Converge Faster), section 3 and appendix; shapes and initial values as in the
official program. Its convolutions before batch norm also have biases, which batch norm removes; here they are left out.
"""

import math

import numpy as np
import tensorflow as tf

from gan_tf.models.network import ClassEmbedding, SeededNetwork
from gan_tf.ops.activations import leaky_relu
from gan_tf.ops.layers import BatchNorm, SeededLayer, SpectralConv, SpectralLayer

FEATURE_CHANNELS = (24, 40, 112, 320)  # of the maps of EfficientNet-Lite0
MIXED_CHANNELS = (64, 128, 256, 512)  # after the mixing of channels
PROJECTED_CHANNELS = (64, 64, 128, 256)  # after the mixing of scales
# Outputs of the blocks of each head; a block halves the size. The sizes differ by factors of 2, so that all heads end
# with maps of the same size.
HEAD_WIDTHS = ((64, 128, 256, 512), (128, 256, 512), (256, 512), (512,))
CLASS_FEATURES, CLASS_VECTOR = 64, 128  # numbers that a class is compared with, and length of its embedding


class FrozenConv(SeededLayer):
    """1x1 convolution with a bias, both random and never trained: x [N, H, W, I] -> [N, H, W, filters]."""

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, shape):
        bound, fixed = shape[-1] ** -0.5, {"trainable": False}
        self.kernel = self.uniform("kernel", (1, 1, shape[-1], self.filters), bound, **fixed)
        self.bias = self.uniform("bias", (self.filters,), bound, **fixed)

    def call(self, x):
        return tf.nn.conv2d(x, tf.cast(self.kernel.value, x.dtype), 1, "SAME") + tf.cast(self.bias.value, x.dtype)


class Projector(SeededLayer):
    """Mixes feature maps by random linear layers, which are never trained: first channels, then scales.

    Without it, heads would use the few most discriminative features. Call: list of four maps [N, h, w, C], each half
    the size of the one before -> list of four maps [N, 2h, 2w, c].
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.channels = [FrozenConv(size, **self.part(f"channels/{i}")) for i, size in enumerate(MIXED_CHANNELS)]
        self.scales = [FrozenConv(size, **self.part(f"scales/{i}")) for i, size in enumerate(PROJECTED_CHANNELS)]

    def build(self, shape=None):
        for layers, inputs in ((self.channels, FEATURE_CHANNELS), (self.scales, MIXED_CHANNELS)):
            for layer, size in zip(layers, inputs, strict=True):
                layer.build((None, None, None, size))

    def call(self, maps):
        mixed = [layer(x) for layer, x in zip(self.channels, maps, strict=True)]
        outputs, coarser = [], 0.0
        for x, layer in reversed(list(zip(mixed, self.scales, strict=True))):
            # The official order is upsampling first; a 1x1 convolution before it has a quarter of the pixels.
            coarser = double_size(layer(x + coarser))
            outputs.append(coarser)
        return outputs[::-1]


def double_size(x):
    """Bilinear interpolation that keeps the corners: [N, h, w, C] -> [N, 2h, 2w, C]."""
    rows, columns = (tf.constant(interpolation_matrix(size), x.dtype) for size in x.shape[1:3])
    x = tf.tensordot(rows, x, [[1], [1]])  # [2h, N, w, C]
    x = tf.tensordot(columns, x, [[1], [2]])  # [2w, 2h, N, C]
    return tf.transpose(x, (2, 1, 0, 3))


def interpolation_matrix(size):
    """[2n, n]: row i has the weights of output i, whose position is i (n - 1) / (2n - 1)."""
    positions = np.arange(2 * size) * (size - 1) / (2 * size - 1)
    return np.maximum(0.0, 1.0 - np.abs(positions[:, None] - np.arange(size)))


class SpectralDepthwiseConv(SpectralLayer):
    """3x3 convolution of each channel with spectral norm: x [N, H, W, C] -> [N, H, W, C]."""

    def build(self, shape):
        self.add_kernel(3, 3, 1, self.filters)

    def call(self, x, training=False):
        kernel = tf.reshape(self.normalised_kernel(training), (3, 3, self.filters, 1))
        return tf.nn.depthwise_conv2d(x, tf.cast(kernel, x.dtype), (1, 1, 1, 1), "SAME")


class FeatureHeadBlock(SeededLayer):
    """Halves the size: convolution with spectral norm, batch norm, leaky ReLU.

    Call: x [N, H, W, I] -> [N, H / 2, W / 2, filters].

    Args:
        separable: 3x3 and 1x1 convolutions and average pooling instead of a 4x4 convolution of stride 2.
    """

    def __init__(self, filters, separable=False, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.separable = filters, separable

    def build(self, shape):
        if self.separable:
            self.depthwise = SpectralDepthwiseConv(shape[-1], torch_initial=True, **self.part("depthwise"))
            self.depthwise.build(shape)
        kernel_size, strides = (1, 1) if self.separable else (4, 2)
        self.conv = SpectralConv(self.filters, kernel_size, strides, torch_initial=True, **self.part("conv"))
        self.norm = BatchNorm(torch_initial=True, **self.part("norm"))
        self.conv.build(shape)
        self.norm.build((None, None, None, self.filters))

    def call(self, x, training=False):
        if self.separable:
            x = self.depthwise(x, training=training)
        x = leaky_relu(self.norm(self.conv(x, training=training), training=training))
        return tf.nn.avg_pool2d(x, 2, 2, "VALID") if self.separable else x


class FeatureHead(SeededLayer):
    """Logits of one map: x [N, H, W, I], labels [N] integers (ignored without classes) -> [N, L] float32.

    With classes, the logit of a 4x4 window is the scalar product of its features with a vector of the class, as in
    Miyato and Koyama 2018 (cGANs with Projection Discriminator), without a term that is equal for all classes.
    """

    def __init__(self, widths, separable=False, classes=0, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes
        self.blocks = [FeatureHeadBlock(width, separable, **self.part(f"blocks/{i}")) for i, width in enumerate(widths)]
        outputs = CLASS_FEATURES if classes else 1
        self.to_logits = SpectralConv(outputs, 4, padding="VALID", torch_initial=True, **self.part("to_logits"))
        embedding = {"normalised": False, **self.part("embed")}
        self.embed = ClassEmbedding(CLASS_VECTOR, classes, **embedding) if classes else None

    def build(self, shape):
        for block in self.blocks:
            block.build(shape)
            shape = (None, None, None, block.filters)
        self.to_logits.build(shape)
        if self.classes:
            self.embed.build()
            bound = CLASS_VECTOR**-0.5
            self.class_kernel = self.uniform("class_kernel", (CLASS_VECTOR, CLASS_FEATURES), bound)
            self.class_bias = self.uniform("class_bias", (CLASS_FEATURES,), bound)

    def call(self, x, labels=None, training=False):
        for block in self.blocks:
            x = block(x, training=training)
        x = self.to_logits(x, training=training)
        x = tf.cast(x, self.variable_dtype)  # float32
        if self.classes:
            vectors = leaky_relu(self.embed(labels) @ self.class_kernel.value + self.class_bias.value)
            x = tf.reduce_sum(x * vectors[:, None, None], axis=3, keepdims=True) / math.sqrt(CLASS_FEATURES)
        return tf.reshape(x, (-1, x.shape[1] * x.shape[2]))


class ProjectedDiscriminator(SeededNetwork):
    """Classifies the feature maps of images as real or fake.

    Call: list of the four maps [N, h, w, C] of EfficientNet-Lite0, whose images are at least 128 pixels wide and high,
    in multiples of 32; labels [N] integers (ignored without classes) -> logits [N, L] float32: those of the head on the
    largest map first. L is 64 for images of 224 pixels.

    Args:
        classes: number of classes, 0 for an unconditional network.
        separable: cheaper heads, those of the published StyleGAN2.
        seed: see ops/layers.py.
    """

    def __init__(self, classes=0, separable=False, **kwargs):
        super().__init__(**kwargs)
        self.classes, self.separable = classes, separable
        self.projector = Projector(**self.part("d/projector"))
        self.heads = [
            FeatureHead(widths, separable, classes, **self.part(f"d/heads/{i}")) for i, widths in enumerate(HEAD_WIDTHS)
        ]

    def build(self, shape=None):
        self.projector.build()
        for head, channels in zip(self.heads, PROJECTED_CHANNELS, strict=True):
            head.build((None, None, None, channels))

    def call(self, maps, labels=None, training=False):
        return self.logits(self.projector(maps), labels, training)

    def logits(self, maps, labels=None, training=False):
        """Logits of projected maps."""
        pairs = zip(self.heads, maps, strict=True)
        return tf.concat([head(x, labels, training=training) for head, x in pairs], axis=1)
