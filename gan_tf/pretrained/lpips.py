"""LPIPS: perceptual distance between images, in the feature maps of VGG16.

Five maps of VGG16 are normalised to unit length over channels at every pixel; their squared differences, weighted by a
learned head for each map, are summed over channels, averaged over space and added. This is version 0.1 of the official
weights for VGG16 ("lin"), with torchvision's VGG16.

The distance is computed in float32 whatever the precision of training. TensorFlow's setting for TensorFloat-32 applies.

Source: Zhang et al. 2018 (The Unreasonable Effectiveness of Deep Features as a Perceptual Metric), section 3, with the
scaling layer of version 0.1; Simonyan and Zisserman 2015 (VGG16, configuration D).
"""

import numpy as np
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.io.content import reason_of
from gan_tf.io.files import part_file
from gan_tf.io.locks import locked
from gan_tf.pretrained.downloads import Download, check_arrays, obtain, pretrained_folder
from gan_tf.pretrained.torch_files import read_state_dict

VGG16 = Download(
    name="vgg16-397923af.pth",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    sha256="397923af",
    megabytes=528,
)
HEADS = Download(
    name="lpips-0.1-vgg.pth",
    url="https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth",
    sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    megabytes=0.007,
)
KEPT = "vgg16-397923af-convolutions.npz"  # the convolutions of VGG16, a tenth of the file
# VGG16's convolutions by stage: (index in the official file, channels out). The last map of a stage is compared; a 2x2
# maximum pool separates stages.
STAGES = (
    ((0, 64), (2, 64)),
    ((5, 128), (7, 128)),
    ((10, 256), (12, 256), (14, 256)),
    ((17, 512), (19, 512), (21, 512)),
    ((24, 512), (26, 512), (28, 512)),
)
SMALLEST = 16  # pixels: four pools leave one
MEAN = (-0.030, -0.088, -0.188)  # ImageNet's, for images in [-1, 1]
DEVIATION = (0.458, 0.448, 0.450)
LENGTH_EPSILON = 1e-10
TINY = 1e-30  # keeps the gradient of a length of 0 finite; far below LENGTH_EPSILON squared, so it changes no value


def vgg_shapes():
    """{official name: shape in the official file} of VGG16's convolutions."""
    shapes, channels = {}, 3
    for stage in STAGES:
        for index, filters in stage:
            shapes[f"features.{index}.weight"] = (filters, channels, 3, 3)
            shapes[f"features.{index}.bias"] = (filters,)
            channels = filters
    return shapes


def head_shapes():
    """{official name: shape} of the heads."""
    return {f"lin{i}.model.1.weight": (1, stage[-1][1], 1, 1) for i, stage in enumerate(STAGES)}


