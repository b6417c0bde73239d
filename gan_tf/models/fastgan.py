"""FastGAN: a generator with skip-layer excitation and a self-supervised two-scale discriminator.

At 256, 512 and 1024 pixels these are the official networks; docs/fastgan.md lists channels and maps for every size.
Source: Liu et al. 2021 (Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis).
"""

import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.models.fastgan_blocks import (
    ConvBlock,
    Decoder,
    DownBlock,
    Excitation,
    NoisyUpBlock,
    SpectralProjection,
    UpBlock,
    fold_glu_layer,
    glu_layer,
)
from gan_tf.models.network import ClassEmbedding, SeededNetwork, check_sizes, map_shape
from gan_tf.ops.layers import BatchNorm, SpectralConv, SpectralStem
from gan_tf.ops.normalisation import pixel_norm
from gan_tf.ops.pixels import generated
from gan_tf.ops.resample import nearest_resize

RESOLUTIONS = (64, 128, 256, 512, 1024)
G_WIDTHS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 1 / 2, 512: 1 / 4, 1024: 1 / 8}  # times ngf, by map size
G_EXCITED = (64, 128, 256, 512)  # maps of G that a map 16 times smaller excites
BIG_WIDTH, SMALL_WIDTH = 64, 32  # channels of D's two paths: width * ndf / map size
LARGEST_MAP = 256  # D's stem reduces larger images to this size
LOGIT_MAP = 8  # pixels of the last map; a 4x4 convolution of it gives 5x5 logits with the base 4x4
CLASS_STDDEV = 0.25  # of the initial class embeddings, which are added to maps that batch norm scales to about 1
D_EXCITED = (32, 16, 8)  # maps of D's big path that a map 8 times larger excites
PART = "part"  # decoder of a quadrant
DECODERS = ("big", "small", PART)  # of the official network


