"""Progressive GAN: networks that grow from 4x4 pixels, each new size fading in over the one before.

A level is how far a network has grown: 0 is 4x4 pixels, 1 is 8x8, and so on to the last, at the full resolution. All
layers exist from the start, so that a run has one state; those beyond the present level get no gradient. The present
level is a Python integer, since a step is traced once for each; how far its newest size has faded in is a tensor.

Source: Karras et al. 2018 (Progressive Growing of GANs for Improved Quality, Stability, and Variation), section 2 and
appendix A.
"""

import keras
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.models.conditioning import ClassEmbedding, check_classes, joined
from gan_tf.models.pggan_blocks import GrowBlock, HeadBlock, ShrinkBlock, StemBlock
from gan_tf.ops.equalised import EqualisedConv, at_least_float32, pixel_norm
from gan_tf.ops.layers import leaky_relu
from gan_tf.ops.resample import average_pool_to, upsample_nearest
from gan_tf.rng import stream_key

RESOLUTIONS = tuple(2**power for power in range(3, 11))  # 8 to 1024
GROWTH = "growth"  # the generator's variable that tells how far it has grown


def level_of(resolution: int) -> int:
    """The level at which images have `resolution` pixels, from 4 on."""
    return resolution.bit_length() - 3


def resolution_of(level: int) -> int:
    """Pixels of the images of a level."""
    return 4 * 2**level


