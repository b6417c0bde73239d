"""FID's Inception: known answers of its parts and of the ways to resize, and what is refused."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.pretrained.inception import INCEPTION, RESIZES, Inception, load_inception, network_input, resized
from gan_tf.pretrained.inception_blocks import EPSILON, FoldedConv, PooledConv, border_average, mixed_7
from tests.pretrained.official_inception import inception_arrays
from tests.pretrained.torch_format import whole, write_legacy


@pytest.fixture(scope="module")
def arrays():
    return inception_arrays()


@pytest.fixture(scope="module")
def network(arrays):
    return Inception.from_arrays(arrays, sha256="0123456789abcdef", genuine=False)


@pytest.fixture(scope="module")
def inputs():
    return network_input(noise(2, 64), "pytorch")


def noise(count, height, width=None):
    return np.random.default_rng(0).integers(0, 256, (count, height, width or height, 3), np.uint8)


def ramp(width, height=4):
    """Values rise by one from column to column."""
    return np.broadcast_to(np.arange(width, dtype=np.uint8)[:, None], (1, height, width, 3))


def normal_tensors(layer, random):
    """Tensors for a layer's `fold`, the variances positive."""
    return {
        name: np.float32(random.uniform(0.5, 1.5, shape) if name.endswith("var") else random.standard_normal(shape))
        for name, shape in layer.official_shapes.items()
    }


def unfolded(x, tensors, padding="SAME", stride=1):
    """Convolution, batch norm and ReLU one after the other, in float64."""
    x = tf.nn.conv2d(x, np.float64(tensors["conv.weight"]).transpose(2, 3, 1, 0), stride, padding)
    x = (x - tensors["bn.running_mean"]) / np.sqrt(np.float64(tensors["bn.running_var"]) + 1e-3)
    return tf.nn.relu(x * tensors["bn.weight"] + tensors["bn.bias"])


@pytest.mark.parametrize(("kernel", "stride", "padding"), [((1, 7), 1, "SAME"), ((3, 3), 2, "VALID")])
def test_folded_convolution_is_convolution_batch_norm_and_relu(kernel, stride, padding):
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 9, 9, 4))
    layer = FoldedConv(5, kernel, stride, padding)
    layer.build(x.shape)
    tensors = normal_tensors(layer, random)
    layer.fold(tensors)
    got = layer(np.float32(x))
    np.testing.assert_allclose(got, unfolded(x, tensors, padding, stride), rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == got.shape


def test_pooled_convolution_is_average_convolution_batch_norm_and_relu():
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 6, 6, 4))
    layer = PooledConv(3)
    layer.build(x.shape)
    tensors = normal_tensors(layer, random)
    layer.fold(tensors)
    np.testing.assert_allclose(layer(np.float32(x)), unfolded(border_average(x), tensors), rtol=1e-4, atol=1e-5)


