"""Blocks of FID's Inception-v3: convolutions with folded batch norm, in parallel branches.

Differences from the Inception-v3 of the paper:

* average pools divide by the number of pixels inside the image, so the border is not darkened;
* the pool branch of the last block, Mixed_7c, takes the maximum, that of Mixed_7b the average;
* batch norm adds 1e-3 to the variance.

Functions here take `conv(name, inputs, filters, kernel_size, stride, padding, average)`, which creates an InceptionConv
and registers it under its name in the official weight file; `inputs` and `filters` are numbers of channels.

Source: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", figures 5 to 7 and 10.
"""

import numpy as np
import tensorflow as tf


class InceptionConv:
    """Convolution, batch norm (folded into it) and ReLU; with `average`, a 3x3 average pool comes first.

    The pool is computed after the convolution, on fewer channels: both are linear, and the average of a constant bias
    is the bias.

    Call: x [N, H, W, inputs] -> [N, H', W', filters], at least 0.
    """

    def __init__(self, inputs, filters, kernel_size, stride, padding, dtype, average=False):
        self.stride, self.padding, self.average = stride, padding, average
        self.kernel = tf.Variable(tf.zeros((*kernel_size, inputs, filters), dtype), trainable=False)
        self.bias = tf.Variable(tf.zeros(filters, dtype), trainable=False)

    def __call__(self, x):
        x = tf.nn.bias_add(tf.nn.conv2d(x, self.kernel, self.stride, self.padding), self.bias)
        return tf.nn.relu(average_pool(x) if self.average else x)

    @property
    def official_shapes(self):
        """{name of a tensor in the official file, after the layer's name: shape}."""
        height, width, inputs, filters = self.kernel.shape
        norm = {f"bn.{part}": (filters,) for part in ("weight", "bias", "running_mean", "running_var")}
        return {"conv.weight": (filters, inputs, height, width), **norm}

    def fold(self, tensors):
        """Sets kernel and bias from the tensors of `official_shapes`. Computed in float64 and rounded once."""
        kernel, gamma, beta, mean, variance = (
            np.asarray(tensors[name], np.float64)
            for name in ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
        )
        scale = gamma / np.sqrt(variance + 1e-3)
        self.kernel.assign(tf.cast(kernel.transpose(2, 3, 1, 0) * scale, self.kernel.dtype))
        self.bias.assign(tf.cast(beta - mean * scale, self.bias.dtype))


def average_pool(x):
    """3x3 average pool of stride 1, over the pixels inside the image: [N, H, W, C] -> the same shape."""
    return tf.nn.avg_pool2d(x, 3, 1, "SAME")


def max_pool(x):
    """3x3 maximum pool of stride 2, without padding."""
    return tf.nn.max_pool2d(x, 3, 2, "VALID")


def run(layers, x):
    """Applies layers one after the other."""
    for layer in layers:
        x = layer(x)
    return x


def branches(*paths):
    """Returns a layer that runs lists of layers on one input and concatenates their outputs along the channels."""
    return lambda x: tf.concat([run(path, x) for path in paths], axis=-1)


def stages(conv):
    """Returns the network as four lists of layers; their outputs are 73x73x64, 35x35x192, 17x17x768 and 8x8x2048."""
    first = [
        conv("Conv2d_1a_3x3", 3, 32, (3, 3), stride=2),
        conv("Conv2d_2a_3x3", 32, 32, (3, 3), padding="VALID"),
        conv("Conv2d_2b_3x3", 32, 64, (3, 3)),
        max_pool,
    ]
    second = [conv("Conv2d_3b_1x1", 64, 80), conv("Conv2d_4a_3x3", 80, 192, (3, 3), padding="VALID"), max_pool]
    third = [
        mixed_5(conv, "Mixed_5b", 192, pool_filters=32),
        mixed_5(conv, "Mixed_5c", 256, pool_filters=64),
        mixed_5(conv, "Mixed_5d", 288, pool_filters=64),
        branches(
            [conv("Mixed_6a.branch3x3", 288, 384, (3, 3), stride=2)],
            double_3x3(conv, "Mixed_6a.branch", 288, last_stride=2),
            [max_pool],
        ),
        mixed_6(conv, "Mixed_6b", width=128),
        mixed_6(conv, "Mixed_6c", width=160),
        mixed_6(conv, "Mixed_6d", width=160),
        mixed_6(conv, "Mixed_6e", width=192),
    ]
    last = [
        mixed_7a(conv),
        mixed_7(conv, "Mixed_7b", 1280, average=True),
        mixed_7(conv, "Mixed_7c", 2048, average=False),
    ]
    return [first, second, third, last]


