"""FastGAN's generator for inference: spectral norm and batch norm folded into kernels and biases.

Every stage is one convolution with a kernel that is ready for use, then one element-wise chain (bias, noise, GLU,
excitation) that XLA compiles. The official network adds noise in front of batch norm, so its strength is folded too
and becomes one number for each channel.
"""

import functools

import keras
import tensorflow as tf

from gan_tf.models.conditioning import FoldedEmbedding, shifted
from gan_tf.models.fastgan import EXCITED_FROM, EXCITED_TO, G_WIDTHS, Generator, at_both_scales, noise_shapes_of
from gan_tf.models.folded import FoldedConv, FoldedStem, FoldedUpConv, fold_into, generator_of, uses_compiled_chains
from gan_tf.ops.layers import plain_glu, swish
from gan_tf.ops.normalisation import scale_and_shift
from gan_tf.ops.resample import average_pool_to


def fold(generator: Generator, dtype=None):
    """Returns a FoldedGenerator with the weights of a built generator; see `fold_into`."""
    return fold_into(FoldedGenerator, generator, ("resolution", "ngf", "latent_size", "tanh", "classes"), dtype)


def judge(discriminator, generator):
    """Returns what a discriminator says of one finished image and its class; it also sees what it sees of real images,
    a smaller version.
    """
    shape = (1, discriminator.resolution, discriminator.resolution, 3)
    return lambda image, labels=None: discriminator(
        at_both_scales(tf.ensure_shape(image, shape)), labels, training=False
    )


