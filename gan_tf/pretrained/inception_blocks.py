"""The parts of FID's Inception-v3: convolutions with batch norm folded into them, and the blocks made of them.

A block is branches side by side, a branch a list of layers. `conv(name, filters, kernel, stride, padding)` makes a
convolution and remembers it under its name in the official weights file.

Where FID's network is not the Inception-v3 of the textbooks:

* average pools divide by the number of pixels they cover, so the border counts in full;
* the pool branch of the last block, Mixed_7c, takes the maximum, and that of the one before, Mixed_7b, the average;
* batch norm adds 1e-3 to the variance.

Source: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", figures 5 to 7 and 10.
"""

import keras
import numpy as np
import tensorflow as tf

EPSILON = 1e-3  # of batch norm


@keras.saving.register_keras_serializable("gan_tf")
class FoldedConv(keras.layers.Layer):
    """Convolution, batch norm (folded into it) and ReLU.

    Call: x [N, H, W, I] -> [N, H', W', filters], not below 0.

    Args:
        filters: channels out.
        kernel_size: (height, width).
    """

    def __init__(self, filters, kernel_size=(1, 1), stride=1, padding="SAME", **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.filters = filters
        self.kernel_size = tuple(kernel_size)
        self.stride = stride
        self.padding = padding

    def build(self, shape):
        own = {"dtype": self.compute_dtype, "initializer": "zeros", "autocast": False}
        self.kernel = self.add_weight(name="kernel", shape=(*self.kernel_size, shape[-1], self.filters), **own)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), **own)

    def call(self, x):
        return tf.nn.relu(self.linear(x))

    def linear(self, x):
        """What the ReLU is given. With it behind, TensorFlow makes one operation of the three."""
        x = tf.nn.conv2d(x, self.kernel.value, self.stride, self.padding)
        return tf.nn.bias_add(x, self.bias.value)

    def compute_output_shape(self, shape):
        """(N, H', W', filters)."""
        cut = [size - 1 if self.padding == "VALID" else 0 for size in self.kernel_size]
        sides = [-(-(length - less) // self.stride) for length, less in zip(shape[1:3], cut, strict=True)]
        return (shape[0], *sides, self.filters)

    @property
    def official_shapes(self):
        """{name of a tensor in the official file, after the layer's own: its shape}."""
        height, width, inputs, filters = self.kernel.shape
        norm = {f"bn.{part}": (filters,) for part in ("weight", "bias", "running_mean", "running_var")}
        return {"conv.weight": (filters, inputs, height, width), **norm}

    def fold(self, tensors):
        """Takes the tensors of `official_shapes`, whose kernel is [O, I, H, W]. Computed in float64, rounded once."""
        kernel, gamma, beta, mean, variance = (
            np.asarray(tensors[name], np.float64)
            for name in ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
        )
        scale = gamma / np.sqrt(variance + EPSILON)
        self.kernel.assign(tf.cast(kernel.transpose(2, 3, 1, 0) * scale, self.compute_dtype))
        self.bias.assign(tf.cast(beta - mean * scale, self.compute_dtype))

    def get_config(self):
        own = {"kernel_size": self.kernel_size, "stride": self.stride, "padding": self.padding}
        return {**super().get_config(), "filters": self.filters, **own}


@keras.saving.register_keras_serializable("gan_tf")
class PooledConv(FoldedConv):
    """Average of 3x3 pixels, then a 1x1 convolution, batch norm and ReLU.

    Computed the other way round, which is the same: both are linear, and weights that add up to one leave the bias as
    it is. The average then has fewer channels.
    """

    def call(self, x):
        return tf.nn.relu(border_average(self.linear(x)))


def border_average(x):
    """Average of the 3x3 pixels around each one, at the border of those that exist; [N, H, W, C] as given."""
    return tf.nn.avg_pool2d(x, 3, 1, "SAME")


@keras.saving.register_keras_serializable("gan_tf")
class MaxPool(keras.layers.Layer):
    """Maximum of 3x3 pixels; stride 2 without padding, stride 1 with."""

    def __init__(self, stride=2, **kwargs):
        super().__init__(trainable=False, autocast=False, **kwargs)  # of whatever type it is given
        self.stride = stride

    def call(self, x):
        return tf.nn.max_pool2d(x, 3, self.stride, "VALID" if self.stride > 1 else "SAME")

    def compute_output_shape(self, shape):
        """(N, H', W', C)."""
        sides = [(length - 1) // 2 if self.stride > 1 else length for length in shape[1:3]]
        return (shape[0], *sides, shape[3])

    def get_config(self):
        return {**super().get_config(), "stride": self.stride}


@keras.saving.register_keras_serializable("gan_tf")
class Branches(keras.layers.Layer):
    """Lists of layers over one input, their outputs side by side in the last axis."""

    def __init__(self, branches, **kwargs):
        super().__init__(trainable=False, autocast=False, **kwargs)  # of whatever type it is given
        self.branches = branches

    def build(self, shape):
        for branch in self.branches:
            build_chain(branch, shape)

    def call(self, x):
        return tf.concat([run_chain(branch, x) for branch in self.branches], axis=-1)

    def compute_output_shape(self, shape):
        """(N, H', W', sum of the branches' channels)."""
        shapes = [chain_shape(branch, shape) for branch in self.branches]
        return (*shapes[0][:3], sum(shape[3] for shape in shapes))

    def get_config(self):
        layers = [[keras.saving.serialize_keras_object(layer) for layer in branch] for branch in self.branches]
        return {**super().get_config(), "branches": layers}

    @classmethod
    def from_config(cls, config):
        layers = [[keras.saving.deserialize_keras_object(x) for x in branch] for branch in config.pop("branches")]
        return cls(layers, **config)


def build_chain(layers, shape):
    """Builds layers that follow one another; returns the shape behind them."""
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return shape


def chain_shape(layers, shape):
    """The shape behind layers that follow one another."""
    for layer in layers:
        shape = layer.compute_output_shape(shape)
    return shape


def run_chain(layers, x):
    """Calls layers one after the other."""
    for layer in layers:
        x = layer(x)
    return x


def stages(conv):
    """The network as four lists of layers, cut where FID's taps are: 73x73x64, 35x35x192, 17x17x768 and 8x8x2048."""
    first = [
        conv("Conv2d_1a_3x3", 32, (3, 3), stride=2),
        conv("Conv2d_2a_3x3", 32, (3, 3), padding="VALID"),
        conv("Conv2d_2b_3x3", 64, (3, 3)),
        MaxPool(),
    ]
    second = [conv("Conv2d_3b_1x1", 80), conv("Conv2d_4a_3x3", 192, (3, 3), padding="VALID"), MaxPool()]
    third = [
        mixed_5(conv, "Mixed_5b", pool_filters=32),
        mixed_5(conv, "Mixed_5c", pool_filters=64),
        mixed_5(conv, "Mixed_5d", pool_filters=64),
        mixed_6a(conv),
        mixed_6(conv, "Mixed_6b", width=128),
        mixed_6(conv, "Mixed_6c", width=160),
        mixed_6(conv, "Mixed_6d", width=160),
        mixed_6(conv, "Mixed_6e", width=192),
    ]
    last = [mixed_7a(conv), mixed_7(conv, "Mixed_7b", maximum=False), mixed_7(conv, "Mixed_7c", maximum=True)]
    return [first, second, third, last]


def mixed_5(conv, name, pool_filters):
    """35x35, 256 or 288 channels out."""
    branch = f"{name}.branch"
    return Branches(
        [
            [conv(branch + "1x1", 64)],
            [conv(branch + "5x5_1", 48), conv(branch + "5x5_2", 64, (5, 5))],
            double_3x3(conv, branch),
            [conv(branch + "_pool", pool_filters, of=PooledConv)],
        ]
    )


def mixed_6a(conv):
    """35x35 -> 17x17, 768 channels out."""
    branch = "Mixed_6a.branch"
    return Branches(
        [[conv(branch + "3x3", 384, (3, 3), stride=2)], double_3x3(conv, branch, last_stride=2), [MaxPool()]]
    )


def double_3x3(conv, branch, last_stride=1):
    """1x1, then two 3x3 convolutions."""
    return [
        conv(branch + "3x3dbl_1", 64),
        conv(branch + "3x3dbl_2", 96, (3, 3)),
        conv(branch + "3x3dbl_3", 96, (3, 3), stride=last_stride),
    ]


def mixed_6(conv, name, width):
    """17x17, 768 channels out; 7x7 convolutions as rows and columns, `width` channels between them."""
    branch, row, column = f"{name}.branch", (1, 7), (7, 1)
    return Branches(
        [
            [conv(branch + "1x1", 192)],
            [
                conv(branch + "7x7_1", width),
                conv(branch + "7x7_2", width, row),
                conv(branch + "7x7_3", 192, column),
            ],
            [
                conv(branch + "7x7dbl_1", width),
                conv(branch + "7x7dbl_2", width, column),
                conv(branch + "7x7dbl_3", width, row),
                conv(branch + "7x7dbl_4", width, column),
                conv(branch + "7x7dbl_5", 192, row),
            ],
            [conv(branch + "_pool", 192, of=PooledConv)],
        ]
    )


def mixed_7a(conv):
    """17x17 -> 8x8, 1280 channels out."""
    branch = "Mixed_7a.branch"
    return Branches(
        [
            [conv(branch + "3x3_1", 192), conv(branch + "3x3_2", 320, (3, 3), stride=2)],
            [
                conv(branch + "7x7x3_1", 192),
                conv(branch + "7x7x3_2", 192, (1, 7)),
                conv(branch + "7x7x3_3", 192, (7, 1)),
                conv(branch + "7x7x3_4", 192, (3, 3), stride=2),
            ],
            [MaxPool()],
        ]
    )


def mixed_7(conv, name, maximum):
    """8x8, 2048 channels out; the pool branch takes the maximum or the average."""
    branch = f"{name}.branch"
    pool = branch + "_pool"
    return Branches(
        [
            [conv(branch + "1x1", 320)],
            [conv(branch + "3x3_1", 384), row_and_column(conv, branch + "3x3_2")],
            [
                conv(branch + "3x3dbl_1", 448),
                conv(branch + "3x3dbl_2", 384, (3, 3)),
                row_and_column(conv, branch + "3x3dbl_3"),
            ],
            [MaxPool(stride=1), conv(pool, 192)] if maximum else [conv(pool, 192, of=PooledConv)],
        ]
    )


def row_and_column(conv, name):
    """1x3 and 3x1 side by side."""
    return Branches([[conv(name + "a", 384, (1, 3))], [conv(name + "b", 384, (3, 1))]])
