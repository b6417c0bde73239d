"""Folded generators give the images of the generators that they were made from."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import rng
from gan_tf.models.fastgan import FastGanGenerator
from gan_tf.models.network import fold
from gan_tf.models.pggan import PgganGenerator
from gan_tf.models.stylegan2 import StyleGan2Generator
from gan_tf.models.stylegan2_blocks import CONST
from gan_tf.models.variables import named_variables
from gan_tf.ops.forms import PLAIN, use_forms
from tests.models import networks
from tests.parity.report import relative_max

SEEDS = [3, 1, 4]
SIZES = {"resolution": 32, "channel_base": 256, "channel_max": 24, "latent_size": 8, "w_size": 12, "mapping_layers": 2}
NETWORKS = {
    "fastgan": (FastGanGenerator, {"resolution": 64, "ngf": 8, "latent_size": 16}),
    "pggan": (PgganGenerator, {"resolution": 32, "fmap_base": 256, "fmap_max": 32, "latent_size": 8}),
    "stylegan2": (StyleGan2Generator, SIZES),
}
ALL = pytest.mark.parametrize("family", NETWORKS)


def fresh(family, policy="float32", growth=3.0, seed=0, **changes):
    """A generator whose biases, norms, statistics and noise strengths are not those of the start."""
    kind, sizes = NETWORKS[family]
    g = kind(**{**sizes, **changes}, seed=seed, dtype=policy)
    g.build()
    draws = rng.Draws(seed, tf.constant(0, tf.int64), batch=8)
    for name, variable in named_variables(g).items():
        if name.endswith(("bias", "gamma", "beta", "strength", "average")):
            variable.assign_add(0.3 * draws.fold_in(name).normal("change", variable.shape)[0])
    if family == "pggan":
        g.growth.assign(growth)
    if family == "fastgan" or changes.get("batch_norm"):  # statistics, and power iterations for the spectral vectors
        for i in range(10):
            labels = tf.range(8) % g.classes if g.classes else None
            g(draws.normal(f"latents/{i}", (g.latent_size,)), labels, training=True)
    return g


trained = functools.cache(fresh)  # for tests that do not change it


def latents(g):
    return rng.latents_of_seeds(SEEDS, g.latent_size)


def noise_of(g):
    return rng.noise_of_seeds(SEEDS, g.noise_shapes) or None


def images_of(g, labels=None, noise=None):
    """Images of a generator, folded or not; of one that grows at its growth."""
    options = {}
    if isinstance(g, PgganGenerator) and not g.folded:
        growth = float(g.growth.numpy())
        level = int(np.ceil(growth))
        options = {"level": level, "alpha": tf.constant(growth - level + 1)}
    return networks.images_of(g(latents(g), labels, noise=noise, **options)).numpy()


@pytest.mark.parametrize("with_noise", [True, False], ids=["noise", "no noise"])
@pytest.mark.parametrize(("resolution", "tanh"), [(64, False), (64, True), (256, False)])
def test_fastgan_images(resolution, tanh, with_noise):
    g = trained("fastgan", resolution=resolution, tanh=tanh)
    noise = noise_of(g) if with_noise else None
    got = images_of(fold(g), noise=noise)
    assert got.dtype == np.float32
    assert relative_max(got, images_of(g, noise=noise)) < 1e-4
    if with_noise:
        assert relative_max(got, images_of(g)) > 0.05


@pytest.mark.parametrize("growth", [0.0, 0.3, 1.0, 1.75, 2.0, 2.5, 3.0])
@pytest.mark.parametrize("options", [{}, {"batch_norm": True}, {"pixel_norm": False}], ids=str)
def test_pggan_images_at_every_growth(growth, options):
    g = trained("pggan", growth=growth, **options)
    folded = fold(g)
    assert folded.resolution == 4 * 2 ** int(np.ceil(growth))
    got = folded(latents(g))
    assert got.dtype == tf.float32 and got.shape == (3, folded.resolution, folded.resolution, 3)
    assert relative_max(got.numpy(), images_of(g)) < 1e-4


@pytest.mark.parametrize("clamp", [None, 0.5])
@pytest.mark.parametrize("classes", [0, 3])
def test_stylegan2_images(classes, clamp):
    g = trained("stylegan2", classes=classes, conv_clamp=clamp)
    folded, labels = fold(g), tf.constant([0, 2, 1])
    for noise in (None, CONST, noise_of(g)):
        for truncation in (1.0, 0.5):
            ws, want_ws = (network.ws_of(latents(g), labels, truncation) for network in (folded, g))
            np.testing.assert_allclose(ws, want_ws, rtol=1e-4, atol=1e-5)
            got, want = folded(ws, noise=noise), g(want_ws, noise=noise)
            assert got.dtype == tf.float32 and relative_max(got.numpy(), want.numpy()) < 1e-4


@pytest.mark.parametrize(
    ("family", "policy", "bound", "kernel"),
    [
        ("fastgan", "mixed_bfloat16", 0.01, "to_rgb/kernel"),
        ("pggan", "mixed_bfloat16", 0.02, "blocks/0/first/kernel"),
        ("stylegan2", "mixed_bfloat16", 0.02, "synthesis/first_convs/2/kernel"),
        ("stylegan2", "mixed_float16", 0.003, "synthesis/first_convs/2/kernel"),
    ],
)
def test_half_precision_kernels_are_cast_once_and_images_are_near(family, policy, bound, kernel):
    for growth in (0.0, 1.75, 3.0) if family == "pggan" else (3.0,):
        g = trained(family, growth=growth)
        folded, noise = fold(g, policy), CONST if family == "stylegan2" else noise_of(g)
        assert named_variables(folded)[kernel].dtype == folded.compute_dtype == policy.removeprefix("mixed_")
        want = images_of(g, noise=noise)
        assert np.abs(images_of(folded, noise=noise) - want).mean() < bound * want.std()


def test_large_kernels_do_not_overflow_float16():
    g = fresh("stylegan2", "mixed_float16")
    g.synthesis.convs[-1].kernel.assign(3000 * g.synthesis.convs[-1].kernel.value)
    assert relative_max(images_of(fold(g)), images_of(fold(g, "float32"))) < 0.02


@ALL
def test_plain_forms_give_the_same_images(family):
    g = trained(family, growth=2.5)
    with use_forms(PLAIN):
        plain = images_of(fold(g), noise=noise_of(g))
    assert relative_max(images_of(fold(g), noise=noise_of(g)), plain) < (1e-4 if family == "stylegan2" else 1e-5)


@ALL
def test_refresh_reaches_functions_traced_before(family):
    g, later = trained(family, classes=2), trained(family, classes=2, seed=1)
    folded, labels = fold(g), tf.constant([0, 1, 1])
    make = tf.function(folded, autograph=False)
    before = make(latents(g), labels).numpy()
    folded.refresh(later)
    want = images_of(later, labels)
    assert relative_max(make(latents(g), labels).numpy(), want) < 1e-4 < relative_max(before, want)
    assert make.experimental_get_tracing_count() == 1
    folded.refresh({name: variable.numpy() for name, variable in named_variables(g).items()})  # weights as arrays
    np.testing.assert_array_equal(make(latents(g), labels), before)


def test_refresh_follows_the_growth():
    """One trace serves a fade and the time after it, and a roll-back; another size needs another trace."""
    g = fresh("pggan", growth=1.25)
    folded = fold(g)
    make = tf.function(folded, autograph=False)
    for growth in (1.25, 1.5, 2.0, 1.75):
        g.growth.assign(growth)
        for variable in g.trainable_variables:
            variable.assign(1.05 * variable + 0.01)
        folded.refresh(g)
        assert folded.resolution == 16
        assert relative_max(make(latents(g)).numpy(), images_of(g)) < 1e-4
    assert make.experimental_get_tracing_count() == 1
    g.growth.assign(2.5)
    folded.refresh(g)
    assert folded.resolution == 32
    assert relative_max(folded(latents(g)).numpy(), images_of(g)) < 1e-4


@ALL
def test_a_folded_generator_has_nothing_to_train_and_refuses_to(family):
    g = trained(family)
    folded = fold(g)
    assert not folded.trainable_variables
    assert folded.noise_shapes == g.noise_shapes and folded.latent_size == g.latent_size
    with pytest.raises(ValueError, match="cannot be trained"):
        folded(latents(g), training=True)


@pytest.mark.parametrize("family", ["pggan", "stylegan2"])
def test_it_can_be_made_from_a_generator_on_two_replicas(two_cpus, family):
    with two_cpus.scope():
        g = fresh(family, growth=1.5)
    assert relative_max(images_of(fold(g)), images_of(trained(family, growth=1.5))) < 1e-4
