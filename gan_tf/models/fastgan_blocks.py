"""Building blocks of the FastGAN networks.

Source: Liu et al. 2021 (Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis).
"""

import keras
import tensorflow as tf

from gan_tf.models.block import Block
from gan_tf.ops.layers import NoiseInjection, SpectralConv, SpectralUpConv, glu, leaky_relu, swish
from gan_tf.ops.normalisation import BatchNorm
from gan_tf.ops.resample import average_pool_to

DECODER_CHANNELS = {16: 128, 32: 64, 64: 64, 128: 32}  # by map size, whatever the width of the discriminator
DECODER_INPUT = 8  # pixels


@keras.saving.register_keras_serializable("gan_tf")
class UpBlock(Block):
    """Doubles the size: upsampling, 3x3 convolution, batch norm, GLU.

    Call: x [N, H, W, I] -> [N, 2H, 2W, filters].
    """

    def __init__(self, filters, seed=0, **kwargs):
        super().__init__(filters, seed, **kwargs)
        self.up = SpectralUpConv(2 * filters, **self.part("up"))
        self.norm = BatchNorm(**self.part("norm"))

    def build(self, shape):
        self.up.build(shape)
        self.norm.build((None, None, None, 2 * self.filters))

    def call(self, x, training=False):
        return glu(self.norm(self.up(x, training=training), training=training))


@keras.saving.register_keras_serializable("gan_tf")
class NoisyUpBlock(Block):
    """An up block with noise before its batch norm, then a 3x3 convolution, noise, batch norm and GLU at the new size.

    Call: x [N, H, W, I], noise: a pair of [N, 2H, 2W, 1] or None -> [N, 2H, 2W, filters].
    """

    def __init__(self, filters, seed=0, **kwargs):
        super().__init__(filters, seed, **kwargs)
        self.up = SpectralUpConv(2 * filters, **self.part("up"))
        self.up_noise = NoiseInjection(dtype=self.dtype_policy)
        self.up_norm = BatchNorm(**self.part("up_norm"))
        self.conv = SpectralConv(2 * filters, 3, **self.part("conv"))
        self.conv_noise = NoiseInjection(dtype=self.dtype_policy)
        self.conv_norm = BatchNorm(**self.part("conv_norm"))

    def build(self, shape):
        wide = (None, None, None, 2 * self.filters)
        self.up.build(shape)
        self.conv.build((None, None, None, self.filters))
        for layer in (self.up_noise, self.up_norm, self.conv_noise, self.conv_norm):
            layer.build(wide)

    def call(self, x, noise=None, training=False):
        first, second = noise or (None, None)
        x = self.up_noise(self.up(x, training=training), first)
        x = glu(self.up_norm(x, training=training))
        x = self.conv_noise(self.conv(x, training=training), second)
        return glu(self.conv_norm(x, training=training))


@keras.saving.register_keras_serializable("gan_tf")
class Excitation(Block):
    """Lets one map of the network weigh the channels of another (skip-layer excitation).

    Call: source [N, H, W, I], H a multiple of 4; x [N, h, w, filters] -> like x.
    """

    def __init__(self, filters, seed=0, **kwargs):
        super().__init__(filters, seed, **kwargs)
        self.squeeze = SpectralConv(filters, 4, padding="VALID", **self.part("squeeze"))
        self.gate = SpectralConv(filters, 1, **self.part("gate"))

    def build(self, shape):
        self.squeeze.build(shape)
        self.gate.build((None, None, None, self.filters))

    def call(self, source, x, training=False):
        weights = swish(self.squeeze(average_pool_to(source, 4), training=training))  # [N, 1, 1, filters]
        return x * tf.sigmoid(self.gate(weights, training=training))


@keras.saving.register_keras_serializable("gan_tf")
class ConvBlock(Block):
    """Convolution, batch norm (unless `normalised` is False), leaky ReLU.

    Call: x [N, H, W, I] -> [N, H / strides, W / strides, filters].
    """

    def __init__(self, filters, kernel_size, strides=1, normalised=True, seed=0, **kwargs):
        super().__init__(filters, seed, **kwargs)
        self.kernel_size = kernel_size
        self.strides = strides
        self.conv = SpectralConv(filters, kernel_size, strides, **self.part("conv"))
        self.norm = BatchNorm(**self.part("norm")) if normalised else None

    def build(self, shape):
        self.conv.build(shape)
        if self.norm:
            self.norm.build((None, None, None, self.filters))

    def call(self, x, training=False):
        x = self.conv(x, training=training)
        if self.norm:
            x = self.norm(x, training=training)
        return leaky_relu(x)

    def get_config(self):
        own = {"kernel_size": self.kernel_size, "strides": self.strides, "normalised": self.norm is not None}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("gan_tf")
class DownBlock(Block):
    """Halves the size on two paths and averages them: 4x4 and 3x3 convolutions; average pooling and 1x1 convolution.

    Call: x [N, H, W, I] -> [N, H / 2, W / 2, filters].
    """

    def __init__(self, filters, seed=0, **kwargs):
        super().__init__(filters, seed, **kwargs)
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


@keras.saving.register_keras_serializable("gan_tf")
class Decoder(Block):
    """Rebuilds an image from a feature map of the discriminator, which keeps the map informative.

    Call: x [N, H, H, I], H a multiple of 8 -> [N, resolution, resolution, 3] float32 in [-1, 1].
    """

    def __init__(self, resolution, seed=0, **kwargs):
        super().__init__(3, seed, **kwargs)
        self.resolution = resolution
        sizes = [size for size in DECODER_CHANNELS if size <= resolution]
        self.blocks = [UpBlock(DECODER_CHANNELS[size], **self.part(f"blocks/{size}")) for size in sizes]
        self.to_rgb = SpectralConv(3, 3, **self.part("to_rgb"))

    def build(self, shape):
        for block in self.blocks:
            block.build(shape)
            shape = (None, None, None, block.filters)
        self.to_rgb.build(shape)

    def call(self, x, training=False):
        x = average_pool_to(x, DECODER_INPUT)
        for block in self.blocks:
            x = block(x, training=training)
        return tf.tanh(tf.cast(self.to_rgb(x, training=training), tf.float32))

    def get_config(self):
        config = {**super().get_config(), "resolution": self.resolution}
        del config["filters"]
        return config
