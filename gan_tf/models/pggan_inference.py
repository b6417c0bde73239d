"""Progressive GAN's generator for inference: scales, batch norm and the fade's weights folded into the kernels.

Every stage is one convolution with a kernel that is ready for use, then bias, leaky ReLU and pixel norm. (XLA makes
that chain no faster: pixel norm sums over channels.) Weights are those of a moment, and so is the level grown to.
"""

import math

import keras
import tensorflow as tf

from gan_tf.models.conditioning import FoldedEmbedding, joined
from gan_tf.models.folded import FoldedConv, FoldedStem, FoldedUpConv, fold_into, generator_of
from gan_tf.models.pggan import Generator, channels_of, level_of, resolution_of
from gan_tf.ops.equalised import at_least_float32, pixel_norm
from gan_tf.ops.layers import leaky_relu
from gan_tf.ops.normalisation import scale_and_shift
from gan_tf.ops.resample import upsample_nearest


def fold(generator: Generator, dtype=None):
    """Returns a FoldedGenerator with the weights and the growth of a built generator; see `fold_into`."""
    names = ("resolution", "fmap_base", "fmap_max", "latent_size", "pixel_norm", "classes")
    return fold_into(FoldedGenerator, generator, names, dtype)


def judge(discriminator, generator: Generator):
    """Returns what a discriminator says of one finished image and its class, as grown as the generator is.

    Alone in its batch an image has no spread, so the batch's standard deviation is the same for all images.
    """
    growth = float(generator.growth.numpy())
    level = math.ceil(growth)
    alpha = None if growth == level else growth - level + 1
    shape = (1, resolution_of(level), resolution_of(level), 3)
    return lambda image, labels=None: discriminator(
        tf.ensure_shape(image, shape), labels, training=False, level=level, alpha=alpha
    )