def channels_of(level: int, fmap_base: int, fmap_max: int) -> int:
    """Channels of the maps of a level; level -1 is the discriminator's vector behind the maps of 4x4 pixels."""
    return min(fmap_base // 2 ** (level + 1), fmap_max)


def growth_of(weights: dict, levels: int, where) -> float:
    """How far a generator has grown, 0 to `levels`, by its weights {attribute path: array}; fully if they do not say.

    Args:
        where: the weights' source, for the message.

    Raises:
        UsageError: they say what no generator of so many levels can have.
    """
    growth = weights.get(GROWTH)
    if growth is None:
        return float(levels)
    if growth.shape != () or not 0 <= float(growth) <= levels:
        raise UsageError(
            f"{where} does not fit the network of its settings: {GROWTH} is {' '.join(str(growth).split())[:40]}, and "
            f"should be one number from 0 to {levels}"
        )
    return float(growth)


def blend(new, old, alpha):
    """alpha * new + (1 - alpha) * old in float32, in the type of `new`; exact where alpha is 0 or 1."""
    new, old, kind = at_least_float32(new), at_least_float32(old), new.dtype
    alpha = tf.cast(alpha, new.dtype)
    return tf.cast(alpha * new + (1.0 - alpha) * old, kind)


@keras.saving.register_keras_serializable("gan_tf", "PgganGenerator")
class Generator(keras.Model):
    """Grows latents to images, which training alone brings into [-1, 1].

    Call: z [N, Z], labels [N] integers (not read without classes), noise (not used) -> images [N, r, r, 3] float32,
        r = 4 * 2**level.
        level: Python integer; None is the last.
        alpha: scalar tensor in [0, 1], the weight of the level's own images; the rest is the level before, enlarged.
            None: fully faded in, with nothing of the level before in the graph. Level 0 ignores it.

    Attributes:
        growth: float32 scalar variable for whoever trains it, level - 1 + alpha: 0 for 4x4 pixels alone, as it starts,
            `levels` when fully grown. A call does not read it.

    Args:
        resolution: R, a power of two from 8 to 1024.
        fmap_base, fmap_max: maps of r pixels have min(2 * fmap_base / r, fmap_max) channels.
        latent_size: Z.
        batch_norm: normalise over the batch behind every 3x3 convolution.
        pixel_norm: normalise the channels of every pixel behind every leaky ReLU. The latents always are.
        seed: of the initial values.
        classes: number of classes, 0 for an unconditional network: a learned vector for each, as long as the latent,
            stands beside the normalised latent in front of the first layer.

    Raises:
        UsageError: a resolution or width that the network cannot have.
    """

    def __init__(
        self,
        resolution,
        fmap_base=8192,
        fmap_max=512,
        latent_size=512,
        batch_norm=False,
        pixel_norm=True,
        seed=0,
        classes=0,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        _check_sizes(resolution, fmap_base, fmap_max)
        check_classes(classes)
        self.resolution = resolution
        self.levels = level_of(resolution)
        self.fmap_base = fmap_base
        self.fmap_max = fmap_max
        self.latent_size = latent_size
        self.batch_norm = batch_norm
        self.pixel_norm = pixel_norm
        self.seed = seed
        self.classes = classes
        self.embed = ClassEmbedding(latent_size, classes, **self._part("embed")) if classes else None
        norms = {"batch_norm": batch_norm, "pixel_norm": pixel_norm}
        self.stem = StemBlock(self._channels(0), **norms, **self._part("stem"))
        self.blocks = [
            GrowBlock(self._channels(level), **norms, **self._part(f"blocks/{resolution_of(level)}"))
            for level in range(1, self.levels + 1)
        ]
        self.to_rgb = [
            EqualisedConv(3, 1, gain=1.0, **self._part(f"to_rgb/{resolution_of(level)}"))
            for level in range(self.levels + 1)
        ]

    @property
    def noise_shapes(self):
        """No noise maps."""
        return []

    def build(self, shape=None):
        self.growth = self.add_weight(
            name="growth",
            shape=(),
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",  # set outside of replicas, the same for all
        )
        if self.embed is not None:
            self.embed.build()
        self.stem.build((None, (2 if self.classes else 1) * self.latent_size))
        for level, block in enumerate(self.blocks):
            block.build(self._map(level))
        for level, layer in enumerate(self.to_rgb):
            layer.build(self._map(level))

    def call(self, z, labels=None, noise=None, training=False, level=None, alpha=None):
        level = self.levels if level is None else level
        _check_level(level, self.levels)
        older = None
        x = tf.cast(joined(pixel_norm(z), self.embed, labels), self.compute_dtype)
        x = self.stem(x, training=training)
        for block in self.blocks[:level]:
            older, x = x, block(x, training=training)
        images = at_least_float32(self.to_rgb[level](x))
        if older is None or alpha is None:
            return images
        return blend(images, upsample_nearest(at_least_float32(self.to_rgb[level - 1](older))), alpha)

    def get_config(self):
        own = {"resolution": self.resolution, "fmap_base": self.fmap_base, "fmap_max": self.fmap_max}
        own |= {"latent_size": self.latent_size, "batch_norm": self.batch_norm, "pixel_norm": self.pixel_norm}
        return {**super().get_config(), **own, "seed": self.seed, "classes": self.classes}

    def _channels(self, level):
        return channels_of(level, self.fmap_base, self.fmap_max)

    def _map(self, level):
        size = resolution_of(level)
        return (None, size, size, self._channels(level))

    def _part(self, name):
        return {"seed": stream_key(self.seed, f"g/{name}"), "dtype": self.dtype_policy}


@keras.saving.register_keras_serializable("gan_tf", "PgganDiscriminator")
class Discriminator(keras.Model):
    """Judges images.

    Call: images [N, r, r, 3], labels [N] integers (not read without classes) -> logits [N, 1] float32,
        r = 4 * 2**level.
        level, alpha: as for the generator.
        dtype: type to compute in, None for the policy's. Penalties of float16 runs want "float32".

    Args:
        resolution, fmap_base, fmap_max, seed: as for `Generator`.
        minibatch_stddev: shows the spread of the batch to the last layers; see `ops.equalised`.
        classes: number of classes, 0 for an unconditional network. What is left of an image at 4x4 pixels, behind the
            blocks of whatever level, is projected on its class.

    Raises:
        UsageError: a resolution or width that the network cannot have.
        ValueError: images whose size is not the level's.
    """

    def __init__(self, resolution, fmap_base=8192, fmap_max=512, minibatch_stddev=True, seed=0, classes=0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        _check_sizes(resolution, fmap_base, fmap_max)
        check_classes(classes)
        self.resolution = resolution
        self.levels = level_of(resolution)
        self.fmap_base = fmap_base
        self.fmap_max = fmap_max
        self.minibatch_stddev = minibatch_stddev
        self.seed = seed
        self.classes = classes
        self.from_rgb = [
            EqualisedConv(self._channels(level), 1, **self._part(f"from_rgb/{resolution_of(level)}"))
            for level in range(self.levels + 1)
        ]
        self.blocks = [
            ShrinkBlock(self._channels(level - 1), **self._part(f"blocks/{resolution_of(level)}"))
            for level in range(1, self.levels + 1)
        ]
        self.head = HeadBlock(self._channels(-1), minibatch_stddev, classes=classes, **self._part("head"))

    def build(self, shape=None):
        for level, layer in enumerate(self.from_rgb):
            size = resolution_of(level)
            layer.build((None, size, size, 3))
            if level:
                self.blocks[level - 1].build((None, size, size, self._channels(level)))
        self.head.build((None, 4, 4, self._channels(0)))

    def call(self, images, labels=None, training=False, level=None, alpha=None, dtype=None):
        level = self.levels if level is None else level
        _check_level(level, self.levels)
        if images.shape[1] != resolution_of(level):
            raise ValueError(f"level {level} judges {resolution_of(level)} pixels, got images of {images.shape[1]}")
        dtype = dtype or self.compute_dtype
        x = self._features(images, level, dtype)
        for index in reversed(range(level)):
            x = self.blocks[index](x)
            if index == level - 1 and alpha is not None:
                older = average_pool_to(images, resolution_of(index))
                x = blend(x, self._features(older, index, dtype), alpha)
        return at_least_float32(self.head(x, labels))

    def get_config(self):
        own = {"resolution": self.resolution, "fmap_base": self.fmap_base, "fmap_max": self.fmap_max}
        own |= {"minibatch_stddev": self.minibatch_stddev, "seed": self.seed, "classes": self.classes}
        return {**super().get_config(), **own}

    def _features(self, images, level, dtype):
        return leaky_relu(self.from_rgb[level](tf.cast(images, dtype)))

    def _channels(self, level):
        return channels_of(level, self.fmap_base, self.fmap_max)

    def _part(self, name):
        return {"seed": stream_key(self.seed, f"d/{name}"), "dtype": self.dtype_policy}


def build_generator(settings, policy):
    """Builds a generator from the attributes of `settings` that have the names of its arguments."""
    names = ("resolution", "fmap_base", "fmap_max", "latent_size", "batch_norm", "pixel_norm", "seed", "classes")
    g = Generator(**{name: getattr(settings, name) for name in names}, dtype=policy)
    g.build()
    return g


def build_discriminator(settings, policy):
    """Builds a discriminator from the attributes of `settings` that have the names of its arguments."""
    names = ("resolution", "fmap_base", "fmap_max", "minibatch_stddev", "seed", "classes")
    d = Discriminator(**{name: getattr(settings, name) for name in names}, dtype=policy)
    d.build()
    return d


def _check_sizes(resolution, fmap_base, fmap_max):
    if resolution not in RESOLUTIONS:
        raise UsageError(f"resolution must be one of {', '.join(map(str, RESOLUTIONS))} for pggan, got {resolution}")
    least = 2 ** (level_of(resolution) + 1)
    if fmap_base < least:
        raise UsageError(f"fmap_base must be at least {least} at resolution {resolution}, got {fmap_base}")
    if fmap_max < 1:
        raise UsageError(f"fmap_max must be at least 1, got {fmap_max}")


def _check_level(level, levels):
    if not 0 <= level <= levels:
        raise ValueError(f"level must be 0 to {levels}, got {level}")
