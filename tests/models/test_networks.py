"""Properties that the networks of all families share, with and without classes."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.losses import r1_penalty
from gan_tf.models.fastgan import FastGanDiscriminator, FastGanGenerator
from gan_tf.models.fastgan_blocks import SpectralProjection
from gan_tf.models.network import fold
from gan_tf.models.pggan import PgganDiscriminator, PgganGenerator
from gan_tf.models.pggan_blocks import ClassProjection
from gan_tf.models.stylegan2 import StyleGan2Discriminator, StyleGan2Generator
from gan_tf.models.variables import named_variables
from tests import conditional
from tests.models.networks import SIZES, gradients, images_of, networks, random, random_input, values
from tests.parity.report import relative_l2

ALL = pytest.mark.parametrize("family", SIZES)


@ALL
def test_networks_are_built_from_settings(family):
    expected = {**SIZES[family], "seed": 4, "classes": 2}
    used = set()
    for network in networks(family, classes=2, policy="mixed_bfloat16"):
        config = network.get_config()
        names = expected.keys() & config.keys()
        assert {name: config[name] for name in names} == {name: expected[name] for name in names}
        assert network.built and network.compute_dtype == "bfloat16"
        used |= names
    assert used == expected.keys()


@ALL
@pytest.mark.parametrize("classes", [0, 2])
def test_config_round_trip(family, classes):
    for network in networks(family, classes=classes):
        copy = type(network).from_config(network.get_config())
        copy.build()
        assert copy.get_config() == network.get_config()
        before, after = values(network), values(copy)
        assert before.keys() == after.keys()
        for name, value in before.items():
            np.testing.assert_array_equal(after[name], value, err_msg=name)


@ALL
def test_networks_of_one_seed_are_equal_and_no_two_layers_share_a_stream(family):
    for first, again, other in zip(*(networks(family, seed=seed) for seed in (1, 1, 2)), strict=True):
        first, again, other = values(first), values(again), values(other)
        kernels = [name for name in first if name.endswith(("kernel", "noise", "const"))]
        for name in kernels:
            np.testing.assert_array_equal(first[name], again[name])
            assert not np.array_equal(first[name], other[name])
        assert len({first[name].ravel()[0] for name in kernels}) == len(kernels)


@ALL
def test_every_variable_has_a_name_and_a_first_call_adds_none(family):
    for network, inputs in zip(networks(family, classes=2), (random(4, 8), random_input(family)), strict=True):
        names = list(named_variables(network))
        network(inputs, tf.constant([0, 1, 0, 1]), training=True)
        assert list(named_variables(network)) == names and len(names) == len(network.variables)


def test_a_variable_without_a_name_is_an_error():
    layer = keras.layers.Layer()
    layer._hidden = layer.add_weight(shape=(1,))
    with pytest.raises(ValueError, match="no attribute leads to"):
        named_variables(layer)


@ALL
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_keeps_float32_weights_and_outputs(family, policy):
    changes = {"ngf": 8, "ndf": 8} if family == "fastgan" else {}
    exact, _ = networks(family, **changes)
    g, d = networks(family, policy=policy, **changes)
    made, want = g(random(8, 8), training=True), exact(random(8, 8), training=True)
    assert {output.dtype for output in (images_of(made), d(made, training=True))} == {tf.float32}
    assert {v.dtype for v in (*g.variables, *d.variables)} == {"float32"}
    assert relative_l2(images_of(made), images_of(want)) < (0.05 if family == "fastgan" else 0.02)


WITH_PENALTIES = pytest.mark.parametrize("family", ["pggan", "stylegan2"])


@WITH_PENALTIES
def test_latents_are_normalised_and_images_of_another_size_refused(family):
    g, d = networks(family)
    np.testing.assert_allclose(g(10 * random(2, 8)), g(random(2, 8)), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"\(16, 16, 3\), got \(32, 32, 3\)"):
        d(random(2, 32, 32, 3))


@WITH_PENALTIES
def test_a_discriminator_of_half_precision_computes_penalties_in_float32_where_asked_to(family):
    images, (_, exact), (_, d) = random_input(family), networks(family), networks(family, policy="mixed_bfloat16")
    in_float32 = functools.partial(d, dtype="float32")
    np.testing.assert_allclose(in_float32(images), exact(images), rtol=1e-5)
    np.testing.assert_allclose(r1_penalty(in_float32, images), r1_penalty(exact, images), rtol=1e-4)
    assert 1e-5 < relative_l2(d(images), exact(images)) < 0.05


@pytest.mark.parametrize(
    ("network", "arguments", "named"),
    [
        (FastGanGenerator, {"resolution": 100}, "resolution .* 100"),
        (FastGanGenerator, {"resolution": 1024, "ngf": 4}, "ngf .* 8 .* 4"),
        (FastGanDiscriminator, {"resolution": 256, "ndf": 1}, "ndf .* 2 .* 1"),
        (FastGanDiscriminator, {"resolution": 64, "decoders": 6}, "decoders .* 5 .* 6"),
        (FastGanDiscriminator, {"resolution": 256, "decoders": 8}, "decoders .* 7 .* 8"),
        (PgganDiscriminator, {"resolution": 4}, "resolution .* 4"),
        (PgganGenerator, {"resolution": 64, "fmap_base": 31}, "fmap_base .* 32 .* 31"),
        (PgganDiscriminator, {"resolution": 64, "fmap_max": 0}, "fmap_max .* 0"),
        (StyleGan2Generator, {"resolution": 64, "channel_base": 63}, "channel_base .* 64 .* 63"),
        (StyleGan2Discriminator, {"resolution": 64, "channel_max": 0}, "channel_max .* 0"),
        (StyleGan2Discriminator, {"resolution": 64, "architecture": "skip"}, "architecture .* 'skip'"),
        (StyleGan2Generator, {"resolution": 64, "mapping_layers": 0}, "mapping_layers .* 0"),
        (PgganGenerator, {"resolution": 16, "classes": 1}, "classes .* 1"),
        (FastGanDiscriminator, {"resolution": 64, "classes": -1}, "classes .* -1"),
    ],
)
def test_impossible_networks_are_refused(network, arguments, named):
    with pytest.raises(UsageError, match=named):
        network(**arguments)


CLASSES = 3
# Variables that classes add to (generator, discriminator).
ADDED = {
    "fastgan": (
        {"embed/kernel"},
        {f"{name}/{own}" for name in ("project", "small_project") for own in ("kernel", "u", "v")},
    ),
    "pggan": ({"embed/kernel"}, {"head/project/kernel"}),
}


@pytest.fixture(scope="module", params=list(SIZES))
def players(request):
    """(family, generator, discriminator) of CLASSES classes; the generator is fully grown and has batch statistics."""
    g, d = networks(request.param, classes=CLASSES, **({"tanh": False} if request.param == "fastgan" else {}))
    conditional.ready(g)
    return request.param, g, d


@pytest.mark.parametrize("family", ADDED)
def test_classes_only_add_variables(family):
    for plain, learned, added in zip(networks(family), networks(family, classes=CLASSES), ADDED[family], strict=True):
        plain, learned = named_variables(plain), named_variables(learned)
        assert set(learned) - set(plain) == added and set(plain) <= set(learned)
        for name in set(plain) - {"stem/first/kernel"}:  # Progressive GAN's first layer takes more
            np.testing.assert_array_equal(plain[name].numpy(), learned[name].numpy())


def test_images_depend_on_their_own_label_which_may_be_one_hot_weights(players):
    _, g, _ = players
    z = tf.random.stateless_normal([2, 8], [1, 2])
    first, second = (images_of(g(z, tf.constant([k, k]))) for k in (0, 2))
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_allclose(images_of(g(z, tf.constant([[0.0, 0.0, 1.0]] * 2))), second, atol=1e-6)
    np.testing.assert_allclose(images_of(g(z, tf.constant([0, 2])))[1], second[1], atol=1e-5)
    np.testing.assert_allclose(images_of(g(z[1:], tf.constant([2])))[0], second[1], atol=1e-5)


def test_conditional_networks_need_labels(players):
    family, g, d = players
    for network, inputs in ((g, tf.zeros([2, 8])), (fold(g), tf.zeros([2, 8])), (d, random_input(family))):
        with pytest.raises(ValueError, match="a network of 3 classes needs labels"):
            network(inputs)


def test_the_class_changes_every_logit_and_gradients_reach_its_vector(players):
    family, _, d = players
    images = random_input(family)
    one, other = (d(images, tf.fill([4], k)) for k in (0, 1))
    assert np.abs(one - other).min() > 1e-7
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(d(images, tf.constant([0, 0, 1, 1])) ** 2)
    slopes = {name: slope for name, slope in gradients(value, d, tape).items() if name.endswith("kernel")}
    slopes = [slope for name, slope in slopes.items() if "project" in name or "mapping" in name]
    assert slopes and all(float(tf.norm(slope)) > 0 for slope in slopes)


def test_a_folded_generator_refuses_labels_out_of_range(players):
    # On the CPU; on a GPU, tf.gather returns zeros for them.
    with tf.device("CPU:0"), pytest.raises(tf.errors.InvalidArgumentError, match="is not in"):
        fold(players[1])(tf.zeros([1, 8]), tf.constant([CLASSES]))


def test_growing_networks_use_classes_at_every_level():
    g, d = networks("pggan", classes=CLASSES)
    z = random(2, 8)
    for level, alpha in ((0, None), (1, tf.constant(0.3)), (2, None)):
        one, other = (g(z, tf.constant([k, k]), level=level, alpha=alpha) for k in (0, 1))
        assert np.abs(one - other).max() > 1e-3
        logits = [d(one, tf.constant([k, k]), level=level, alpha=alpha) for k in (0, 1)]
        assert np.abs(logits[0] - logits[1]).min() > 1e-6


def test_labels_without_classes_are_not_read():
    for family in SIZES:
        g, d = networks(family)
        images, labels = random_input(family), tf.constant([0, 5, 0, 5])
        np.testing.assert_array_equal(images_of(g(random(4, 8), labels)), images_of(g(random(4, 8))))
        np.testing.assert_array_equal(d(images, labels), d(images))


def test_projection_is_the_scalar_product_of_class_and_features():
    project = ClassProjection(4, 2)
    project.build()
    project.kernel.assign([[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]])
    features = tf.constant([[3.0, 5.0, 7.0, 9.0]] * 2)
    np.testing.assert_allclose(project(features, tf.constant([0, 1])), [[1.5], [5.0]])


def test_spectral_projection_is_the_scalar_product_with_each_window():
    project = SpectralProjection(2)
    project.build((None, 8, 8, 3))
    kernel = np.zeros((4, 4, 3, 2), np.float32)
    kernel[0, 0, 0, 0], kernel[3, 3, 1, 1] = 2.0, 1.0  # one class uses a corner, the other the opposite one
    project.kernel.assign(kernel)
    project.u.assign([1.0, 0.0])
    project.v.assign((kernel[..., 0] / 2).reshape(-1))
    features = np.zeros((2, 8, 8, 3), np.float32)
    features[:, :4, :4] = [16.0, 8.0, 4.0]
    got = project(features, tf.constant([0, 1])).numpy()
    assert got.shape == (2, 5, 5, 1)
    np.testing.assert_allclose(got[:, 0, 0, 0], [16.0, 4.0])  # the largest singular value, 2, is divided out
    np.testing.assert_allclose(got[:, 1, 0, 0], [16.0, 0.0])  # the lower corner has left the features
    np.testing.assert_allclose(got[:, 4, 4, 0], 0.0)