@keras.saving.register_keras_serializable("gan_tf", "PgganFoldedGenerator")
class FoldedGenerator(keras.Model):
    """Makes the images that a `Generator` makes in evaluation mode at its present growth, within rounding.

    Call: z [N, Z], labels [N], noise (not used) -> images [N, r, r, 3] float32, r = `resolution`.
    `refresh` brings newer weights and growth. Functions that were traced before see them as long as `resolution` stays
    the same, in a fade and behind it; where it has changed they must be traced anew.

    Args:
        full_resolution: R of the generator, fully grown.
        fmap_base, fmap_max, latent_size, pixel_norm, classes: as for `Generator`.
        level: that it makes images of until the first `refresh`.

    Raises:
        ValueError: called with `training=True`.
    """

    def __init__(
        self,
        full_resolution,
        fmap_base=8192,
        fmap_max=512,
        latent_size=512,
        pixel_norm=True,
        classes=0,
        level=0,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        self.full_resolution = full_resolution
        self.levels = level_of(full_resolution)
        self.fmap_base = fmap_base
        self.fmap_max = fmap_max
        self.latent_size = latent_size
        self.pixel_norm = pixel_norm
        self.classes = classes
        self.level = level
        part = {"dtype": self.dtype_policy}
        self.embed = FoldedEmbedding(latent_size, classes, **part) if classes else None
        self.stages = [self._stages(level, part) for level in range(self.levels + 1)]
        self.to_rgb = [FoldedConv(3, 1, **part) for _ in range(self.levels + 1)]

    @property
    def resolution(self):
        """Pixels of the images that it makes now."""
        return resolution_of(self.level)

    @property
    def noise_shapes(self):
        """No noise maps."""
        return []

    def build(self, shape=None):
        self.rgb_bias = self.add_weight(
            name="rgb_bias", shape=(3,), initializer="zeros", trainable=False, autocast=False
        )
        if self.embed is not None:
            self.embed.build()
        below = (None, (2 if self.classes else 1) * self.latent_size)
        for level, (first, conv) in enumerate(self.stages):
            size = resolution_of(level)
            first.build(below)
            below = (None, size, size, channels_of(level, self.fmap_base, self.fmap_max))
            conv.build(below)
            self.to_rgb[level].build(below)

    def call(self, z, labels=None, noise=None, training=False):
        if training:
            raise ValueError("a folded generator cannot be trained; train the generator and refresh this one from it")
        x, older = tf.cast(joined(pixel_norm(z), self.embed, labels), self.compute_dtype), None
        for first, conv in self.stages[: self.level + 1]:
            older, x = x, conv(first(x))
        images = at_least_float32(self.to_rgb[self.level](x)) + self.rgb_bias.value
        if self.level:  # in a fade or not: behind it the older kernel is zero
            images += upsample_nearest(at_least_float32(self.to_rgb[self.level - 1](older)))
        return images

    def refresh(self, generator):
        """Folds the present weights, statistics and growth of `generator` into this network.

        Args:
            generator: Generator of the same sizes, or its weights, {attribute path: array or variable}.
        """
        sizes = (self.full_resolution, self.fmap_base, self.fmap_max, self.latent_size)
        norms = {"batch_norm": "stem/first_norm/gamma" in generator} if isinstance(generator, dict) else {}
        generator = generator_of(generator, lambda: Generator(*sizes, classes=self.classes, **norms))
        growth = float(generator.growth.numpy())
        self.level = math.ceil(growth)
        if self.embed is not None:
            self.embed.refresh(generator.embed)
        for stages, block in zip(self.stages, (generator.stem, *generator.blocks), strict=True):
            stages[0].refresh(block.first, block.first_norm)
            stages[1].refresh(block.conv, block.conv_norm)
        alpha = growth - (self.level - 1) if self.level else 1.0
        newest = generator.to_rgb[self.level]
        self.to_rgb[self.level].refresh(alpha * newest.scaled_kernel())
        bias = alpha * newest.bias.value
        if self.level:
            older = generator.to_rgb[self.level - 1]
            self.to_rgb[self.level - 1].refresh((1.0 - alpha) * older.scaled_kernel())
            bias += (1.0 - alpha) * older.bias.value
        self.rgb_bias.assign(bias)

    def get_config(self):
        own = {"full_resolution": self.full_resolution, "fmap_base": self.fmap_base, "fmap_max": self.fmap_max}
        own |= {"latent_size": self.latent_size, "pixel_norm": self.pixel_norm}
        own |= {"classes": self.classes, "level": self.level}
        return {**super().get_config(), **own}

    def _stages(self, level, part):
        """The two stages of a level."""
        filters = channels_of(level, self.fmap_base, self.fmap_max)
        first = FoldedUpConv(filters, **part) if level else FoldedStem(filters, **part)
        return [ActiveStage(linear, self.pixel_norm, **part) for linear in (first, FoldedConv(filters, 3, **part))]


@keras.saving.register_keras_serializable("gan_tf")
class ActiveStage(keras.layers.Layer):
    """A convolution with batch norm folded into it, then bias, leaky ReLU and pixel norm (if asked for).

    Call: x as `linear` takes it -> [N, H, W, C], C the filters of `linear`.
    """

    def __init__(self, linear, pixel_norm, **kwargs):
        super().__init__(trainable=False, autocast=False, **kwargs)
        self.linear = linear
        self.pixel_norm = pixel_norm

    def build(self, shape):
        self.linear.build(shape)
        self.bias = self.add_weight(name="bias", shape=(self.linear.filters,), initializer="zeros", autocast=False)

    def call(self, x):
        y = leaky_relu(tf.nn.bias_add(self.linear(x), tf.cast(self.bias.value, x.dtype)))
        return pixel_norm(y) if self.pixel_norm else y

    def refresh(self, source, norm=None):
        """Folds an equalised layer and the batch norm behind it, if there is one."""
        if norm is None:
            self.linear.refresh(source.scaled_kernel())
            self.bias.assign(source.bias.value)
        else:
            values = (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
            scale, shift = scale_and_shift(*(variable.value for variable in values))
            self.linear.refresh(source.scaled_kernel() * scale)
            self.bias.assign(shift)

    def get_config(self):
        own = {"linear": keras.saving.serialize_keras_object(self.linear), "pixel_norm": self.pixel_norm}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("linear")), **config)
