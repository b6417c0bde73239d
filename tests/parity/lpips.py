"""LPIPS against official numbers: distances, distances of the layers, feature means and gradients (NCHW in the file).

VGG16's weights are random, made from each name by the rule of the reference files; the heads are in the file.
"""

import json
import zlib

import numpy as np
import tensorflow as tf

from gan_tf.pretrained.lpips import Lpips, head_shapes, vgg_shapes
from tests.parity.report import Quantity, forward, gradient, relative_l2

BOUND = 1e-4
GRADIENT_BOUND = 1e-3
SAME_BOUND = 1e-6  # absolute: the true value is 0


def quantities(arrays):
    """Yields a Quantity for each output of a lpips reference file.

    All are computed in float32, except the whole gradient, in float64: rounding may move a single ReLU of VGG16 across
    its kink, which changes the gradient of that image by some thousandths, in the official code too. In float32 the
    gradient of the image with the smallest error is compared.
    """
    a, b = (tf.constant(arrays[name].transpose(0, 2, 3, 1)) for name in "ab")
    want = arrays["grad_a"].transpose(0, 2, 3, 1)
    yield gradient("grad_a", _gradient(_lpips(arrays, tf.float64), a, b), want, GRADIENT_BOUND)
    lpips = _lpips(arrays, tf.float32)
    errors = [relative_l2(*pair) for pair in zip(_gradient(lpips, a, b).numpy(), want, strict=True)]
    yield Quantity("grad_a in float32, best image", min(errors), GRADIENT_BOUND)
    yield forward("distance", lpips(a, b), arrays["distance"], BOUND)
    yield Quantity("distance_same", float(np.abs(lpips(a, a) - arrays["distance_same"]).max()), SAME_BOUND)
    for i, share in enumerate(lpips.layer_distances(lpips.features(a), lpips.features(b))):
        yield forward(f"layer{i}", share, arrays[f"layer{i}"], BOUND)
    for i, x in enumerate(lpips.maps(a)):
        yield forward(f"feature{i}_mean", tf.reduce_mean(x, axis=[1, 2]), arrays[f"feature{i}_mean"], BOUND)


def _lpips(arrays, dtype):
    heads = {name: arrays[f"lin{i}"].reshape(shape) for i, (name, shape) in enumerate(head_shapes().items())}
    weights = made_weights(json.loads(str(arrays["meta_json"]))["salt"])
    return Lpips(weights, heads, {}, dtype=dtype)


def _gradient(lpips, a, b):
    with tf.GradientTape() as tape:
        tape.watch(a)
        distance = lpips(a, b)
    return tape.gradient(distance, a)


def made_weights(salt=""):
    """{official name: array} of VGG16's convolutions, each a function of its name."""
    arrays = {}
    for name, shape in vgg_shapes().items():
        normal = np.random.default_rng(zlib.crc32((salt + name).encode())).standard_normal(shape)
        scale = 0.1 if len(shape) == 1 else np.sqrt(2 / (shape[1] * 9))
        arrays[name] = (normal * scale).astype(np.float32)
    return arrays
