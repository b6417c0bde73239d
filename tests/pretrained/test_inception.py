"""FID's Inception: known answers of its layers and of the three ways to resize, and the refusal of other weights."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.pretrained.inception import RESIZES, Inception, load_inception, network_input, resized
from gan_tf.pretrained.inception_blocks import InceptionConv, average_pool
from tests.pretrained.made_weights import inception_arrays
from tests.pretrained.torch_format import whole, write_legacy


@pytest.fixture(scope="module")
def arrays():
    return inception_arrays()


@pytest.fixture(scope="module")
def network(arrays):
    return Inception(arrays, sha256="0123456789abcdef")


@pytest.fixture(scope="module")
def inputs():
    return network_input(noise(2, 64), "pytorch")


def noise(count, side):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def ramp(width, height=4):
    """Values rise by one from column to column."""
    return np.broadcast_to(np.arange(width, dtype=np.uint8)[:, None], (1, height, width, 3))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "average"),
    [((1, 7), 1, "SAME", False), ((3, 3), 2, "VALID", False), ((1, 1), 1, "SAME", True)],
)
def test_folded_convolution_is_pool_convolution_batch_norm_and_relu(kernel, stride, padding, average):
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 9, 9, 4))
    layer = InceptionConv(4, 5, kernel, stride, padding, "float32", average)
    tensors = {
        name: np.float32(random.uniform(0.5, 1.5, shape) if name.endswith("var") else random.standard_normal(shape))
        for name, shape in layer.official_shapes.items()
    }
    layer.fold(tensors)
    kernels = np.float64(tensors["conv.weight"]).transpose(2, 3, 1, 0)
    want = tf.nn.conv2d(average_pool(x) if average else x, kernels, stride, padding)
    want = (want - tensors["bn.running_mean"]) / np.sqrt(np.float64(tensors["bn.running_var"]) + 1e-3)
    want = tf.nn.relu(want * tensors["bn.weight"] + tensors["bn.bias"])
    np.testing.assert_allclose(layer(np.float32(x)), want, rtol=1e-4, atol=1e-5)


def test_averages_at_the_border_count_only_pixels_of_the_image():
    spike = np.zeros((1, 4, 4, 1), np.float32)
    spike[0, 0, 0] = 36
    got = average_pool(spike)[0, :, :, 0]
    np.testing.assert_allclose(got, [[9, 6, 0, 0], [6, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(average_pool(np.ones((1, 8, 8, 2), np.float32)), 1, rtol=1e-6)


def test_outputs(network, inputs, arrays):
    maps = network.maps(inputs)
    assert [tuple(x.shape[1:]) for x in maps] == [(73, 73, 64), (35, 35, 192), (17, 17, 768), (8, 8, 2048)]
    outputs = network(inputs)
    np.testing.assert_allclose(outputs["2048"], np.mean(maps[3], axis=(1, 2)), rtol=1e-5)
    want = outputs["2048"].numpy().astype(np.float64) @ arrays["fc.weight"].T.astype(np.float64)
    np.testing.assert_allclose(outputs["logits_unbiased"], want, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(outputs["logits"], want + arrays["fc.bias"], rtol=1e-4, atol=1e-4)


def test_number_of_weights(network):
    assert len(network.official_shapes) == 472
    assert sum(int(np.prod(shape)) for shape in network.official_shapes.values()) == 23_885_392
    assert not any(variable.trainable for variable in network.variables)


def test_precision(network, inputs):
    assert network.with_precision("float32") is network
    copy = network.with_precision("bfloat16")
    assert (copy.sha256, copy.genuine) == (network.sha256, network.genuine)
    got, want = copy(inputs)["2048"], network(inputs)["2048"].numpy()
    assert got.dtype == tf.float32
    error = np.linalg.norm(got - want) / np.linalg.norm(want)
    assert 1e-4 < error < 2e-2


def test_weights_of_another_network_are_refused(arrays):
    for name, change in (
        ("fc.bias", {"fc.bias": None}),
        ("aux.weight", {"aux.weight": np.zeros(1)}),
        (r"fc.weight has shape \(1000, 2048\)", {"fc.weight": np.zeros((1000, 2048))}),
        ("fc.bias has numbers that are not finite", {"fc.bias": np.full(1008, np.nan)}),
    ):
        changed = {key: value for key, value in (arrays | change).items() if value is not None}
        with pytest.raises(UsageError, match=f"6726825d.*{name}"):
            Inception(changed)


@pytest.mark.parametrize("resize", RESIZES)
def test_images_of_299_pixels_stay_as_they_are(resize):
    images = noise(2, 299)
    np.testing.assert_array_equal(resized(images, resize), images)
    with pytest.raises(ValueError, match=f"got other {resize}"):
        resized(images, f"other {resize}")


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("width", [100, 250])
def test_a_ramp_shows_the_sampled_positions(resize, width):
    row = resized(ramp(width), resize).numpy()[0, 150, :, 1]
    columns = np.arange(299)
    if resize == "tf1":
        want = np.minimum(columns * width / 299, width - 1)
    else:
        want = np.clip((columns + 0.5) * width / 299 - 0.5, 0, width - 1)
    inner = slice(8, -8) if resize == "clean" else slice(None)  # bicubic: not linear near the border
    np.testing.assert_allclose(row[inner], want[inner], atol=2e-4)


def test_only_clean_is_antialiased():
    stripes = np.zeros((1, 8, 897, 3), np.uint8)
    stripes[:, :, 1::3] = 255  # the columns that bilinear resizing samples
    np.testing.assert_array_equal(resized(stripes, "pytorch"), 255)
    np.testing.assert_array_equal(resized(stripes, "tf1"), 0)
    np.testing.assert_allclose(resized(stripes, "clean")[:, :, 4:-4], 85, atol=1)


def test_clean_is_clipped_but_not_rounded():
    edge = np.zeros((1, 32, 32, 3), np.uint8)
    edge[:, :, 16:] = 255
    values = resized(edge, "clean").numpy()
    assert values.min() == 0 and values.max() == 255
    assert np.any(values != np.rint(values))


def test_a_given_file_is_identified_by_its_checksum(arrays, network, tmp_path):
    counters = {"Conv2d_1a_3x3.bn.num_batches_tracked": np.int64(0)}
    path = write_legacy(tmp_path / "mine.pth", {name: whole(array) for name, array in {**arrays, **counters}.items()})
    loaded = load_inception(path, offline=True)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() and not loaded.genuine
    for mine, same in zip(loaded.variables, network.variables, strict=True):
        np.testing.assert_array_equal(mine, same)