def test_averages_at_the_border_count_only_what_is_there():
    spike = np.zeros((1, 4, 4, 1), np.float32)
    spike[0, 0, 0] = 36
    got = border_average(spike)[0, :, :, 0]
    np.testing.assert_allclose(got, [[9, 6, 0, 0], [6, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(border_average(np.ones((1, 8, 8, 2), np.float32)), 1, rtol=1e-6)


@pytest.mark.parametrize(("maximum", "around"), [(True, 9), (False, 1)])
def test_the_last_block_takes_the_maximum_where_the_one_before_averages(maximum, around):
    layers = {}

    def conv(name, filters, kernel_size=(1, 1), of=FoldedConv):
        layers[name] = of(filters, kernel_size)
        return layers[name]

    block = mixed_7(conv, "block", maximum)
    spike = np.zeros((1, 8, 8, 2), np.float32)
    spike[0, 4, 4, 0] = 9
    block.build(spike.shape)
    kernel = np.zeros(layers["block.branch_pool"].kernel.shape, np.float32)
    kernel[0, 0, 0, 0] = 1  # the only one that is not zero
    layers["block.branch_pool"].kernel.assign(kernel)
    got = block(spike)[0, :, :, -192].numpy()
    assert block(spike).shape == (1, 8, 8, 2048)
    np.testing.assert_allclose(got[3:6, 3:6], around, rtol=1e-6)
    assert got.sum() == pytest.approx(9 * around)


def test_outputs(network, inputs):
    maps = network.maps(inputs)
    assert [tuple(x.shape[1:]) for x in maps] == [(73, 73, 64), (35, 35, 192), (17, 17, 768), (8, 8, 2048)]
    outputs = network(inputs)
    np.testing.assert_allclose(outputs["2048"], np.mean(maps[3], axis=(1, 2)), rtol=1e-5)
    assert outputs["logits"].shape == (2, 1008)


def test_logits_are_the_last_layer_with_and_without_its_bias(network, inputs, arrays):
    outputs = network(inputs)
    want = outputs["2048"].numpy().astype(np.float64) @ arrays["fc.weight"].T.astype(np.float64)
    np.testing.assert_allclose(outputs["logits_unbiased"], want, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(outputs["logits"], want + arrays["fc.bias"], rtol=1e-4, atol=1e-4)


def test_epsilon_and_number_of_tensors(network):
    assert EPSILON == 1e-3
    assert len(network.official_shapes) == 472
    assert sum(int(np.prod(shape)) for shape in network.official_shapes.values()) == 23_885_392
    assert not network.trainable_variables


def test_bfloat16_is_near_and_the_network_itself_is_its_own_float32_copy(network, inputs):
    assert network.with_precision("float32") is network
    copy = network.with_precision("bfloat16")
    assert (copy.sha256, copy.genuine) == (network.sha256, network.genuine)
    got, want = copy(inputs)["2048"], network(inputs)["2048"].numpy()
    assert got.dtype == tf.float32
    error = np.linalg.norm(got - want) / np.linalg.norm(want)
    assert 1e-4 < error < 2e-2


def test_counters_of_training_are_left_alone(arrays, network):
    counted = {**arrays, "Conv2d_1a_3x3.bn.num_batches_tracked": np.int64(0)}
    kernel = Inception.from_arrays(counted).convolutions["Conv2d_1a_3x3"].kernel
    np.testing.assert_array_equal(kernel, network.convolutions["Conv2d_1a_3x3"].kernel)


def test_weights_of_another_network_are_refused_in_one_line(arrays):
    def refused(arrays):
        with pytest.raises(UsageError) as caught:
            Inception.from_arrays(arrays)
        assert "\n" not in str(caught.value) and "6726825d.pth" in str(caught.value)
        return str(caught.value)

    lacking = {name: array for name, array in arrays.items() if not name.startswith("fc.")}
    assert "lack fc.bias and 1 more" in refused(lacking)
    assert "have aux.weight," in refused({**arrays, "aux.weight": np.zeros(1)})
    assert "fc.weight of shape (1000, 2048) where the network has (1008, 2048)" in refused(
        {**arrays, "fc.weight": np.zeros((1000, 2048))}
    )
    assert "numbers in fc.bias that are not finite" in refused({**arrays, "fc.bias": np.full(1008, np.nan)})


@pytest.mark.parametrize("resize", RESIZES)
def test_images_of_299_pixels_stay_as_they_are(resize):
    images = noise(2, 299)
    np.testing.assert_array_equal(resized(images, resize), images)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("width", [100, 250])
def test_a_ramp_shows_where_the_pixels_are_taken(resize, width):
    row = resized(ramp(width), resize).numpy()[0, 150, :, 1]
    columns = np.arange(299)
    if resize == "tf1":
        want = np.minimum(columns * width / 299, width - 1)
    else:
        want = np.clip((columns + 0.5) * width / 299 - 0.5, 0, width - 1)
    inner = slice(8, -8) if resize == "clean" else slice(None)  # bicubic: near the border the ramp is not one
    np.testing.assert_allclose(row[inner], want[inner], atol=2e-4)


def test_only_clean_does_something_against_aliasing():
    stripes = np.zeros((1, 8, 897, 3), np.uint8)
    stripes[:, :, 1::3] = 255  # where the bilinear ways look
    np.testing.assert_array_equal(resized(stripes, "pytorch"), 255)
    np.testing.assert_array_equal(resized(stripes, "tf1"), 0)
    np.testing.assert_allclose(resized(stripes, "clean")[:, :, 4:-4], 85, atol=1)


def test_clean_is_clipped_but_not_rounded():
    edge = np.zeros((1, 32, 32, 3), np.uint8)
    edge[:, :, 16:] = 255
    values = resized(edge, "clean").numpy()
    assert values.min() == 0 and values.max() == 255
    assert np.any(values != np.rint(values))


def test_range_of_the_networks_input():
    ends = np.zeros((2, 4, 4, 3), np.uint8)
    ends[1] = 255
    for resize, highest in (("pytorch", 1), ("clean", 1), ("tf1", 127 / 128)):
        got = network_input(ends, resize)
        assert got.dtype == tf.float32
        np.testing.assert_allclose(got[0], -1, atol=1e-6)
        np.testing.assert_allclose(got[1], highest, atol=1e-6)


def test_an_unknown_resize_is_named():
    with pytest.raises(ValueError, match="'nearest'"):
        resized(noise(1, 8), "nearest")


def test_a_file_of_ones_own_is_read_and_known_by_its_hash(arrays, network, tmp_path):
    path = write_legacy(tmp_path / "mine.pth", {name: whole(array) for name, array in arrays.items()})
    loaded = load_inception(path, offline=True)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() and not loaded.genuine
    for mine, same in zip(loaded.variables, network.variables, strict=True):
        np.testing.assert_array_equal(mine, same)


def test_without_the_file_the_message_says_where_it_is_and_what_else_there_is():
    with pytest.raises(UsageError) as caught:
        load_inception(offline=True)
    said = str(caught.value)
    assert INCEPTION.url in said and "swd2k" in said and "\n" not in said
