"""Building blocks of the FastGAN networks.

A GLU layer is a convolution, noise, batch norm, GLU and excitation. When folded, it is a convolution with a normalised
kernel and one element-wise chain that XLA compiles. The official network adds noise before batch norm, so the folded
strength of the noise differs per channel.

The embedding of a class is added to the generator's first map after its batch norm: conditional batch norm without a
factor. All pixels of that map get the same vector, so its effect is larger than its standard deviation suggests. On
drawings of two classes after 3,000 images, the background colours of a class deviated by 38 grey levels without
embeddings, by 40 with embeddings of a quarter of the map's standard deviation, by 12 with a half, and, after 5,000
images, by 4 with the same standard deviation. Concatenated to the latent, before batch norm, the class took three
quarters of the variance. The generators of Projected GAN have a factor too, and in all blocks: see ClassTerms.

Source: Liu et al. 2021 (Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis).
"""

import functools

import tensorflow as tf

from gan_tf.models.network import class_weights
from gan_tf.ops.activations import glu, leaky_relu, plain_glu, swish
from gan_tf.ops.forms import compiles_chains
from gan_tf.ops.layers import BatchNorm, NoiseInjection, SeededLayer, SpectralConv, SpectralUpConv, sub_weights
from gan_tf.ops.resample import average_pool_to

DECODER_CHANNELS = {16: 128, 32: 64, 64: 64, 128: 32}  # by map size, whatever the width of the discriminator
DECODER_INPUT = 2  # bases: height and width of a decoder's input after pooling, 8x8 pixels with the base 4x4


def glu_layer(x, conv, norm, injection=None, noise=None, weights=None, terms=None, training=False):
    """A GLU layer of the generator: input of `conv` -> [N, H, W, C], C half of the filters of `conv`.

    Args:
        conv, norm, injection: its layers; injection may be None.
        noise: [N, H, W, 1] or None.
        weights: excitation [N, 1, 1, C] or None.
        terms: (factor [N, 1, 1, 2C] or None, offset [N, 1, 1, 2C]) of the class, applied after batch norm; or None.
    """
    x = conv(x, training=training)
    factor, offset = (None, None) if terms is None else terms
    if norm.folded:
        bias, strength = norm.shift.value, None if noise is None else injection.strength.value
        if factor is not None:
            x *= tf.cast(factor, x.dtype)
            bias, strength = bias * factor, None if noise is None else strength * factor
        bias = bias if offset is None else bias + offset
        return biased_glu(x, bias, None if noise is None else (noise, strength), weights)
    if injection is not None:
        x = injection(x, noise)
    x = norm(x, training=training)
    x = x if factor is None else x * tf.cast(factor, x.dtype)
    x = x if offset is None else x + tf.cast(offset, x.dtype)
    return glu(x) if weights is None else glu(x) * weights


def fold_glu_layer(owner, weights, conv, norm, injection=None):
    """Stores weights {attribute path: tensor} of a trained `owner` in the folded layers with these names."""
    scale = getattr(owner, norm).fold_weights(sub_weights(weights, norm))
    for name in (conv, injection):
        if name is not None:
            getattr(owner, name).fold_weights(sub_weights(weights, name), scale)


def biased_glu(x, bias, noise=None, weights=None):
    """Element-wise part of a folded GLU layer, computed in float32: bias, noise, GLU, excitation.

    Args:
        x: [N, H, W, 2C].
        bias: [2C] or [N, 1, 1, 2C] float32.
        noise: ([N, H, W, 1], strength like `bias`) or None.
        weights: [N, 1, 1, C] or None.

    Returns:
        [N, H, W, C] of x's type.
    """
    function = _biased_glu
    if compiles_chains():
        function = _compiled_glu(tuple(x.shape), x.dtype, noise is None, weights is None)
    return function(x, bias, noise, weights)


def _biased_glu(x, bias, noise, weights):
    y = tf.cast(x, tf.float32) + bias
    if noise is not None:
        y += noise[1] * tf.cast(noise[0], tf.float32)
    y = plain_glu(y)
    if weights is not None:
        y *= tf.cast(weights, tf.float32)
    return tf.cast(y, x.dtype)


@functools.cache
def _compiled_glu(*kind):
    """A compiled function per kind of map: three times as fast as the separate operations, after 0.2 s of compilation.

    TensorFlow warns about a function that is traced for many shapes. It counts by code object, hence the partial.
    """
    return tf.function(functools.partial(_biased_glu), jit_compile=True, autograph=False)


