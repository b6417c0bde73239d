"""FID's Inception against pytorch-fid, torch-fidelity and clean-fid, with random weights made by a rule.

With random weights, features of different images correlate by more than 0.99, and would hide an error in a small part
of the image. So the differences between the features of neighbouring images are compared too, relative to their size.
"""

import json
import zlib

import numpy as np
from PIL import Image

from gan_tf.errors import UsageError
from gan_tf.pretrained.inception import SIDE, Inception, network_input, resized
from tests.parity.report import channels_first, forward, gradient

BOUND = 1e-4
ROUNDING = 1e-7
BICUBIC = Image.Resampling.BICUBIC
TAPS = ("64", "192", "768", "2048")


def quantities(arrays):
    """Yields every comparison.

    arrays: of an inception reference file: <set>/images_uint8_nchw and the outputs of the official programs.
    """
    sets = sorted({key.split("/")[0] for key in arrays if key.endswith("/images_uint8_nchw")})
    if not sets:
        raise UsageError(f"{arrays.path} holds no sets of images (<set>/images_uint8_nchw): give an inception file")
    network = Inception()
    weights = random_weights(network.official_shapes, json.loads(str(arrays["meta_json"]))["salt"])
    for name, want in arrays.group("weights_check/").items():
        if name not in weights:
            raise UsageError(f"{arrays.path} checks a weight {name!r} that FID's Inception does not have")
        yield forward(f"weights_check/{name}", weights[name].ravel()[: want.size], want.ravel(), ROUNDING)
    network.fold(weights)
    for name in sets:
        yield from _of_a_set(network, name, arrays)


def random_weights(shapes, salt):
    """{name: float32 array}, each tensor from a separate generator, by the rule of the reference files.

    Scales keep the size of activations from layer to layer.
    """
    weights = {}
    for name, shape in shapes.items():
        random = np.random.default_rng(zlib.crc32((salt + name).encode()))
        if name.endswith("conv.weight"):
            values = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith("bn.weight"):
            values = random.uniform(0.8, 1.2, shape)
        elif name.endswith("bn.running_mean"):
            values = 0.2 * random.standard_normal(shape)
        elif name.endswith("bn.running_var"):
            values = random.uniform(0.5, 1.5, shape)
        elif name == "fc.weight":
            values = random.standard_normal(shape) / np.sqrt(shape[1])
        else:  # biases of batch norm and of the last layer
            values = 0.1 * random.standard_normal(shape)
        weights[name] = values.astype(np.float32)
    return weights


def _of_a_set(network, name, arrays):
    """Compares all arrays of one set of images."""
    images = arrays[f"{name}/images_uint8_nchw"].transpose(0, 2, 3, 1)
    results = {}
    for program, resize in (("pytorch_fid", "pytorch"), ("torch_fidelity", "tf1"), ("clean", "clean")):
        maps = network.maps(network_input(images, resize))
        results[program] = maps, network.outputs(maps)
    maps, features = results["pytorch_fid"]
    for tap in TAPS:
        yield from _both(arrays, f"{name}/pytorch_fid/features_{tap}", features[tap])
    _, features = results["torch_fidelity"]
    for tap in (*TAPS, "logits_unbiased"):
        yield from _both(arrays, f"{name}/torch_fidelity/features_{tap}", features[tap])
    plain = features["logits"] - network.bias
    yield forward(f"{name}/logits less their bias", plain, features["logits_unbiased"], BOUND)
    yield from _both(arrays, f"{name}/clean_resize_then_pytorch_fid_2048", results["clean"][1]["2048"])
    parts = {  # resized images, in the official range and layout, and inner maps, where the file has them
        "pytorch_fid/resized_sample0": lambda: channels_first(resized(images[:1], "pytorch"))[0] / 255,
        "tf1_bilinear/resized_sample0": lambda: channels_first(resized(images[:1], "tf1"))[0],
        "clean_fid/resized_nhwc": lambda: resized(images[: len(arrays[f"{name}/clean_fid/resized_nhwc"])], "clean"),
        # gan_tf does not resize uint8, which rounds between rows and columns: this compares the filter of Pillow.
        "clean_fid/resized_sample1_quantized_uint8": lambda: Image.fromarray(images[1]).resize((SIDE, SIDE), BICUBIC),
        "pytorch_fid/block0_first4ch_sample0": lambda: channels_first(maps[0][:1, ..., :4])[0],
        "pytorch_fid/block2_first16ch": lambda: channels_first(maps[2][..., :16]),
    }
    for key, make in parts.items():
        if f"{name}/{key}" in arrays:
            yield forward(f"{name}/{key}", make(), arrays[f"{name}/{key}"], BOUND)


def _both(arrays, key, got):
    """Compares features [N, F], and the differences between neighbouring images."""
    got, want = got.numpy(), arrays[key]
    yield gradient(key, got, want, BOUND)
    for i in range(len(want) - 1):
        difference, expected = got[i + 1] - got[i], want[i + 1] - want[i]
        yield gradient(f"{key} {i + 1} minus {i}", difference, expected, BOUND)
