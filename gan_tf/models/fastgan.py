"""FastGAN: a generator with skip-layer excitation and a self-supervised two-scale discriminator.

At 256, 512 and 1024 pixels these are the official networks; docs/fastgan.md has the channels and maps of every size.
Source: Liu et al. 2021 (Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis).
"""

import keras
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.models.conditioning import ClassEmbedding, SpectralProjection, check_classes, shifted
from gan_tf.models.fastgan_blocks import ConvBlock, Decoder, DownBlock, Excitation, NoisyUpBlock, UpBlock
from gan_tf.ops.layers import SpectralConv, SpectralStem, glu
from gan_tf.ops.normalisation import BatchNorm
from gan_tf.ops.resample import nearest_resize
from gan_tf.rng import stream_key

RESOLUTIONS = (64, 128, 256, 512, 1024)
G_WIDTHS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 1 / 2, 512: 1 / 4, 1024: 1 / 8}  # times ngf, by map size
EXCITED_FROM = 64  # smallest map of G that a 16 times smaller one excites
EXCITED_TO = 512
BIG_WIDTH, SMALL_WIDTH = 64, 32  # channels of D's two paths: width * ndf / map size
LARGEST_MAP = 256  # D's stem brings larger images to this size
LOGIT_MAP = 8  # a 4x4 convolution turns these maps into 5x5 logits
CLASS_STDDEV = 0.25  # of the vectors of classes, to the 1 that batch norm leaves of the latents
D_EXCITED = (32, 16, 8)  # maps of D's big path that an 8 times larger one excites
WHOLE = ("big", "small")
PART = "part"