class ClassTerms(SeededLayer):
    """Factor and offset of conditional batch norm: vectors of the classes [N, 1, 1, V] -> two of [N, 1, 1, filters].

    Each is a dense layer with spectral norm and a bias; 1 is added to the factor. Source: the official program of
    Sauer et al. 2021.
    """

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        dense = {"use_bias": True, "torch_initial": True}
        self.factor = SpectralConv(filters, 1, **dense, **self.part("factor"))
        self.offset = SpectralConv(filters, 1, **dense, **self.part("offset"))

    def build(self, shape):
        self.factor.build(shape)
        self.offset.build(shape)

    def call(self, vectors, training=False):
        factor, offset = self.factor(vectors, training=training), self.offset(vectors, training=training)
        return tf.cast(factor, self.variable_dtype) + 1.0, tf.cast(offset, self.variable_dtype)

    def fold_weights(self, weights):
        """Stores the weights of a trained layer."""
        self.fold_parts(weights, "factor", "offset")


class UpBlock(SeededLayer):
    """Doubles the size: upsampling, 3x3 convolution, batch norm, GLU.

    Call: x [N, H, W, I], excitation weights [N, 1, 1, filters] or None, vectors of the classes [N, 1, 1, V] or None
    -> [N, 2H, 2W, filters].

    Args:
        vector_size: V, with which batch norm is conditional; 0: it is not.
    """

    def __init__(self, filters, vector_size=0, torch_initial=False, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.vector_size = filters, vector_size
        initial = {"torch_initial": torch_initial}
        self.up = SpectralUpConv(2 * filters, **initial, **self.part("up"))
        self.norm = BatchNorm(**initial, trainable=not vector_size, **self.part("norm"))
        self.terms = ClassTerms(2 * filters, **self.part("terms")) if vector_size else None

    def build(self, shape):
        self.up.build(shape)
        self.norm.build((None, None, None, 2 * self.filters))
        if self.terms is not None:
            self.terms.build((None, 1, 1, self.vector_size))

    def call(self, x, weights=None, vectors=None, training=False):
        terms = None if self.terms is None else self.terms(vectors, training=training)
        return glu_layer(x, self.up, self.norm, weights=weights, terms=terms, training=training)

    def fold_weights(self, weights):
        """Stores the weights of a trained block."""
        fold_glu_layer(self, weights, "up", "norm")
        self.fold_parts(weights, "terms")


class NoisyUpBlock(SeededLayer):
    """An up-block with noise before its batch norm, then a 3x3 convolution, noise, batch norm and GLU at the new size.

    Call: x [N, H, W, I], excitation weights [N, 1, 1, filters] or None, vectors of the classes [N, 1, 1, V] or None,
    two noise maps, each [N, 2H, 2W, 1] or None -> [N, 2H, 2W, filters].

    Args:
        vector_size: V, with which batch norm is conditional, and both places share one strength of the noise; or 0.
    """

    def __init__(self, filters, vector_size=0, torch_initial=False, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.vector_size = filters, vector_size
        initial = {"torch_initial": torch_initial}
        self.up = SpectralUpConv(2 * filters, **initial, **self.part("up"))
        self.up_noise = NoiseInjection(**self.part("up_noise"))
        self.up_norm = BatchNorm(**initial, trainable=not vector_size, **self.part("up_norm"))
        self.conv = SpectralConv(2 * filters, 3, **initial, **self.part("conv"))
        shares_noise = vector_size and not self.folded  # folded, the strengths contain different factors
        self.conv_noise = self.up_noise if shares_noise else NoiseInjection(**self.part("conv_noise"))
        self.conv_norm = BatchNorm(**initial, trainable=not vector_size, **self.part("conv_norm"))
        self.up_terms = ClassTerms(2 * filters, **self.part("up_terms")) if vector_size else None
        self.conv_terms = ClassTerms(2 * filters, **self.part("conv_terms")) if vector_size else None

    def build(self, shape):
        self.up.build(shape)
        self.conv.build((None, None, None, self.filters))
        for layer in (self.up_noise, self.up_norm, self.conv_noise, self.conv_norm):
            if not layer.built:  # the two places of the noise can be one layer
                layer.build((None, None, None, 2 * self.filters))
        if self.vector_size:
            self.up_terms.build((None, 1, 1, self.vector_size))
            self.conv_terms.build((None, 1, 1, self.vector_size))

    def call(self, x, weights=None, vectors=None, noise=(None, None), training=False):
        up_terms = conv_terms = None
        if self.vector_size:
            up_terms, conv_terms = (layer(vectors, training=training) for layer in (self.up_terms, self.conv_terms))
        x = glu_layer(x, self.up, self.up_norm, self.up_noise, noise[0], None, up_terms, training)
        return glu_layer(x, self.conv, self.conv_norm, self.conv_noise, noise[1], weights, conv_terms, training)

    def fold_weights(self, weights):
        """Stores the weights of a trained block."""
        if self.vector_size:  # the shared strength, under the first of its names
            weights = {**weights, "up_noise/strength": weights["conv_noise/strength"]}
        fold_glu_layer(self, weights, "up", "up_norm", "up_noise")
        fold_glu_layer(self, weights, "conv", "conv_norm", "conv_noise")
        self.fold_parts(weights, "up_terms", "conv_terms")


class Excitation(SeededLayer):
    """Weights for the channels of one map, computed from a smaller or larger map (skip-layer excitation).

    Call: source [N, H, W, I], a multiple of `base` -> [N, 1, 1, filters] in (0, 1).
    """

    def __init__(self, filters, base=(4, 4), torch_initial=False, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.base = filters, base
        initial = {"torch_initial": torch_initial}
        self.squeeze = SpectralConv(filters, base, padding="VALID", **initial, **self.part("squeeze"))
        self.gate = SpectralConv(filters, 1, **initial, **self.part("gate"))

    def build(self, shape):
        self.squeeze.build(shape)
        self.gate.build((None, None, None, self.filters))

    def call(self, source, training=False):
        squeezed = swish(self.squeeze(average_pool_to(source, self.base[0]), training=training))
        return tf.sigmoid(self.gate(squeezed, training=training))

    def fold_weights(self, weights):
        """Stores the weights of a trained excitation."""
        self.fold_parts(weights, "squeeze", "gate")


class ConvBlock(SeededLayer):
    """Convolution, batch norm (unless `normalised` is False), leaky ReLU.

    Call: x [N, H, W, I] -> [N, H / strides, W / strides, filters].
    """

    def __init__(self, filters, kernel_size, strides=1, normalised=True, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.conv = SpectralConv(filters, kernel_size, strides, **self.part("conv"))
        self.norm = BatchNorm(**self.part("norm")) if normalised else None

    def build(self, shape):
        self.conv.build(shape)
        if self.norm is not None:
            self.norm.build((None, None, None, self.filters))

    def call(self, x, training=False):
        x = self.conv(x, training=training)
        if self.norm is not None:
            x = self.norm(x, training=training)
        return leaky_relu(x)


class DownBlock(SeededLayer):
    """Halves the size; the mean of two paths: 4x4 and 3x3 convolutions, and average pooling with a 1x1 convolution.

    Call: x [N, H, W, I] -> [N, H / 2, W / 2, filters].
    """

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.main = [ConvBlock(filters, 4, 2, **self.part("main/0")), ConvBlock(filters, 3, **self.part("main/1"))]
        self.direct = ConvBlock(filters, 1, **self.part("direct"))

    def build(self, shape):
        self.main[0].build(shape)
        self.main[1].build((None, None, None, self.filters))
        self.direct.build(shape)

    def call(self, x, training=False):
        main = self.main[1](self.main[0](x, training=training), training=training)
        direct = self.direct(tf.nn.avg_pool2d(x, 2, 2, "VALID"), training=training)
        return (main + direct) * 0.5


class Decoder(SeededLayer):
    """Reconstructs an image from a feature map of the discriminator, which keeps the map informative.

    Call: x [N, H, W, I], a multiple of twice the `base` -> [N, h, w, image_channels] float32 in [-1, 1], a map of the
    size `resolution`.
    """

    def __init__(self, resolution, base=(4, 4), image_channels=3, **kwargs):
        super().__init__(**kwargs)
        self.base = base
        sizes = [size for size in DECODER_CHANNELS if size <= resolution]
        self.blocks = [UpBlock(DECODER_CHANNELS[size], **self.part(f"blocks/{size}")) for size in sizes]
        self.to_rgb = SpectralConv(image_channels, 3, **self.part("to_rgb"))

    def build(self, shape):
        for block in self.blocks:
            block.build(shape)
            shape = (None, None, None, block.filters)
        self.to_rgb.build(shape)

    def call(self, x, training=False):
        x = average_pool_to(x, DECODER_INPUT * self.base[0])
        for block in self.blocks:
            x = block(x, training=training)
        return tf.tanh(tf.cast(self.to_rgb(x, training=training), tf.float32))


class SpectralProjection(SpectralConv):
    """Class term of the logits: for each 4x4 window the scalar product of its features with the vector of the class.

    With the mean of the window instead, a class depended on texture alone, and the generator filled its images with
    dots. The vectors of all classes are one kernel under spectral norm, like all kernels of the discriminator.

    Call: features [N, H, W, C], labels -> [N, H - 3, W - 3, 1].
    """

    def __init__(self, classes, **kwargs):
        super().__init__(classes, 4, padding="VALID", **kwargs)

    def call(self, features, labels, training=False):
        logits = super().call(features, training=training)  # [N, h, w, classes]
        weights = class_weights(labels, self.filters, logits.dtype)
        return tf.reduce_sum(logits * weights[:, None, None], axis=3, keepdims=True)