@keras.saving.register_keras_serializable("gan_tf")
class FoldedGenerator(keras.Model):
    """Makes the images that a `Generator` makes in evaluation mode, within rounding, in less time.

    Call: as `Generator`, but the images alone: z [N, Z], labels [N], noise -> [N, R, R, 3] float32.
        style: None, or what `style_of` made of other latents: their channel weights in place of the images' own.
    `refresh` brings newer weights; functions that were traced before see them.

    Args:
        resolution, ngf, latent_size, tanh, classes: as for `Generator`.

    Raises:
        ValueError: called with `training=True`.
    """

    def __init__(self, resolution, ngf=64, latent_size=256, tanh=None, classes=0, **kwargs):
        super().__init__(**kwargs)
        self.resolution = resolution
        self.ngf = ngf
        self.latent_size = latent_size
        self.tanh = resolution == 1024 if tanh is None else tanh
        self.classes = classes
        self.sizes = [size for size in G_WIDTHS if 8 <= size <= resolution]
        part = {"dtype": self.dtype_policy}
        self.embed = FoldedEmbedding(2 * self._channels(4), classes, **part) if classes else None
        self.stem = FoldedStage(FoldedStem(2 * self._channels(4), **part), **part)
        self.blocks = [self._block(i, size, part) for i, size in enumerate(self.sizes)]
        self.excitations = [FoldedExcitation(self._channels(size), **part) for size in self.sizes if _is_excited(size)]
        self.to_rgb = FoldedConv(3, 3, **part)

    @property
    def noise_shapes(self):
        """Shape (h, w, 1) of every noise map, as the generator's."""
        return noise_shapes_of(self.resolution)

    def build(self, shape=None):
        if self.embed is not None:
            self.embed.build()
        self.stem.build((None, self.latent_size))
        for size, stages in zip(self.sizes, self.blocks, strict=True):
            stages[0].build(self._map(size // 2))
            for stage in stages[1:]:
                stage.build(self._map(size))
        for i, excitation in enumerate(self.excitations):
            excitation.build(self._map(2 ** (i + 2)))
        self.to_rgb.build(self._map(self.resolution))

    def call(self, z, labels=None, noise=None, training=False, style=None):
        if training:
            raise ValueError("a folded generator cannot be trained; train the generator and refresh this one from it")
        x = self._maps(z, labels, noise, self.resolution, style)[self.resolution]
        images = tf.cast(self.to_rgb(x), tf.float32)
        return tf.tanh(images) if self.tanh else images

    def style_of(self, z, labels=None, noise=None):
        """The weights with which small maps excite the channels of large ones.

        Only the small maps are computed: none of those that excite is excited itself.

        Args:
            z: [N, Z].
            labels, noise: as for the network itself.

        Returns:
            A list of [N, 1, 1, C], one for each excited map, smallest first.
        """
        sources = [size // 16 for size in self.sizes if _is_excited(size)]
        maps = self._maps(z, labels, noise, sources[-1])
        return [excitation(maps[size]) for excitation, size in zip(self.excitations, sources, strict=True)]

    def _maps(self, z, labels, noise, largest, style=None):
        """{size: [N, size, size, C]} from 4 to `largest` pixels."""
        noise = iter(noise or [None] * len(self.noise_shapes))
        x = self.stem(z, shift=None if self.embed is None else self.embed(labels))
        maps = {4: x}
        excited = 0
        for size, stages in zip(self.sizes, self.blocks, strict=True):
            if size > largest:
                break
            weights = None  # [N, 1, 1, C]
            if _is_excited(size):
                weights = self.excitations[excited](maps[size // 16]) if style is None else style[excited]
                excited += 1
            if len(stages) == 1:
                x = stages[0](x, weights=weights)
            else:
                x = stages[0](x, next(noise))
                x = stages[1](x, next(noise), weights)
            maps[size] = x
        return maps

    def refresh(self, generator):
        """Folds the present weights and statistics of `generator` into this network.

        Args:
            generator: Generator of the same sizes, or its weights, {attribute path: array or variable}.
        """
        sizes = (self.resolution, self.ngf, self.latent_size, self.tanh)
        generator = generator_of(generator, lambda: Generator(*sizes, classes=self.classes))
        if self.embed is not None:
            self.embed.refresh(generator.embed)
        self.stem.refresh(generator.stem, generator.stem_norm)
        for stages, block in zip(self.blocks, generator.blocks, strict=True):
            if len(stages) == 1:
                stages[0].refresh(block.up, block.norm)
            else:
                stages[0].refresh(block.up, block.up_norm, block.up_noise)
                stages[1].refresh(block.conv, block.conv_norm, block.conv_noise)
        for folded, excitation in zip(self.excitations, generator.excitations, strict=True):
            folded.refresh(excitation)
        self.to_rgb.refresh(_kernel(generator.to_rgb))

    def get_config(self):
        own = {"resolution": self.resolution, "ngf": self.ngf, "latent_size": self.latent_size, "tanh": self.tanh}
        return {**super().get_config(), **own, "classes": self.classes}

    def _block(self, index, size, part):
        """Stages of one block: every other block, from the first on, has noise and a second convolution."""
        filters = 2 * self._channels(size)
        stages = [FoldedStage(FoldedUpConv(filters, **part), **part)]
        return stages if index % 2 else [*stages, FoldedStage(FoldedConv(filters, 3, **part), **part)]

    def _channels(self, size):
        return int(self.ngf * G_WIDTHS[size])

    def _map(self, size):
        return (None, size, size, self._channels(size))


@keras.saving.register_keras_serializable("gan_tf")
class FoldedExcitation(keras.layers.Layer):
    """The channel weights of an `Excitation`.

    Call: source [N, H, W, I], H a multiple of 4 -> [N, 1, 1, filters] in (0, 1).
    """

    def __init__(self, filters, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.filters = filters
        self.squeeze = FoldedConv(filters, 4, padding="VALID", dtype=self.dtype_policy)
        self.gate = FoldedConv(filters, 1, dtype=self.dtype_policy)

    def build(self, shape):
        self.squeeze.build(shape)
        self.gate.build((None, None, None, self.filters))

    def call(self, source):
        return tf.sigmoid(self.gate(swish(self.squeeze(average_pool_to(source, 4)))))

    def refresh(self, excitation):
        """Takes the kernels of `excitation`."""
        self.squeeze.refresh(_kernel(excitation.squeeze))
        self.gate.refresh(_kernel(excitation.gate))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable("gan_tf")
class FoldedStage(keras.layers.Layer):
    """A convolution with batch norm folded into it, then noise, GLU and excitation.

    Call: x as `linear` takes it, noise [N, H, W, 1] or None, weights [N, 1, 1, C] or None -> [N, H, W, C], C half of
    the filters of `linear`.
        shift: [N, 2C] or None: added to what the convolution gives, the vectors of the classes.
    """

    def __init__(self, linear, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.linear = linear

    def build(self, shape):
        self.linear.build(shape)
        for name in ("bias", "strength"):
            vector = self.add_weight(name=name, shape=(self.linear.filters,), initializer="zeros", autocast=False)
            setattr(self, name, vector)

    def call(self, x, noise=None, weights=None, shift=None):
        return gated(shifted(self.linear(x), shift), self.bias.value, self.strength.value, noise, weights)

    def refresh(self, source, norm, injection=None):
        """Folds a spectral layer, the batch norm behind it and the noise injection between them."""
        values = (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
        scale, shift = scale_and_shift(*(variable.value for variable in values))
        self.linear.refresh(_kernel(source) * scale)
        self.bias.assign(shift)
        if injection is not None:
            self.strength.assign(scale * injection.strength.value)

    def get_config(self):
        return {**super().get_config(), "linear": keras.saving.serialize_keras_object(self.linear)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("linear")), **config)


def gated(x, bias, strength, noise=None, weights=None):
    """What follows a convolution: bias, noise, GLU, excitation, computed in float32.

    Args:
        x: [N, H, W, 2C].
        bias, strength: [2C] float32.
        noise: [N, H, W, 1], or None: nothing is added.
        weights: [N, 1, 1, C], or None for ones.

    Returns:
        [N, H, W, C] of x's type.
    """
    if not uses_compiled_chains():
        return plain_gated(x, bias, strength, noise, weights)
    given = [extra for extra in (noise, weights) if extra is not None]
    return _compiled_gated(tuple(x.shape), x.dtype, noise is not None, weights is not None)(x, bias, strength, *given)


def plain_gated(x, bias, strength, noise=None, weights=None):
    """`gated` as separate operations."""
    y = tf.cast(x, tf.float32) + bias
    if noise is not None:
        y += strength * tf.cast(noise, tf.float32)
    y = plain_glu(y)
    if weights is not None:
        y *= tf.cast(weights, tf.float32)
    return tf.cast(y, x.dtype)


@functools.cache
def _compiled_gated(shape, dtype, has_noise, has_weights):
    """One compiled function for each kind of map: a shared one would warn about being traced again for every shape.

    Three times as fast as the separate operations, after 0.2 s of compilation.
    """

    def chain(x, bias, strength, *given):
        given = iter(given)
        noise = next(given) if has_noise else None
        weights = next(given) if has_weights else None
        return plain_gated(x, bias, strength, noise, weights)

    # A partial, since traces are counted by code.
    return tf.function(functools.partial(chain), jit_compile=True, autograph=False)


def _kernel(layer):
    """The kernel that a spectral layer applies, float32."""
    return layer.normalised_kernel(training=False)


def _is_excited(size):
    return EXCITED_FROM <= size <= EXCITED_TO