def small_resolution_of(resolution: int) -> int:
    """Size of the second image that G makes and D sees, in pixels."""
    return min(128, resolution // 2)


def noise_shapes_of(resolution: int) -> list[tuple[int, int, int]]:
    """Shapes (h, w, 1) of G's noise: two maps for every other block, from the first (8 pixels) on."""
    return [(size, size, 1) for size in (8, 32, 128, 512) if size <= resolution for _ in range(2)]


def reconstruction_targets(images, part, size, names=(*WHOLE, PART)):
    """What the decoders should rebuild.

    Args:
        images: [N, R, R, 3], as D saw them.
        part: int32 scalar, quadrant: 0 top left, 1 top right, 2 bottom left, 3 bottom right.
        size: pixels of the reconstructions.
        names: `Discriminator.reconstruction_names`.

    Returns:
        {name: [N, size, size, 3]}: the quadrant for "part", the whole image for the others, resized to the nearest
        pixel.
    """
    whole = nearest_resize(images, size)
    return {name: nearest_resize(quadrant(images, part), size) if name == PART else whole for name in names}


def at_both_scales(images):
    """What the discriminator sees of finished images [N, R, R, 3], real ones for instance: (images, smaller ones)."""
    return images, nearest_resize(images, small_resolution_of(images.shape[1]))


def quadrant(x, part):
    """x [N, H, W, C] -> [N, H / 2, W / 2, C]: quadrant `part` (int32 scalar) as in `reconstruction_targets`."""
    height, width, channels = x.shape[1] // 2, x.shape[2] // 2, x.shape[3]
    part = tf.cast(part, tf.int32)
    begin = tf.stack([0, part // 2 * height, part % 2 * width, 0])
    return tf.ensure_shape(tf.slice(x, begin, (-1, height, width, channels)), (x.shape[0], height, width, channels))


@keras.saving.register_keras_serializable("gan_tf")
class Generator(keras.Model):
    """Grows latents to an image and a smaller version of it.

    Call: z [N, Z], labels [N] integers (not read without classes), noise: None (nothing is added) or one [N, h, w, 1]
    for each of `noise_shapes` -> (images [N, R, R, 3], small [N, S, S, 3]) float32, S = `small_resolution`. At 1024, or
    with `tanh=True`, they lie in [-1, 1]; at other sizes training alone brings them there, as in the official code.

    Args:
        resolution: R, one of 64, 128, 256, 512, 1024.
        ngf: width; maps of 64 pixels have 2 * ngf channels.
        latent_size: Z.
        tanh: ends in tanh; None means at 1024 only.
        seed: of the initial values.
        classes: number of classes, 0 for an unconditional network: a learned vector for each is added to the channels
            of the first map, behind its batch norm.

    Raises:
        UsageError: a resolution or width that the network cannot have.
    """

    def __init__(self, resolution, ngf=64, latent_size=256, tanh=None, seed=0, classes=0, **kwargs):
        super().__init__(**kwargs)
        _check_resolution(resolution)
        check_classes(classes)
        _check_width("ngf", ngf, least=max(1, resolution // 128))
        self.resolution = resolution
        self.small_resolution = small_resolution_of(resolution)
        self.ngf = ngf
        self.latent_size = latent_size
        self.tanh = resolution == 1024 if tanh is None else tanh
        self.seed = seed
        self.classes = classes
        sizes = [size for size in G_WIDTHS if 8 <= size <= resolution]
        kinds = (NoisyUpBlock, UpBlock)  # in turn
        small = {"normalised": False, "stddev": CLASS_STDDEV}
        self.embed = ClassEmbedding(2 * self._channels(4), classes, **small, **self._part("embed")) if classes else None
        self.stem = SpectralStem(2 * self._channels(4), **self._part("stem"))
        self.stem_norm = BatchNorm(**self._part("stem_norm"))
        self.blocks = [
            kinds[i % 2](self._channels(size), **self._part(f"blocks/{size}")) for i, size in enumerate(sizes)
        ]
        self.excitations = [
            Excitation(self._channels(size), **self._part(f"excitations/{size}"))
            for size in sizes
            if EXCITED_FROM <= size <= EXCITED_TO
        ]
        self.to_small = SpectralConv(3, 1, **self._part("to_small"))
        self.to_rgb = SpectralConv(3, 3, **self._part("to_rgb"))

    @property
    def noise_shapes(self):
        """Shape (h, w, 1) of every noise map, in the order in which `call` takes them."""
        return noise_shapes_of(self.resolution)

    def build(self, shape=None):
        if self.embed is not None:
            self.embed.build()
        self.stem.build((None, self.latent_size))
        self.stem_norm.build(self._map(4, times=2))
        for i, block in enumerate(self.blocks):
            block.build(self._map(2 ** (i + 2)))
        for i, excitation in enumerate(self.excitations):
            excitation.build(self._map(2 ** (i + 2)))
        self.to_small.build(self._map(self.small_resolution))
        self.to_rgb.build(self._map(self.resolution))

    def call(self, z, labels=None, noise=None, training=False):
        noise = iter(noise or [None] * len(self.noise_shapes))
        x = self.stem_norm(self.stem(z, training=training), training=training)
        x = glu(shifted(x, None if self.embed is None else self.embed(labels)))
        maps = {4: x}
        for i, block in enumerate(self.blocks):
            size = 2 ** (i + 3)
            extra = {"noise": _pair(noise)} if isinstance(block, NoisyUpBlock) else {}
            x = block(x, **extra, training=training)  # [N, size, size, C]
            if EXCITED_FROM <= size <= EXCITED_TO:
                x = self.excitations[i - 3](maps[size // 16], x, training=training)
            maps[size] = x
        outputs = (self.to_rgb(x, training=training), self.to_small(maps[self.small_resolution], training=training))
        images, small = (tf.cast(output, tf.float32) for output in outputs)
        return (tf.tanh(images), tf.tanh(small)) if self.tanh else (images, small)

    def get_config(self):
        own = {"resolution": self.resolution, "ngf": self.ngf, "latent_size": self.latent_size}
        return {**super().get_config(), **own, "tanh": self.tanh, "seed": self.seed, "classes": self.classes}

    def _channels(self, size):
        return int(self.ngf * G_WIDTHS[size])

    def _map(self, size, times=1):
        return (None, size, size, times * self._channels(size))

    def _part(self, name):
        return {"seed": stream_key(self.seed, f"g/{name}"), "dtype": self.dtype_policy}


@keras.saving.register_keras_serializable("gan_tf")
class Discriminator(keras.Model):
    """Judges an image at two scales; decoders on its feature maps rebuild real images.

    Call: (images [N, R, R, 3], small [N, S, S, 3]), labels [N] integers (not read without classes) -> logits
    [N, 50] float32: for each image 25 of the big path, then 25 of the small path. For real images `small` is
    `nearest_resize(images, S)`.

    Args:
        resolution: R, one of 64, 128, 256, 512, 1024.
        ndf: width; maps of 64 pixels have ndf channels.
        decoders: how many decoders, in the order of `reconstruction_names`: the official three ("big", "small",
            "part"), then one on each larger map of the big path ("map_32", "map_64", ...); at most 5, 6, 7, 7 and 7
            at the five resolutions.
        seed: of the initial values.
        classes: number of classes, 0 for an unconditional network; both paths project what they see on the class.

    Raises:
        UsageError: a resolution, width or number of decoders that the network cannot have.
    """

    def __init__(self, resolution, ndf=64, decoders=3, seed=0, classes=0, **kwargs):
        super().__init__(**kwargs)
        _check_resolution(resolution)
        check_classes(classes)
        self.resolution = resolution
        self.small_resolution = small_resolution_of(resolution)
        self.largest_map = min(resolution, LARGEST_MAP)
        _check_width("ndf", ndf, least=max(1, resolution // 128))
        self.ndf = ndf
        self.decoders = decoders
        self.seed = seed
        self.classes = classes
        self.reconstruction_names = self._names(decoders)
        self.stem = self._stem()
        self.blocks = [
            DownBlock(self._big(size), **self._part(f"blocks/{size}")) for size in _halvings(self.largest_map)
        ]
        self.excitations = [
            Excitation(self._big(size), **self._part(f"excitations/{size}")) for size in self._excited()
        ]
        self.head = ConvBlock(2 * self._big(LOGIT_MAP), 1, **self._part("head"))
        self.to_logits = SpectralConv(1, 4, padding="VALID", **self._part("to_logits"))
        self.small_blocks = [
            ConvBlock(self._small(size), 4, 2, normalised=i > 0, **self._part(f"small_blocks/{size}"))
            for i, size in enumerate(_halvings(self.small_resolution))
        ]
        self.small_to_logits = SpectralConv(1, 4, padding="VALID", **self._part("small_to_logits"))
        self.project = self.small_project = None
        if classes:
            self.project = SpectralProjection(classes, **self._part("project"))
            self.small_project = SpectralProjection(classes, **self._part("small_project"))
        self.decoder_layers = {
            name: Decoder(self.small_resolution, **self._part(f"decoders/{name}")) for name in self.reconstruction_names
        }

    @property
    def small_sizes(self):
        """Maps that each of `small_blocks` makes, in pixels."""
        return _halvings(self.small_resolution)

    @property
    def excited_sizes(self):
        """Maps that each of `excitations` weighs, in pixels."""
        return self._excited()

    def build(self, shape=None):
        channels = 3
        for block in (*self.stem, *self.blocks, self.head):
            block.build((None, None, None, channels))
            channels = block.filters
        self.to_logits.build((None, None, None, channels))
        if self.classes:
            self.project.build((None, None, None, channels))
        for size, excitation in zip(self._excited(), self.excitations, strict=True):
            excitation.build((None, None, None, self._big(8 * size)))
        channels = 3
        for block in self.small_blocks:
            block.build((None, None, None, channels))
            channels = block.filters
        self.small_to_logits.build((None, None, None, channels))
        if self.classes:
            self.small_project.build((None, None, None, channels))
        inputs = {"big": self._big(LOGIT_MAP), "small": channels, PART: self._big(16)}
        for name, decoder in self.decoder_layers.items():
            decoder.build((None, None, None, inputs[name] if name in inputs else self._big(_map_of(name))))

    def call(self, inputs, labels=None, training=False):
        maps, small = self._features(inputs, training)
        return self._logits(maps[LOGIT_MAP], small, labels, training)

    def logits_and_reconstructions(self, inputs, part, labels=None, training=False):
        """Judges and rebuilds; call the network itself where no reconstruction is needed.

        Args:
            inputs, labels: as for the network itself.
            part: int32 scalar, quadrant that the "part" decoder rebuilds, as in `reconstruction_targets`.

        Returns:
            (logits [N, 50], {name: [N, S, S, 3] in [-1, 1]}), float32.
        """
        if not self.built:
            self.build()
        maps, small = self._features(inputs, training)
        logits = self._logits(maps[LOGIT_MAP], small, labels, training)
        sources = {"big": maps[LOGIT_MAP], "small": small, PART: quadrant(maps[16], part)}
        sources.update({name: maps[_map_of(name)] for name in self.reconstruction_names if name not in sources})
        rebuilt = {
            name: self.decoder_layers[name](sources[name], training=training) for name in self.reconstruction_names
        }
        return logits, rebuilt

    def get_config(self):
        own = {"resolution": self.resolution, "ndf": self.ndf, "decoders": self.decoders, "seed": self.seed}
        return {**super().get_config(), **own, "classes": self.classes}

    def _features(self, inputs, training):
        """-> ({map size: [N, size, size, C]} of the big path, [N, 8, 8, C] of the small path)."""
        x, small = inputs
        for block in self.stem:
            x = block(x, training=training)
        maps = {self.largest_map: x}
        excitations = dict(zip(self._excited(), self.excitations, strict=True))
        for size, block in zip(_halvings(self.largest_map), self.blocks, strict=True):
            x = block(x, training=training)
            if size in excitations:
                x = excitations[size](maps[8 * size], x, training=training)
            maps[size] = x
        for block in self.small_blocks:
            small = block(small, training=training)
        return maps, small

    def _logits(self, big, small, labels, training):
        big = self.head(big, training=training)
        paths = ((big, self.to_logits, self.project), (small, self.small_to_logits, self.small_project))
        found = []
        for features, to_logits, project in paths:
            logits = tf.cast(to_logits(features, training=training), tf.float32)  # [N, 5, 5, 1]
            if project is not None:
                logits += tf.cast(project(features, labels, training=training), tf.float32)
            found.append(tf.reshape(logits, (-1, 25)))
        return tf.concat(found, axis=1)

    def _stem(self):
        """Layers that bring an image to the largest map; at 1024 two of them."""
        sizes = {512: [256], 1024: [512, 256]}.get(self.resolution, [self.resolution])
        kernel_size, strides = (4, 2) if self.resolution > LARGEST_MAP else (3, 1)
        return [
            ConvBlock(self._big(size), kernel_size, strides, normalised=i > 0, **self._part(f"stem/{i}"))
            for i, size in enumerate(sizes)
        ]

    def _names(self, decoders):
        larger = [f"map_{size}" for size in (32, 64, 128, 256) if size <= self.largest_map]
        names = [*WHOLE, PART, *larger]
        if not 0 <= decoders <= len(names):
            raise UsageError(f"decoders must be 0 to {len(names)} at resolution {self.resolution}, got {decoders}")
        return tuple(names[:decoders])

    def _excited(self):
        return [size for size in D_EXCITED if 8 * size <= self.largest_map]

    def _big(self, size):
        return self.ndf * BIG_WIDTH // size

    def _small(self, size):
        return self.ndf * SMALL_WIDTH // size

    def _part(self, name):
        return {"seed": stream_key(self.seed, f"d/{name}"), "dtype": self.dtype_policy}


def build_generator(settings, policy):
    """Builds a generator from `resolution`, `ngf`, `latent_size`, `tanh` (False: the official rule), `seed` and
    `classes`.
    """
    tanh = True if settings.tanh else None
    sizes = (settings.resolution, settings.ngf, settings.latent_size, tanh, settings.seed, settings.classes)
    g = Generator(*sizes, dtype=policy)
    g.build()
    return g


def build_discriminator(settings, policy):
    """Builds a discriminator from `resolution`, `ndf`, `decoders`, `seed` and `classes`."""
    sizes = (settings.resolution, settings.ndf, settings.decoders, settings.seed, settings.classes)
    d = Discriminator(*sizes, dtype=policy)
    d.build()
    return d


def _pair(noise):
    first, second = next(noise), next(noise)
    return None if first is None else (first, second)


def _halvings(size):
    """Map sizes after each halving of `size`, down to that of the logits."""
    sizes = []
    while size > LOGIT_MAP:
        size //= 2
        sizes.append(size)
    return sizes


def _map_of(name):
    return int(name.removeprefix("map_"))


def _check_resolution(resolution):
    if resolution not in RESOLUTIONS:
        raise UsageError(f"resolution must be one of {', '.join(map(str, RESOLUTIONS))}, got {resolution}")


def _check_width(name, width, least):
    if width < least:
        raise UsageError(f"{name} must be at least {least} at this resolution, got {width}")
