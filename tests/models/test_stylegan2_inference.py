"""The folded generator makes the images of the generator that it was made from."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import rng
from gan_tf.models.stylegan2 import Generator
from gan_tf.models.stylegan2_blocks import CONST
from gan_tf.models.stylegan2_inference import FoldedGenerator, fold
from gan_tf.models.variables import named_variables
from gan_tf.ops.forms import PLAIN, use_forms

SEEDS = [3, 1, 4]


def latents():
    return rng.latents_of_seeds(SEEDS, 8)


def trained(policy="float32", seed=0, **changes):
    """A generator whose biases, noise strengths and average are not those of the start."""
    sizes = {"resolution": 32, "channel_base": 256, "channel_max": 24}
    g = Generator(**{**sizes, "latent_size": 8, "w_size": 12, "mapping_layers": 2, **changes}, seed=seed, dtype=policy)
    g.build()
    draws = rng.Draws(seed, tf.constant(0, tf.int64), batch=8)
    for name, variable in named_variables(g).items():
        if name.endswith(("bias", "noise_strength", "average")):
            variable.assign_add(0.3 * draws.fold_in(name).normal("change", variable.shape)[0])
    return g


def relative_error(got, want):
    return np.abs(got - want).max() / np.abs(want).max()


@pytest.mark.parametrize("clamp", [None, 0.5])
@pytest.mark.parametrize("classes", [0, 3])
def test_images_are_those_of_the_generator(classes, clamp):
    g = trained(classes=classes, conv_clamp=clamp)
    folded, labels = fold(g), tf.constant([0, 2, 1])
    noises = (None, CONST, rng.noise_of_seeds(SEEDS, g.noise_shapes))
    assert folded.noise_shapes == g.noise_shapes and folded.latent_size == 8
    for noise in noises:
        for truncation in (1.0, 0.5):
            got = folded(folded.ws_of(latents(), labels, truncation), noise=noise)
            want = g(latents(), labels, noise=noise, truncation=truncation)
            assert got.dtype == tf.float32 and relative_error(got.numpy(), want.numpy()) < 1e-4


def test_styles_and_synthesis_are_those_of_the_generator():
    g = trained()
    folded = fold(g)
    ws = g.mapping(latents())
    np.testing.assert_allclose(folded.mapping(latents()), ws, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(folded.synthesis(ws), g.synthesis(ws), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("policy", "bound"), [("mixed_bfloat16", 0.02), ("mixed_float16", 0.003)])
def test_half_precision_kernels_are_cast_once_and_images_are_near(policy, bound):
    g = trained()
    folded, wanted = fold(g, policy), g(latents(), noise=CONST).numpy()
    kinds = [layer.kernel.dtype for layer in (folded.synthesis.convs[0], folded.synthesis.first_convs[-1])]
    assert kinds == ["float32", folded.compute_dtype]
    assert np.abs(folded(latents(), noise=CONST) - wanted).mean() < bound * wanted.std()


def test_large_kernels_do_not_overflow_float16():
    g = trained("mixed_float16")
    g.synthesis.convs[-1].kernel.assign(3000 * g.synthesis.convs[-1].kernel.value)
    assert relative_error(fold(g)(latents()).numpy(), fold(g, "float32")(latents()).numpy()) < 0.02


def test_plain_forms_give_the_same_images():
    g = trained()
    with use_forms(PLAIN):
        plain = g(latents(), noise=CONST).numpy()
    assert relative_error(fold(g)(latents(), noise=CONST).numpy(), plain) < 1e-4


def test_refresh_reaches_functions_traced_before():
    g, later = trained(classes=2), trained(classes=2, seed=1)
    folded, labels = fold(g), tf.constant([0, 1, 1])
    make = tf.function(lambda z: folded(folded.ws_of(z, labels, 0.7), noise=CONST), autograph=False)
    before = make(latents()).numpy()
    folded.refresh(later)
    wanted = later(latents(), labels, noise=CONST, truncation=0.7).numpy()
    assert relative_error(make(latents()).numpy(), wanted) < 1e-4 < relative_error(before, wanted)


def test_words_for_noise_are_those_of_the_generator():
    g = trained()
    for network in (g, fold(g)):
        with pytest.raises(ValueError, match="noise is a list of maps, 'const' or None, got 'random'"):
            network(latents(), noise="random")


def test_it_refuses_to_train():
    with pytest.raises(ValueError, match="cannot be trained"):
        fold(trained())(tf.zeros([1, 8]), training=True)


def test_config_round_trip():
    folded = fold(trained(classes=2, conv_clamp=4.0, half_resolutions=1), "mixed_bfloat16")
    again = FoldedGenerator.from_config(folded.get_config())
    again.build()
    variables = [named_variables(network) for network in (folded, again)]
    assert variables[0].keys() == variables[1].keys()
    for name, variable in variables[0].items():
        assert variable.dtype == variables[1][name].dtype
        variables[1][name].assign(variable)
    labels = tf.constant([0, 1, 0])
    np.testing.assert_array_equal(again(latents(), labels, noise=CONST), folded(latents(), labels, noise=CONST))
    assert not again.trainable_variables


def test_it_can_be_made_from_a_generator_on_two_replicas(two_cpus):
    with two_cpus.scope():
        g = trained()
    wanted = trained()(latents(), noise=CONST).numpy()
    assert relative_error(fold(g)(latents(), noise=CONST).numpy(), wanted) < 1e-4


def test_refresh_from_arrays_equals_refresh_from_the_generator():
    g = trained(classes=2)
    folded = fold(g)
    wanted, weights = (
        folded(latents(), tf.constant([0, 1, 1]), noise=CONST).numpy(),
        {name: variable.numpy() for name, variable in named_variables(g).items()},
    )
    for variable in folded.variables:
        variable.assign(tf.zeros_like(variable))
    folded.refresh(weights)
    np.testing.assert_array_equal(folded(latents(), tf.constant([0, 1, 1]), noise=CONST).numpy(), wanted)
