"""StyleGAN2: a mapping network, a synthesis network whose layers each take a style, a residual discriminator.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), with the architecture that section
4.1 chooses: skips in the generator, residual connections in the discriminator. Class labels and half precision as in
the official program of Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data).
"""

import math

import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.models.network import SeededNetwork, check_sizes, map_shape
from gan_tf.models.stylegan2_blocks import CONST, FILTER, FilteredConv, Head, Mapping, ResidualBlock, StyledConv, ToRgb
from gan_tf.ops.filtered import upsample2d
from gan_tf.ops.layers import ExactLayer
from gan_tf.ops.pixels import generated

RESOLUTIONS = tuple(2**power for power in range(4, 11))  # 16 to 1024
ARCHITECTURES = ("resnet", "orig")
LABEL_LAYERS = 8  # of the discriminator's mapping network


def sizes_of(resolution: int) -> list[int]:
    """Sizes of the maps, from 4 to `resolution`; see models/network.py."""
    return [2**power for power in range(2, resolution.bit_length())]


def channels_of(size: int, channel_base: int, channel_max: int) -> int:
    """Channels of the maps of `size` pixels."""
    return min(channel_base // size, channel_max)


def published_channel_base(resolution: int) -> int:
    """The official program's `channel_base`: half of the paper's channels below 512 pixels."""
    return 32768 if resolution >= 512 else 16384


def styles_of(resolution: int) -> int:
    """Number of styles S of a synthesis network: one for each 3x3 convolution and one for the last colours."""
    return 2 * len(sizes_of(resolution))


class Synthesis(ExactLayer):
    """Synthesis network: generates images from a learned map of the base by convolutions that styles modulate.

    Call: ws [N, S, W], noise -> images [N, H, W, C] at least float32, S = `styles_of(R)`.
        noise: a list of maps [N, h, w, 1], one for each of `noise_shapes`; "const": the layers' own maps; None: none.
        dtype: type of the largest maps, None for the policy's.

    The colours of a size use the style of the next size's first convolution; the last have their own. Arguments as for
    `StyleGan2Generator`.
    """

    def __init__(
        self,
        resolution,
        w_size,
        channel_base,
        channel_max,
        conv_clamp,
        half_resolutions,
        base,
        image_channels,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.sizes, self.base = sizes_of(resolution), base
        self.w_size = w_size
        self.widths = [channels_of(size, channel_base, channel_max) for size in self.sizes]
        self.half_from = _half_from(resolution, half_resolutions)
        self.first_convs, self.convs, self.to_rgb = [], [], []
        for size, channels in zip(self.sizes, self.widths, strict=True):
            dtype = self.dtype_policy if size >= self.half_from else self.variable_dtype
            options = {"clamp": conv_clamp, "dtype": dtype}
            if size > 4:
                self.first_convs.append(StyledConv(channels, up=2, **self.part(f"first_convs/{size}") | options))
            self.convs.append(StyledConv(channels, **self.part(f"convs/{size}") | options))
            self.to_rgb.append(ToRgb(image_channels, **self.part(f"to_rgb/{size}") | options))

    @property
    def noise_shapes(self):
        """Shapes (h, w, 1) of the noise maps, in the order of the layers."""
        return [(*map_shape(size, self.base), 1) for size in self.sizes for _ in range(1 if size == 4 else 2)]

    def build(self, shape=None):
        self.const = self.normal("const", (*self.base, self.widths[0]))
        maps = [(None, *map_shape(size, self.base), n) for size, n in zip(self.sizes, self.widths, strict=True)]
        for index, shape in enumerate(maps):
            if index:
                self.first_convs[index - 1].build(maps[index - 1], self.w_size)
            self.convs[index].build(shape, self.w_size)
            self.to_rgb[index].build(shape, self.w_size)

    def call(self, ws, noise=None, dtype=None):
        return generated(self.maps(ws, noise, dtype)[-1][1])

    def maps(self, ws, noise=None, dtype=None):
        """Outputs of every size: a list of (features [N, h, w, C], images summed up to this size [N, h, w, C])."""
        exact, half = self.variable_dtype, dtype or self.compute_dtype
        ws = tf.unstack(tf.cast(ws, exact), num=styles_of(self.sizes[-1]), axis=1)
        layers = len(self.noise_shapes)
        noise = [noise] * layers if noise is None or noise == CONST else noise
        if len(noise) != layers:
            raise ValueError(f"noise is None, {CONST!r} or a list of {layers} maps, got {len(noise)}")
        noise = iter(noise)
        x, images, outputs = None, None, []
        for index, size in enumerate(self.sizes):
            kind = half if size >= self.half_from else exact
            if index:
                x = self.first_convs[index - 1](tf.cast(x, kind), ws[2 * index - 1], noise=next(noise))
            else:
                x = tf.tile(tf.cast(self.const.value[None], kind), (tf.shape(ws[0])[0], 1, 1, 1))
            x = self.convs[index](x, ws[2 * index], noise=next(noise))
            colours = self.to_rgb[index](x, ws[2 * index + 1])
            images = colours if images is None else upsample2d(images, FILTER) + colours
            outputs.append((x, images))
        return outputs

    def fold_weights(self, weights):
        """Stores the weights of a trained synthesis network."""
        self.const.assign(weights["const"])
        self.fold_parts(weights, "first_convs", "convs", "to_rgb")


class StyleGan2Generator(SeededNetwork):
    """Maps latents to styles and styles to images; their range of about [-1, 1] is learned.

    Call: latents, labels, noise -> images [N, H, W, C] float32: `synthesis` of the output of `mapping`.
        latents: z [N, Z]; or outputs of the mapping network: w [N, 1, W], used for all layers, or ws [N, S, W].
        labels: [N] integers or [N, classes] class weights, used with z; ignored without classes.
        noise: as for `Synthesis`.
        truncation: as for `Mapping`.

    Args:
        resolution: R, a power of two from 16 to 1024.
        latent_size, w_size: Z and W.
        mapping_layers: 8 in the paper, 2 for small datasets.
        channel_base, channel_max: maps of r pixels have min(channel_base / r, channel_max) channels; a base of None is
            `published_channel_base`.
        classes: number of classes, 0 for an unconditional network.
        conv_clamp: limit of the outputs of convolutions, None for none; use 256 in float16.
        half_resolutions: number of the largest sizes (from 8 pixels on) that use the policy's half precision.
        base, image_channels: see models/network.py.
        seed, folded: see ops/layers.py.

    Raises:
        UsageError: a resolution, width or number of classes that the network cannot have.
    """

    def __init__(
        self,
        resolution,
        latent_size=512,
        w_size=512,
        mapping_layers=8,
        channel_base=None,
        channel_max=512,
        classes=0,
        conv_clamp=None,
        half_resolutions=4,
        base=(4, 4),
        image_channels=3,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        channel_base = channel_base or published_channel_base(resolution)
        widths = {"channel_base": (channel_base, resolution), "channel_max": (channel_max, 1)}
        check_sizes(resolution, RESOLUTIONS, classes, widths)
        if mapping_layers < 1:
            raise UsageError(f"mapping_layers must be at least 1, got {mapping_layers}")
        self.resolution, self.latent_size, self.w_size = resolution, latent_size, w_size
        self.mapping_layers, self.channel_base, self.channel_max = mapping_layers, channel_base, channel_max
        self.classes, self.conv_clamp, self.half_resolutions = classes, conv_clamp, half_resolutions
        self.base, self.image_channels = tuple(base), image_channels
        part = self.part("g/mapping")
        self.mapping = Mapping(mapping_layers, w_size, latent_size, classes, styles_of(resolution), **part)
        sizes = (resolution, w_size, channel_base, channel_max, conv_clamp, half_resolutions, self.base, image_channels)
        self.synthesis = Synthesis(*sizes, **self.part("g/synthesis"))

    @property
    def noise_shapes(self):
        """Shapes (h, w, 1) of the noise maps, in the order of the layers."""
        return self.synthesis.noise_shapes

    def build(self, shape=None):
        self.mapping.build()
        self.synthesis.build()

    def call(self, latents, labels=None, noise=None, training=False, truncation=1.0):
        self.check_training(training)
        ws = self.ws_of(latents, labels, truncation, training)
        return tf.cast(self.synthesis(ws, noise=noise), self.variable_dtype)

    def ws_of(self, latents, labels=None, truncation=1.0, training=False):
        """Styles of all layers, float32 [N, S, W]; arguments as for `call`."""
        if len(latents.shape) == 2:
            return self.mapping(latents, labels, truncation=truncation, training=training)
        copies = self.mapping.copies
        ws = tf.tile(latents, (1, copies, 1)) if latents.shape[1] == 1 else tf.convert_to_tensor(latents)
        return ws if truncation == 1 else self.mapping.truncated(ws, truncation)

    def fold_weights(self, weights):
        """Stores the weights of a trainable generator {attribute path: tensor} in this folded one."""
        self.fold_parts(weights, "mapping", "synthesis")


class StyleGan2Discriminator(SeededNetwork):
    """Classifies images as real or fake.

    Call: images [N, H, W, C], labels -> logits [N, 1] float32.
        labels: as for `StyleGan2Generator`; the logit is the scalar product of their embedding and the features.
        dtype: type of the largest maps, None for the policy's. Use "float32" for the penalties of a float16 run.

    Args:
        resolution, channel_base, channel_max, classes, conv_clamp, half_resolutions, base, image_channels, seed: as for
            the generator.
        mbstd_group: largest group of the minibatch standard deviation; see ops/normalisation.py.
        mbstd_channels: channels of the minibatch standard deviation, 0 to leave it out.
        architecture: "resnet", or "orig" without residual connections.
        label_layers: of the mapping network of the labels.

    Raises:
        UsageError: a resolution, width, number of classes or architecture that the network cannot have.
        ValueError: a call with images of another shape.
    """

    def __init__(
        self,
        resolution,
        channel_base=None,
        channel_max=512,
        mbstd_group=4,
        mbstd_channels=1,
        classes=0,
        conv_clamp=None,
        architecture="resnet",
        label_layers=LABEL_LAYERS,
        half_resolutions=4,
        base=(4, 4),
        image_channels=3,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        channel_base = channel_base or published_channel_base(resolution)
        widths = {"channel_base": (channel_base, resolution), "channel_max": (channel_max, 1)}
        check_sizes(resolution, RESOLUTIONS, classes, widths)
        if architecture not in ARCHITECTURES:
            raise UsageError(f"architecture must be one of {', '.join(ARCHITECTURES)}, got {architecture!r}")
        self.resolution, self.channel_base, self.channel_max = resolution, channel_base, channel_max
        self.mbstd_group, self.mbstd_channels, self.classes = mbstd_group, mbstd_channels, classes
        self.conv_clamp, self.architecture = conv_clamp, architecture
        self.label_layers, self.half_resolutions = label_layers, half_resolutions
        self.base, self.image_channels = tuple(base), image_channels
        self.half_from = _half_from(resolution, half_resolutions)
        self.sizes = sizes_of(resolution)[:0:-1]  # of the blocks' inputs, largest first
        self.from_rgb = FilteredConv(self._channels(resolution), 1, clamp=conv_clamp, **self.part("d/from_rgb"))
        residual = architecture == "resnet"
        self.blocks = [
            ResidualBlock(self._channels(size // 2), residual, conv_clamp, **self.part(f"d/blocks/{size}"))
            for size in self.sizes
        ]
        width = self._channels(4)
        self.head = Head(width if classes else 1, mbstd_group, mbstd_channels, conv_clamp, **self.part("d/head"))
        self.mapping = Mapping(label_layers, width, 0, classes, **self.part("d/mapping")) if classes else None

    def build(self, shape=None):
        self.from_rgb.build((None, *self.image_shape))
        for size, block in zip(self.sizes, self.blocks, strict=True):
            block.build((None, *map_shape(size, self.base), self._channels(size)))
        self.head.build((None, *self.base, self._channels(4)))
        if self.classes:
            self.mapping.build()

    def call(self, images, labels=None, training=False, dtype=None):
        logits = self.head(tf.cast(self.features(images, dtype)[-1], self.variable_dtype))
        if self.classes:
            embedding = self.mapping(None, labels)
            logits = tf.reduce_sum(logits * embedding, axis=1, keepdims=True) / math.sqrt(embedding.shape[1])
        return logits

    def features(self, images, dtype=None):
        """Outputs of the blocks: a list of [N, h, w, C], the last of the base's size."""
        if images.shape[1:] != self.image_shape:
            raise ValueError(f"the network takes images of the shape {self.image_shape}, got {images.shape[1:]}")
        exact, half = self.variable_dtype, dtype or self.compute_dtype
        x, outputs = images, []
        for size, block in zip(self.sizes, self.blocks, strict=True):
            x = tf.cast(x, half if size >= self.half_from else exact)
            x = block(x if outputs else self.from_rgb(x))
            outputs.append(x)
        return outputs

    def _channels(self, size):
        return channels_of(size, self.channel_base, self.channel_max)


def image_logits(discriminator, generator):
    """Returns a function: image [1, H, W, C], labels [1] or None -> logits [1, 1]."""
    shape = (1, *discriminator.image_shape)
    return lambda image, labels=None: discriminator(tf.ensure_shape(image, shape), labels)


def _half_from(resolution, half_resolutions):
    """Smallest size computed in half precision; maps of 4x4 pixels never are."""
    return max(2 * resolution >> half_resolutions, 8)