class Lpips:
    """The LPIPS distance. Its weights are variables that are not trained; create it in the strategy's scope.

    Call: a, b [N, H, W, 3] in [-1, 1] (not checked: images of FastGAN exceed it slightly) -> [N] float32, 0 for equal
    images. Differentiable in both. H and W are at least 16.

    Args:
        vgg: {name of `vgg_shapes`: array}.
        heads: {name of `head_shapes`: array}.
        sha256: {"vgg16": hex digest of VGG16's official file, "heads": that of the heads' file}.
        dtype: tf.float64 separates rounding from errors in tests; otherwise tf.float32.
    """

    def __init__(self, vgg, heads, sha256, dtype=tf.float32):
        check_arrays(vgg, vgg_shapes(), VGG16)
        check_arrays(heads, head_shapes(), HEADS)
        self.protocol = {"network": "lpips 0.1, vgg16", **{f"{name}_sha256": value for name, value in sha256.items()}}
        self.dtype = dtype

        def variable(array):
            return tf.Variable(np.ascontiguousarray(array, dtype.as_numpy_dtype), trainable=False)

        def convolution(index):  # -> (kernel [3, 3, I, O], bias [O])
            kernel = vgg[f"features.{index}.weight"].transpose(2, 3, 1, 0)
            return variable(kernel), variable(vgg[f"features.{index}.bias"])

        self.stages = [[convolution(index) for index, _ in stage] for stage in STAGES]
        self.heads = [variable(heads[name].reshape(-1)) for name in head_shapes()]  # [C] each
        self.mean, self.deviation = tf.constant(MEAN, dtype), tf.constant(DEVIATION, dtype)

    def __call__(self, a, b):
        return self.distance_of_features(self.features(a), self.features(b))

    def maps(self, images):
        """VGG16's maps after the ReLU of conv1_2, 2_2, 3_3, 4_3 and 5_3: list of [N, h, w, C] float32."""
        if min(images.shape[1:3]) < SMALLEST:
            raise ValueError(f"images of {images.shape[1]}x{images.shape[2]} pixels; LPIPS needs {SMALLEST}x{SMALLEST}")
        x = (tf.cast(images, self.dtype) - self.mean) / self.deviation
        maps = []
        for stage in self.stages:
            if maps:
                x = tf.nn.max_pool2d(x, 2, 2, "VALID")
            for kernel, bias in stage:
                x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias))
            maps.append(x)
        return maps

    def features(self, images):
        """The maps at unit length. Keep them for images that are compared several times."""
        return [unit_length(x) for x in self.maps(images)]

    def layer_distances(self, features_a, features_b):
        """Contribution of each of the five maps to the distance: list of [N]."""
        return [
            tf.reduce_mean(tf.linalg.matvec((a - b) ** 2, head), axis=[1, 2])
            for a, b, head in zip(features_a, features_b, self.heads, strict=True)
        ]

    def distance_of_features(self, features_a, features_b):
        """Distance between images, from their `features`: [N]."""
        return tf.add_n(self.layer_distances(features_a, features_b))


def unit_length(x):
    """Divides by the length over channels: [N, h, w, C] -> the same; zeros stay zeros, with a gradient of zero."""
    squares = tf.reduce_sum(x**2, axis=3, keepdims=True)
    return x / (tf.sqrt(tf.maximum(squares, TINY)) + LENGTH_EPSILON)


def load_lpips(*, offline=False, log=print, alternative=""):
    """Loads Lpips with the published weights, downloaded at the first call.

    The convolutions of VGG16's file (528 MB) are kept in the cache as KEPT; the file is deleted.

    Args:
        offline, log: as for `downloads.obtain`.
        alternative: a way to work without the weights, for the error.

    Raises:
        UsageError: weights cannot be downloaded, or are damaged.
    """
    heads = obtain(HEADS._replace(alternative=alternative), offline=offline, log=log)
    vgg, path = VGG16._replace(alternative=alternative), pretrained_folder() / KEPT
    if not path.exists():
        with locked(path.with_name(KEPT + ".lock")):
            if not path.exists():
                _keep_convolutions(vgg, path, offline, log)
    try:
        with np.load(path, allow_pickle=False) as archive:  # the zip format has a checksum of every array
            arrays = {name: archive[name] for name in archive.files}
        digest = str(arrays.pop("source_sha256"))
    except Exception as error:  # a damaged archive raises errors of many types
        reason = reason_of(error, path)
        raise UsageError(f"{path} is damaged ({reason}): delete it, and it is made again") from error
    if not digest.startswith(vgg.sha256):
        raise UsageError(f"{path} is from another file (SHA-256 {digest[:8]}): delete it, and it is made again")
    return Lpips(arrays, read_state_dict(heads.path), {"vgg16": digest, "heads": heads.sha256})


def _keep_convolutions(vgg, path, offline, log):
    """Writes the convolutions in VGG16's file to `path`, and deletes the file."""
    obtained, shapes = obtain(vgg, offline=offline, log=log), vgg_shapes()
    arrays = {name: array for name, array in read_state_dict(obtained.path).items() if name in shapes}
    check_arrays(arrays, shapes, vgg)
    with part_file(path) as file:
        np.savez(file, **arrays, source_sha256=obtained.sha256)
    obtained.path.unlink(missing_ok=True)  # without locks, another process may have deleted it
    log(f"kept the convolutions of {vgg.name} as {path}, and deleted the rest")