class FastGanGenerator(SeededNetwork):
    """Generates images and smaller versions of them.

    Call: z [N, Z], labels, noise -> (images [N, H, W, C], small [N, h, w, C]) float32; folded, the images alone. Shapes
    are `image_shape` and `small_shape`, 256x256 and 128x128 pixels for a resolution of 256 and the published base. With
    `tanh` they are in [-1, 1]; else this range is learned, as in the official code.
        labels: [N] integers; ignored without classes.
        noise: a list of [N, h, w, 1], one for each of `noise_shapes`; None: none is added.
        style: the style of other latents from `style_of`, which replaces the images' own; or None.

    Args:
        resolution: R, one of 64, 128, 256, 512, 1024.
        ngf: width; maps of 64 pixels have 2 * ngf channels.
        latent_size: Z.
        tanh: tanh on the output; always at 1024.
        up_blocks: "alternating", the published network; or "full" or "lite", the generators of Projected GAN (Sauer et
            al. 2021): all blocks with noise or all without, latents scaled to length sqrt(Z), a bias in the last layer,
            PyTorch's initial values, no small images, which are zeros, and for classes conditional batch norm.
        classes: number of classes, 0 for an unconditional network; see models/fastgan_blocks.py.
        base, image_channels: see models/network.py.
        seed, folded: see ops/layers.py.

    Raises:
        UsageError: a resolution or width that the network cannot have.
    """

    def __init__(
        self,
        resolution,
        ngf=64,
        latent_size=256,
        tanh=False,
        up_blocks="alternating",
        classes=0,
        base=(4, 4),
        image_channels=3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_sizes(resolution, RESOLUTIONS, classes, {"ngf": (ngf, max(1, resolution // 128))})
        self.up_blocks, self.is_projected = up_blocks, up_blocks != "alternating"
        self.resolution, self.base, self.image_channels = resolution, tuple(base), image_channels
        self.small_resolution = small_resolution_of(resolution)
        self.ngf, self.latent_size, self.classes = ngf, latent_size, classes
        self.tanh = tanh or resolution == 1024
        self.sizes = [size for size in G_WIDTHS if 8 <= size <= resolution]  # pixels of the outputs of `blocks`
        self.excited_sizes = [size for size in self.sizes if size in G_EXCITED]  # of the maps that excitations change
        width, initial = 2 * self._channels(4), {"torch_initial": self.is_projected}
        self.has_class_norm = bool(classes) and self.is_projected
        vector_size, stddev = (latent_size, 1.0) if self.is_projected else (width, CLASS_STDDEV)
        embedding = {"normalised": False, "stddev": stddev, **self.part("g/embed")}
        self.embed = ClassEmbedding(vector_size, classes, **embedding) if classes else None
        self.stem = SpectralStem(width, self.base, **initial, **self.part("g/stem"))
        self.stem_norm = BatchNorm(**initial, **self.part("g/stem_norm"))
        self.noisy_sizes = {"alternating": self.sizes[::2], "full": self.sizes, "lite": []}[up_blocks]
        options = {"vector_size": vector_size if self.has_class_norm else 0, **initial}
        self.blocks = [
            (NoisyUpBlock if size in self.noisy_sizes else UpBlock)(
                self._channels(size), **options, **self.part(f"g/blocks/{size}")
            )
            for size in self.sizes
        ]
        self.excitations = [
            Excitation(self._channels(size), self.base, **initial, **self.part(f"g/excitations/{size}"))
            for size in self.excited_sizes
        ]
        has_small = not (self.folded or self.is_projected)
        self.to_small = SpectralConv(image_channels, 1, **self.part("g/to_small")) if has_small else None
        self.to_rgb = SpectralConv(image_channels, 3, use_bias=self.is_projected, **initial, **self.part("g/to_rgb"))

    @property
    def noise_shapes(self):
        """Shape (h, w, 1) of every noise map: two for each block with noise."""
        return [(*map_shape(size, self.base), 1) for size in self.noisy_sizes for _ in range(2)]

    @property
    def small_shape(self):
        """(height, width, channels) of the small images."""
        return *map_shape(self.small_resolution, self.base), self.image_channels

    def build(self, shape=None):
        if self.embed is not None:
            self.embed.build()
        self.stem.build((None, self.latent_size))
        self.stem_norm.build((None, *self.base, 2 * self._channels(4)))
        for size, block in zip(self.sizes, self.blocks, strict=True):
            block.build(self._map(size // 2))
        for size, excitation in zip(self.excited_sizes, self.excitations, strict=True):
            excitation.build(self._map(size // 16))
        if self.to_small is not None:
            self.to_small.build(self._map(self.small_resolution))
        self.to_rgb.build(self._map(self.resolution))

    def call(self, z, labels=None, noise=None, training=False, style=None):
        self.check_training(training)
        maps = self._maps(*self._first_map(z, labels, training), noise, self.resolution, style, training)
        images = self._output(self.to_rgb, maps[self.resolution], training)
        if self.folded:
            return images
        if self.to_small is None:
            return images, tf.zeros((images.shape[0], *self.small_shape))
        return images, self._output(self.to_small, maps[self.small_resolution], training)

    @property
    def style_count(self):
        """Number of tensors in a style."""
        return len(self.excited_sizes) + self.has_class_norm

    def style_of(self, z, labels=None, noise=None):
        """The style of images, a list of [N, 1, 1, C]: excitation weights of the large maps, smallest map first.

        With conditional batch norm, the vectors of the classes follow. Arguments as for `call`. Only the small maps are
        computed: the maps that excite others are not excited.
        """
        return self.map_and_style_of(z, labels, noise)[1]

    def map_and_style_of(self, z, labels=None, noise=None):
        """First part of `call`: the largest map that excites another [N, h, w, C], and the style."""
        largest = self.excited_sizes[-1] // 16
        x, vectors = self._first_map(z, labels)
        maps = self._maps(x, vectors, noise, largest)
        pairs = zip(self.excited_sizes, self.excitations, strict=True)
        weights = [excitation(maps[size // 16]) for size, excitation in pairs]
        return maps[largest], weights if vectors is None else [*weights, vectors]

    def images_of_map(self, x, style, noise=None):
        """Second part of `call`, of a folded generator: images [N, H, W, C] of the results of `map_and_style_of`.

        noise: only the maps of more pixels than `x`.
        """
        return self._output(self.to_rgb, self._maps(x, None, noise, self.resolution, style)[self.resolution], False)

    def fold_weights(self, weights):
        """Stores the weights of a trainable generator {attribute path: tensor} in this folded one."""
        fold_glu_layer(self, weights, "stem", "stem_norm")
        self.fold_parts(weights, "embed", "blocks", "excitations", "to_rgb")

    def _first_map(self, z, labels, training=False):
        """First map [N, *base, C], and the vectors of the classes [N, 1, 1, V] for conditional batch norm, or None."""
        z = pixel_norm(z) if self.is_projected else z
        vectors = None if self.embed is None else self.embed(labels)[:, None, None]
        terms = None if vectors is None or self.has_class_norm else (None, vectors)
        x = glu_layer(z, self.stem, self.stem_norm, terms=terms, training=training)
        return x, vectors if self.has_class_norm else None

    def _maps(self, x, vectors, noise, largest, style=None, training=False):
        """{size: [N, h, w, C]}: the map `x`, and those after it up to the size `largest`. noise: of the latter."""
        noise = iter(noise or [None] * len(self.noise_shapes))
        first = 4 * x.shape[1] // self.base[0]  # size of `x`
        maps, excitations, styles = {first: x}, dict(zip(self.excited_sizes, self.excitations, strict=True)), {}
        if style is not None:
            if self.has_class_norm:
                *style, vectors = style
            styles = dict(zip(self.excited_sizes, style, strict=True))
        for size, block in zip(self.sizes, self.blocks, strict=True):
            if size <= first or size > largest:
                continue
            weights = styles.get(size)  # [N, 1, 1, C], or None for a map that is not excited
            if weights is None and size in excitations:
                weights = excitations[size](maps[size // 16], training=training)
            extra = {"noise": (next(noise), next(noise))} if isinstance(block, NoisyUpBlock) else {}
            x = maps[size] = block(x, weights, vectors, **extra, training=training)
        return maps

    def _output(self, layer, x, training):
        images = tf.cast(layer(x, training=training), tf.float32)
        return generated(tf.tanh(images) if self.tanh else images)

    def _channels(self, size):
        return int(self.ngf * G_WIDTHS[size])

    def _map(self, size):
        return (None, *map_shape(size, self.base), self._channels(size))


class FastGanDiscriminator(SeededNetwork):
    """Classifies images at two scales as real or fake; decoders reconstruct real images from its feature maps.

    Call: (images [N, H, W, C], small [N, h, w, C]), labels [N] integers (ignored without classes) -> logits [N, L]
    float32: for each image half of them of the big path, then those of the small path; 25 each with the base 4x4. For
    real images, `small` is `nearest_resize(images, h)`. Shapes are `image_shape` and `small_shape`.

    Args:
        resolution: R, one of 64, 128, 256, 512, 1024.
        ndf: width; maps of 64 pixels have ndf channels.
        decoders: number of decoders, in the order of `reconstruction_names`: the official three ("big", "small",
            "part"), then one on each larger map of the big path ("map_32", "map_64", ...).
        classes: number of classes, 0 for an unconditional network; both paths have a projection on the class.
        base, image_channels: see models/network.py.
        seed: see ops/layers.py.

    Raises:
        UsageError: a resolution, width or number of decoders that the network cannot have.
    """

    def __init__(self, resolution, ndf=64, decoders=3, classes=0, base=(4, 4), image_channels=3, **kwargs):
        super().__init__(**kwargs)
        check_sizes(resolution, RESOLUTIONS, classes, {"ndf": (ndf, max(1, resolution // 128))})
        self.resolution, self.base, self.image_channels = resolution, tuple(base), image_channels
        self.small_resolution = small_resolution_of(resolution)
        self.largest_map = min(resolution, LARGEST_MAP)
        self.small_sizes = _halvings(self.small_resolution)  # pixels of the outputs of `small_blocks`
        self.excited_sizes = [size for size in D_EXCITED if 8 * size <= self.largest_map]  # and of `excitations`
        self.ndf, self.decoders, self.classes = ndf, decoders, classes
        decoded = [*DECODERS, *(f"map_{size}" for size in (32, 64, 128, 256) if size <= self.largest_map)]
        if not 0 <= decoders <= len(decoded):
            raise UsageError(f"decoders must be 0 to {len(decoded)} at resolution {resolution}, got {decoders}")
        self.reconstruction_names = tuple(decoded[:decoders])
        kernel_size, strides = (4, 2) if resolution > LARGEST_MAP else (3, 1)
        reduced = {512: [256], 1024: [512, 256]}.get(resolution, [resolution])
        self.stem = [
            ConvBlock(self._big(size), kernel_size, strides, normalised=i > 0, **self.part(f"d/stem/{i}"))
            for i, size in enumerate(reduced)
        ]
        self.blocks = [
            DownBlock(self._big(size), **self.part(f"d/blocks/{size}")) for size in _halvings(self.largest_map)
        ]
        self.excitations = [
            Excitation(self._big(size), self.base, **self.part(f"d/excitations/{size}")) for size in self.excited_sizes
        ]
        self.head = ConvBlock(2 * self._big(LOGIT_MAP), 1, **self.part("d/head"))
        self.to_logits = SpectralConv(1, 4, padding="VALID", **self.part("d/to_logits"))
        self.small_blocks = [
            ConvBlock(ndf * SMALL_WIDTH // size, 4, 2, normalised=i > 0, **self.part(f"d/small_blocks/{size}"))
            for i, size in enumerate(self.small_sizes)
        ]
        self.small_to_logits = SpectralConv(1, 4, padding="VALID", **self.part("d/small_to_logits"))
        self.project = self.small_project = None
        if classes:
            self.project = SpectralProjection(classes, **self.part("d/project"))
            self.small_project = SpectralProjection(classes, **self.part("d/small_project"))
        self.decoder_layers = {
            name: Decoder(self.small_resolution, self.base, image_channels, **self.part(f"d/decoders/{name}"))
            for name in self.reconstruction_names
        }

    @property
    def small_shape(self):
        """(height, width, channels) of the small images."""
        return *map_shape(self.small_resolution, self.base), self.image_channels

    def build(self, shape=None):
        channels = _build_chain((*self.stem, *self.blocks, self.head), self.image_channels)
        self.to_logits.build((None, None, None, channels))
        small_channels = _build_chain(self.small_blocks, self.image_channels)
        self.small_to_logits.build((None, None, None, small_channels))
        if self.classes:
            self.project.build((None, None, None, channels))
            self.small_project.build((None, None, None, small_channels))
        for size, excitation in zip(self.excited_sizes, self.excitations, strict=True):
            excitation.build((None, None, None, self._big(8 * size)))
        inputs = {"big": self._big(LOGIT_MAP), "small": small_channels, PART: self._big(16)}
        inputs |= {f"map_{size}": self._big(size) for size in (32, 64, 128, 256)}
        for name, decoder in self.decoder_layers.items():
            decoder.build((None, None, None, inputs[name]))

    def call(self, inputs, labels=None, training=False):
        maps, small = self._features(inputs, training)
        return self._logits(maps[LOGIT_MAP], small, labels, training)

    def logits_and_reconstructions(self, inputs, part, labels=None, training=False):
        """Logits and the outputs of the decoders; call the network itself if no reconstruction is needed.

        Args:
            inputs, labels: as for `call`.
            part: int32 scalar, the quadrant for the "part" decoder, as in `reconstruction_targets`.

        Returns:
            (logits [N, L], {name: [N, h, w, C] in [-1, 1]}), float32.
        """
        maps, small = self._features(inputs, training)
        logits = self._logits(maps[LOGIT_MAP], small, labels, training)
        sources = {"big": maps[LOGIT_MAP], "small": small, PART: quadrant(maps[16], part)}
        sources |= {f"map_{size}": features for size, features in maps.items()}
        decoders = self.decoder_layers.items()
        return logits, {name: decoder(sources[name], training=training) for name, decoder in decoders}

    def _features(self, inputs, training):
        """-> ({size: [N, h, w, C]} of the big path, the last map of the small path, of the size LOGIT_MAP)."""
        x, small = inputs
        for block in self.stem:
            x = block(x, training=training)
        maps = {self.largest_map: x}
        excitations = dict(zip(self.excited_sizes, self.excitations, strict=True))
        for size, block in zip(_halvings(self.largest_map), self.blocks, strict=True):
            x = block(x, training=training)
            if size in excitations:
                x *= excitations[size](maps[8 * size], training=training)
            maps[size] = x
        for block in self.small_blocks:
            small = block(small, training=training)
        return maps, small

    def _logits(self, big, small, labels, training):
        big = self.head(big, training=training)
        paths = ((big, self.to_logits, self.project), (small, self.small_to_logits, self.small_project))
        outputs = []
        for features, to_logits, project in paths:
            logits = tf.cast(to_logits(features, training=training), tf.float32)  # [N, rows, columns, 1]
            if project is not None:
                logits += tf.cast(project(features, labels, training=training), tf.float32)
            outputs.append(tf.reshape(logits, (-1, logits.shape[1] * logits.shape[2])))
        return tf.concat(outputs, axis=1)

    def _big(self, size):
        return self.ndf * BIG_WIDTH // size


def image_logits(discriminator, generator):
    """Returns a function: image [1, H, W, C], labels [1] or None -> logits [1, L]; `small` is made as for reals."""

    def logits(image, labels=None):
        image = tf.ensure_shape(image, (1, *discriminator.image_shape))
        return discriminator((image, nearest_resize(image, discriminator.small_shape[0])), labels)

    return logits


def small_resolution_of(resolution: int) -> int:
    """Size of the smaller image that G generates and D receives."""
    return min(128, resolution // 2)


def reconstruction_targets(images, part, height, names=DECODERS):
    """Targets of the decoders: a quadrant of the image for "part", the whole image for the others, resized.

    Args:
        images: [N, H, W, C], the input of D.
        part: int32 scalar, quadrant: 0 top left, 1 top right, 2 bottom left, 3 bottom right.
        height: of the reconstructions.
        names: `FastGanDiscriminator.reconstruction_names`.

    Returns:
        {name: [N, height, w, C]}.
    """
    whole = nearest_resize(images, height)
    return {name: nearest_resize(quadrant(images, part), height) if name == PART else whole for name in names}


def quadrant(x, part):
    """x [N, H, W, C] -> [N, H / 2, W / 2, C]: quadrant `part` (int32 scalar) as in `reconstruction_targets`."""
    height, width, channels = x.shape[1] // 2, x.shape[2] // 2, x.shape[3]
    part = tf.cast(part, tf.int32)
    begin = tf.stack([0, part // 2 * height, part % 2 * width, 0])
    return tf.ensure_shape(tf.slice(x, begin, (-1, height, width, channels)), (x.shape[0], height, width, channels))


def _build_chain(blocks, channels):
    """Builds consecutive blocks, the first for images of `channels`; returns the channels of the last."""
    for block in blocks:
        block.build((None, None, None, channels))
        channels = block.filters
    return channels


def _halvings(size):
    """Map sizes after each halving of `size`, down to LOGIT_MAP."""
    sizes = []
    while size > LOGIT_MAP:
        size //= 2
        sizes.append(size)
    return sizes
