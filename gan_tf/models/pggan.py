"""Progressive GAN: networks that grow from 4x4 pixels; each new size is blended with the one before at first.

A level counts the sizes: 0 is 4x4 pixels (or another base, see models/network.py), 1 is 8x8, and so on to the full
resolution. All layers exist from the start,
so that a run has one state; those above the present level get no gradient. The level is a Python integer, since a step
is traced once per level; alpha, the weight of the new size in the blend, is a tensor.

Source: Karras et al. 2018 (Progressive Growing of GANs for Improved Quality, Stability, and Variation), section 2 and
appendix A.
"""

import math

import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.models.network import ClassEmbedding, SeededNetwork, check_sizes, map_shape
from gan_tf.models.pggan_blocks import GrowBlock, HeadBlock, ShrinkBlock, StemBlock
from gan_tf.ops.activations import at_least_float32, leaky_relu
from gan_tf.ops.equalised import EqualisedConv
from gan_tf.ops.layers import sub_weights
from gan_tf.ops.normalisation import pixel_norm
from gan_tf.ops.pixels import generated
from gan_tf.ops.resample import average_pool_to, upsample_nearest

RESOLUTIONS = tuple(2**power for power in range(3, 11))  # 8 to 1024
GROWTH = "growth"  # name of the generator's variable that holds its growth


def level_of(resolution: int) -> int:
    """The level at which images have `resolution` pixels, from 4 on."""
    return resolution.bit_length() - 3


def resolution_of(level: int) -> int:
    """Size of the images of a level: pixels of a side, with the base 4x4."""
    return 4 * 2**level


