"""The folded generator makes the images of the generator that it was made from."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import rng
from gan_tf.models.fastgan import Generator
from gan_tf.models.fastgan_inference import FoldedGenerator, fold
from gan_tf.models.variables import named_variables
from gan_tf.ops.forms import PLAIN, use_forms

SEEDS = [3, 1, 4]


def used_generator(resolution, policy="float32", tanh=None):
    """A generator with statistics of training calls and noise that can be seen."""
    g = Generator(resolution, ngf=8, latent_size=16, tanh=tanh, dtype=policy)
    g.build()
    draws = rng.Draws(0, tf.constant(0, tf.int64), batch=8)
    noise = draws.noise("noise", g.noise_shapes)
    for i in range(10):  # power iterations: fresh spectral vectors say little about the kernel
        g(draws.normal(f"latents/{i}", (16,)), noise=noise, training=True)
    for name, variable in named_variables(g).items():
        if name.endswith("strength"):
            variable.assign([0.3])
        elif name.endswith(("gamma", "beta")):
            variable.assign_add(0.2 * draws.fold_in(name).normal("change", variable.shape)[0])
    return g


def images_of(network, with_noise=True):
    noise = rng.noise_of_seeds(SEEDS, network.noise_shapes) if with_noise else None
    made = network(rng.latents_of_seeds(SEEDS, network.latent_size), noise=noise, training=False)
    return (made[0] if isinstance(network, Generator) else made).numpy()


def relative_error(got, wanted):
    return np.abs(got - wanted).max() / np.abs(wanted).max()


@pytest.mark.parametrize("with_noise", [True, False], ids=["noise", "no noise"])
@pytest.mark.parametrize("resolution", [64, 256])
def test_folded_images_are_the_generators(resolution, with_noise):
    g = used_generator(resolution)
    got = images_of(fold(g), with_noise)
    assert got.dtype == np.float32
    assert relative_error(got, images_of(g, with_noise)) < 1e-4


def test_plain_forms_give_the_same_images():
    g = used_generator(64)
    with use_forms(PLAIN):
        plain = images_of(fold(g))
    assert relative_error(images_of(fold(g)), plain) < 1e-5


def test_noise_is_seen():
    folded = fold(used_generator(64))
    assert relative_error(images_of(folded, False), images_of(folded, True)) > 0.05


def test_tanh_ends_the_images():
    g = used_generator(64, tanh=True)
    assert relative_error(images_of(fold(g)), images_of(g)) < 1e-4


def test_bfloat16_stays_near_float32():
    g = used_generator(64)
    folded = fold(g, "mixed_bfloat16")
    assert folded.to_rgb.kernel.dtype == "bfloat16"  # cast once, not in every call
    wanted = images_of(g)
    assert np.abs(images_of(folded) - wanted).mean() < 0.01 * wanted.std()


def test_refresh_reaches_functions_traced_before():
    g, other = used_generator(64), used_generator(64, tanh=False)
    for variable in other.trainable_variables:
        variable.assign(1.1 * variable + 0.01)
    folded = fold(g)
    make = tf.function(folded, autograph=False)
    latents = rng.latents_of_seeds(SEEDS, 16)
    before = make(latents).numpy()
    folded.refresh(other)
    wanted = other(latents)[0].numpy()
    assert relative_error(make(latents).numpy(), wanted) < 1e-4
    assert relative_error(before, wanted) > 1e-2


def test_it_refuses_to_train():
    with pytest.raises(ValueError, match="cannot be trained"):
        fold(used_generator(64))(tf.zeros([1, 16]), training=True)


def test_config_round_trip():
    folded = fold(used_generator(64))
    again = FoldedGenerator.from_config(folded.get_config())
    again.build()
    shapes = [{name: tuple(v.shape) for name, v in named_variables(network).items()} for network in (folded, again)]
    assert shapes[0] == shapes[1]
    assert not again.trainable_variables
    assert again.noise_shapes == folded.noise_shapes


def test_refresh_from_arrays_equals_refresh_from_the_generator():
    g = used_generator(64)
    folded = fold(g)
    wanted, weights = images_of(folded), {name: variable.numpy() for name, variable in named_variables(g).items()}
    for variable in folded.variables:
        variable.assign(tf.zeros_like(variable))
    folded.refresh(weights)
    np.testing.assert_array_equal(images_of(folded), wanted)
