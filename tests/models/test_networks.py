"""Properties that the networks of all families share."""

import types

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.models import FAMILIES
from gan_tf.models.fastgan import FastGanDiscriminator, FastGanGenerator
from gan_tf.models.pggan import PgganDiscriminator, PgganGenerator
from gan_tf.models.stylegan2 import StyleGan2Discriminator, StyleGan2Generator
from gan_tf.models.variables import named_variables
from gan_tf.ops.resample import nearest_resize
from tests.models.networks import assert_round_trip, random, values
from tests.parity.report import relative_l2

SIZES = {
    "fastgan": {"resolution": 64, "ngf": 4, "ndf": 4, "latent_size": 8, "decoders": 5, "tanh": True},
    "pggan": {
        "resolution": 16,
        "latent_size": 8,
        "fmap_base": 64,
        "fmap_max": 8,
        "batch_norm": True,
        "pixel_norm": False,
        "minibatch_stddev": False,
    },
    "stylegan2": {
        "resolution": 16,
        "latent_size": 8,
        "w_size": 6,
        "mapping_layers": 3,
        "channel_base": 64,
        "channel_max": 8,
        "mbstd_group": 2,
        "conv_clamp": 256.0,
        "architecture": "orig",
    },
}
ALL = pytest.mark.parametrize("family", SIZES)


def networks(family, seed=4, classes=0, policy="float32", **changes):
    """(generator, discriminator) built from settings."""
    settings = types.SimpleNamespace(**{**SIZES[family], **changes}, seed=seed, classes=classes)
    return FAMILIES[family].generator(settings, policy), FAMILIES[family].discriminator(settings, policy)


def inputs_of(family, count=4):
    """(latents, input of the discriminator)."""
    side = SIZES[family]["resolution"]
    images = random(count, side, side, 3)
    return random(count, 8), (images, nearest_resize(images, side // 2)) if family == "fastgan" else images


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
        assert_round_trip(network)


@ALL
def test_networks_of_one_seed_are_equal_and_no_two_layers_share_a_stream(family):
    for player in (0, 1):
        first, again, other = (values(networks(family, seed=seed)[player]) for seed in (1, 1, 2))
        kernels = [name for name in first if name.endswith(("kernel", "noise", "const"))]
        for name in kernels:
            np.testing.assert_array_equal(first[name], again[name])
            assert not np.array_equal(first[name], other[name])
        assert len({first[name].ravel()[0] for name in kernels}) == len(kernels)


@ALL
def test_every_variable_has_a_name_and_a_first_call_adds_none(family):
    for network, inputs in zip(networks(family, classes=2), inputs_of(family), strict=True):
        names = list(named_variables(network))
        network(inputs, tf.constant([0, 1, 0, 1]), training=True)
        assert list(named_variables(network)) == names and len(names) == len(network.variables)


@ALL
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_keeps_float32_weights_and_outputs(family, policy):
    changes = {"ngf": 8, "ndf": 8} if family == "fastgan" else {}
    exact, _ = networks(family, **changes)
    g, d = networks(family, policy=policy, **changes)
    z = random(8, 8)
    images = g(z, training=True)
    logits = d(images, training=True)
    outputs = [*images, logits] if family == "fastgan" else [images, logits]
    assert {output.dtype for output in outputs} == {tf.float32}
    assert {v.dtype for v in (*g.variables, *d.variables)} == {"float32"}
    want = exact(z, training=True)
    got, want = (images[0], want[0]) if family == "fastgan" else (images, want)
    assert relative_l2(got, want) < (0.05 if family == "fastgan" else 0.02)


@pytest.mark.parametrize("family", ["pggan", "stylegan2"])
def test_latents_are_normalised(family):
    g, _ = networks(family)
    np.testing.assert_allclose(g(10 * random(2, 8)), g(random(2, 8)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FastGanGenerator(100), "resolution must be one of 64, 128, 256, 512, 1024, got 100"),
        (lambda: FastGanGenerator(1024, ngf=4), "ngf must be at least 8"),
        (lambda: FastGanDiscriminator(256, ndf=1), "ndf must be at least 2"),
        (lambda: FastGanDiscriminator(64, decoders=6), "decoders must be 0 to 5"),
        (lambda: PgganGenerator(48), "resolution must be one of 8, 16, 32, 64, 128, 256, 512, 1024 for pggan, got 48"),
        (lambda: PgganDiscriminator(4), "resolution must be one of"),
        (lambda: PgganGenerator(64, fmap_base=31), "fmap_base must be at least 32 at resolution 64, got 31"),
        (lambda: PgganDiscriminator(64, fmap_max=0), "fmap_max must be at least 1, got 0"),
        (lambda: StyleGan2Generator(48), "resolution must be one of 16, 32, 64, .* for stylegan2, got 48"),
        (lambda: StyleGan2Generator(64, channel_base=63), "channel_base must be at least 64 at resolution 64, got 63"),
        (lambda: StyleGan2Discriminator(64, channel_max=0), "channel_max must be at least 1, got 0"),
        (lambda: StyleGan2Discriminator(64, architecture="skip"), "architecture must be one of .* got 'skip'"),
        (lambda: StyleGan2Generator(64, mapping_layers=0), "mapping_layers must be at least 1, got 0"),
        (lambda: PgganGenerator(16, classes=1), "classes must be 0 or at least 2, got 1"),
        (lambda: FastGanDiscriminator(64, classes=-1), "classes must be 0 or at least 2, got -1"),
    ],
)
def test_impossible_networks_are_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()