def mixed_5(conv, name, inputs, pool_filters):
    """35x35xinputs -> 35x35, 224 + pool_filters channels."""
    branch = f"{name}.branch"
    return branches(
        [conv(branch + "1x1", inputs, 64)],
        [conv(branch + "5x5_1", inputs, 48), conv(branch + "5x5_2", 48, 64, (5, 5))],
        double_3x3(conv, branch, inputs),
        [conv(branch + "_pool", inputs, pool_filters, average=True)],
    )


def double_3x3(conv, branch, inputs, last_stride=1):
    """A branch: a 1x1, then two 3x3 convolutions; 96 channels out."""
    return [
        conv(branch + "3x3dbl_1", inputs, 64),
        conv(branch + "3x3dbl_2", 64, 96, (3, 3)),
        conv(branch + "3x3dbl_3", 96, 96, (3, 3), stride=last_stride),
    ]


def mixed_6(conv, name, width):
    """17x17x768 -> the same; 7x7 convolutions are split into rows and columns with `width` channels between them."""
    branch, row, column = f"{name}.branch", (1, 7), (7, 1)
    return branches(
        [conv(branch + "1x1", 768, 192)],
        [
            conv(branch + "7x7_1", 768, width),
            conv(branch + "7x7_2", width, width, row),
            conv(branch + "7x7_3", width, 192, column),
        ],
        [
            conv(branch + "7x7dbl_1", 768, width),
            conv(branch + "7x7dbl_2", width, width, column),
            conv(branch + "7x7dbl_3", width, width, row),
            conv(branch + "7x7dbl_4", width, width, column),
            conv(branch + "7x7dbl_5", width, 192, row),
        ],
        [conv(branch + "_pool", 768, 192, average=True)],
    )


def mixed_7a(conv):
    """17x17x768 -> 8x8x1280."""
    branch = "Mixed_7a.branch"
    return branches(
        [conv(branch + "3x3_1", 768, 192), conv(branch + "3x3_2", 192, 320, (3, 3), stride=2)],
        [
            conv(branch + "7x7x3_1", 768, 192),
            conv(branch + "7x7x3_2", 192, 192, (1, 7)),
            conv(branch + "7x7x3_3", 192, 192, (7, 1)),
            conv(branch + "7x7x3_4", 192, 192, (3, 3), stride=2),
        ],
        [max_pool],
    )


def mixed_7(conv, name, inputs, average):
    """8x8xinputs -> 8x8x2048. The pool branch takes the average or the maximum."""
    branch = f"{name}.branch"

    def row_and_column(name):
        return branches([conv(name + "a", 384, 384, (1, 3))], [conv(name + "b", 384, 384, (3, 1))])

    pooled = [conv(branch + "_pool", inputs, 192, average=average)]
    return branches(
        [conv(branch + "1x1", inputs, 320)],
        [conv(branch + "3x3_1", inputs, 384), row_and_column(branch + "3x3_2")],
        [
            conv(branch + "3x3dbl_1", inputs, 448),
            conv(branch + "3x3dbl_2", 448, 384, (3, 3)),
            row_and_column(branch + "3x3dbl_3"),
        ],
        pooled if average else [lambda x: tf.nn.max_pool2d(x, 3, 1, "SAME"), *pooled],
    )