def channels_of(level: int, fmap_base: int, fmap_max: int) -> int:
    """Channels of the maps of a level; level -1 is the discriminator's dense layer after the maps of 4x4 pixels."""
    return min(fmap_base // 2 ** (level + 1), fmap_max)


def growth_of(weights: dict, levels: int, where) -> float:
    """Growth of a generator, 0 to `levels`, from its weights {attribute path: array}; `levels` if they do not hold it.

    `where` describes the source of the weights in errors.

    Raises:
        UsageError: a growth that no generator with `levels` levels can have.
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
    """alpha * new + (1 - alpha) * old, computed in float32, in the type of `new`; exact where alpha is 0 or 1."""
    new, old, kind = at_least_float32(new), at_least_float32(old), new.dtype
    alpha = tf.cast(alpha, new.dtype)
    return tf.cast(alpha * new + (1.0 - alpha) * old, kind)


class PgganGenerator(SeededNetwork):
    """Generates images; their range of about [-1, 1] is learned.

    Call: z [N, Z], labels [N] integers (ignored without classes), noise (ignored) -> images [N, h, w, C] float32, h and
        w the base times 2**level.
        level: Python integer; None for the last.
        alpha: scalar tensor in [0, 1], weight of the level's own images; the rest is the level before, upsampled.
            None: 1, without the level before in the graph. Ignored at level 0.

    Attributes:
        growth: float32 scalar variable, level - 1 + alpha: 0 at first, for 4x4 pixels; `levels` when fully grown. The
            trainer sets it, and checkpoints contain it. A call of the trainable network does not read it.
        resolution: size of the images of a call without `level`; `image_shape` is their shape. Folded, those of the
            growth at the last `refresh`; functions that were traced before stay valid until it changes.

    Args:
        resolution: R, a power of two from 8 to 1024.
        fmap_base, fmap_max: maps of r pixels have min(2 * fmap_base / r, fmap_max) channels.
        latent_size: Z.
        batch_norm: batch norm after every 3x3 convolution.
        pixel_norm: pixel norm after every leaky ReLU. Latents are always normalised.
        classes: number of classes, 0 for an unconditional network: an embedding of length Z is concatenated to the
            normalised latent.
        base, image_channels: see models/network.py.
        seed, folded: see ops/layers.py.

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
        classes=0,
        base=(4, 4),
        image_channels=3,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        widths = {"fmap_base": (fmap_base, resolution // 2), "fmap_max": (fmap_max, 1)}
        check_sizes(resolution, RESOLUTIONS, classes, widths)
        self.levels = level_of(resolution)
        self.default_level = 0 if self.folded else self.levels
        self.fmap_base, self.fmap_max, self.latent_size = fmap_base, fmap_max, latent_size
        self.batch_norm, self.pixel_norm, self.classes = batch_norm, pixel_norm, classes
        self.base, self.image_channels = tuple(base), image_channels
        self.embed = ClassEmbedding(latent_size, classes, **self.part("g/embed")) if classes else None
        norms = {"batch_norm": batch_norm, "pixel_norm": pixel_norm}
        self.stem = StemBlock(self._channels(0), base=self.base, **norms, **self.part("g/stem"))
        self.blocks = [
            GrowBlock(self._channels(level), **norms, **self.part(f"g/blocks/{resolution_of(level)}"))
            for level in range(1, self.levels + 1)
        ]
        colours = {"filters": image_channels, "kernel_size": 1, "gain": 1.0, "use_bias": not self.folded}
        self.to_rgb = [
            EqualisedConv(**colours, **self.part(f"g/to_rgb/{resolution_of(level)}"))
            for level in range(self.levels + 1)
        ]

    @property
    def resolution(self):
        """Size of the images of a call without `level`."""
        return resolution_of(self.default_level)

    @property
    def noise_shapes(self):
        """No noise maps."""
        return []

    def arguments(self):
        return super().arguments() | {"resolution": resolution_of(self.levels)}

    def build(self, shape=None):
        if self.folded:
            self.rgb_bias = self.weight("rgb_bias", (self.image_channels,))
        else:  # assigned outside of the replicas, so all of them have the same value
            self.growth = self.weight("growth", (), trainable=False, aggregation="only_first_replica")
        if self.embed is not None:
            self.embed.build()
        self.stem.build((None, (2 if self.classes else 1) * self.latent_size))
        for level, block in enumerate(self.blocks):
            block.build(self._map(level))
        for level, layer in enumerate(self.to_rgb):
            layer.build(self._map(level))

    def call(self, z, labels=None, noise=None, training=False, level=None, alpha=None):
        self.check_training(training)
        level = self.default_level if level is None else level
        maps = self.maps(z, labels, level, training)
        images = at_least_float32(self.to_rgb[level](maps[-1]))
        if self.folded:
            images += self.rgb_bias.value
        if level and (alpha is not None or self.folded):
            older = upsample_nearest(at_least_float32(self.to_rgb[level - 1](maps[-2])))
            images = images + older if self.folded else blend(images, older, alpha)
        return generated(images)

    def maps(self, z, labels=None, level=None, training=False):
        """Feature maps of the levels 0 to `level`: a list of [N, h, w, C]. Arguments as for `call`."""
        z = pixel_norm(z)
        if self.embed is not None:
            z = tf.concat([z, tf.cast(self.embed(labels), z.dtype)], axis=1)
        maps = [self.stem(tf.cast(z, self.compute_dtype), training=training)]
        for block in self.blocks[: self.default_level if level is None else level]:
            maps.append(block(maps[-1], training=training))
        return maps

    def fold_weights(self, weights):
        """Stores the weights of a trainable generator {attribute path: tensor} in this folded one, and its growth.

        The `to_rgb` kernels of the two newest sizes and their common bias contain alpha; if it is 1, the older is zero.
        """
        growth = float(weights[GROWTH])
        self.default_level = level = math.ceil(growth)
        self.fold_parts(weights, "embed", "stem", "blocks")
        alpha = growth - (level - 1) if level else 1.0
        newest = sub_weights(weights, f"to_rgb/{level}")
        bias = alpha * newest["bias"]
        if level:
            older = sub_weights(weights, f"to_rgb/{level - 1}")
            bias += (1.0 - alpha) * older["bias"]
            self.to_rgb[level - 1].fold_weights(older, 1.0 - alpha)
        self.to_rgb[level].fold_weights(newest, alpha)
        self.rgb_bias.assign(bias)

    def _channels(self, level):
        return channels_of(level, self.fmap_base, self.fmap_max)

    def _map(self, level):
        return (None, *map_shape(resolution_of(level), self.base), self._channels(level))


class PgganDiscriminator(SeededNetwork):
    """Classifies images as real or fake.

    Call: images [N, h, w, C], labels [N] integers (ignored without classes) -> logits [N, 1] float32, h and w the base
        times 2**level.
        level, alpha: as for the generator.
        dtype: type to compute in, None for the policy's. Use "float32" for the penalties of a float16 run.

    Args:
        resolution, fmap_base, fmap_max, base, image_channels, seed: as for `PgganGenerator`.
        minibatch_stddev: append the standard deviation of the batch to the last maps; see ops/normalisation.py.
        classes: number of classes, 0 for an unconditional network; the features after the smallest maps are projected
            on the class at every level.

    Raises:
        UsageError: a resolution or width that the network cannot have.
        ValueError: images of another size than the level's.
    """

    def __init__(
        self,
        resolution,
        fmap_base=8192,
        fmap_max=512,
        minibatch_stddev=True,
        classes=0,
        base=(4, 4),
        image_channels=3,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        widths = {"fmap_base": (fmap_base, resolution // 2), "fmap_max": (fmap_max, 1)}
        check_sizes(resolution, RESOLUTIONS, classes, widths)
        self.resolution, self.levels = resolution, level_of(resolution)
        self.fmap_base, self.fmap_max = fmap_base, fmap_max
        self.minibatch_stddev, self.classes = minibatch_stddev, classes
        self.base, self.image_channels = tuple(base), image_channels
        self.from_rgb = [
            EqualisedConv(self._channels(level), 1, **self.part(f"d/from_rgb/{resolution_of(level)}"))
            for level in range(self.levels + 1)
        ]
        self.blocks = [
            ShrinkBlock(self._channels(level - 1), **self.part(f"d/blocks/{resolution_of(level)}"))
            for level in range(1, self.levels + 1)
        ]
        self.head = HeadBlock(self._channels(-1), minibatch_stddev, classes=classes, **self.part("d/head"))

    def build(self, shape=None):
        for level, layer in enumerate(self.from_rgb):
            shape = (None, *map_shape(resolution_of(level), self.base))
            layer.build((*shape, self.image_channels))
            if level:
                self.blocks[level - 1].build((*shape, self._channels(level)))
        self.head.build((None, *self.base, self._channels(0)))

    def call(self, images, labels=None, training=False, level=None, alpha=None, dtype=None):
        level = self.levels if level is None else level
        shape = (*map_shape(resolution_of(level), self.base), self.image_channels)
        if images.shape[1:] != shape:
            raise ValueError(f"level {level} takes images of the shape {shape}, got {images.shape[1:]}")
        dtype = dtype or self.compute_dtype
        x = self._features(images, level, dtype)
        for index in reversed(range(level)):
            x = self.blocks[index](x)
            if index == level - 1 and alpha is not None:
                older = average_pool_to(images, shape[0] // 2)
                x = blend(x, self._features(older, index, dtype), alpha)
        return at_least_float32(self.head(x, labels))

    def _features(self, images, level, dtype):
        return leaky_relu(self.from_rgb[level](tf.cast(images, dtype)))

    def _channels(self, level):
        return channels_of(level, self.fmap_base, self.fmap_max)


def image_logits(discriminator, generator):
    """Returns a function: image [1, h, w, C], labels [1] or None -> logits [1, 1], at the growth of `generator`.

    With one image per batch the minibatch standard deviation is a constant.
    """
    growth = float(generator.growth.numpy())
    level = math.ceil(growth)
    alpha = None if growth == level else growth - level + 1
    shape = (1, *map_shape(resolution_of(level), generator.base), generator.image_channels)
    return lambda image, labels=None: discriminator(tf.ensure_shape(image, shape), labels, level=level, alpha=alpha)
