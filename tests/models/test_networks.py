"""Properties that the networks of all families share."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.losses import r1_penalty
from gan_tf.models.fastgan import FastGanDiscriminator, FastGanGenerator
from gan_tf.models.pggan import PgganDiscriminator, PgganGenerator
from gan_tf.models.stylegan2 import StyleGan2Discriminator, StyleGan2Generator
from gan_tf.models.variables import named_variables
from tests.models.networks import SIZES, images_of, networks, random, random_input, values
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
    with pytest.raises(ValueError, match="16 pixels, got 32"):
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
        (PgganGenerator, {"resolution": 48}, "resolution .* 48"),
        (PgganDiscriminator, {"resolution": 4}, "resolution .* 4"),
        (PgganGenerator, {"resolution": 64, "fmap_base": 31}, "fmap_base .* 32 .* 31"),
        (PgganDiscriminator, {"resolution": 64, "fmap_max": 0}, "fmap_max .* 0"),
        (StyleGan2Generator, {"resolution": 48}, "resolution .* 48"),
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
