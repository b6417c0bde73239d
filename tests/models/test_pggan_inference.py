"""The folded generator makes the images of the generator that it was made from, at its growth."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import rng
from gan_tf.models.pggan import Generator
from gan_tf.models.pggan_inference import FoldedGenerator, fold
from gan_tf.models.variables import named_variables
from gan_tf.ops.forms import PLAIN, use_forms

GROWTHS = (0.0, 0.3, 1.0, 1.75, 2.0, 2.5, 3.0)


def latents():
    return rng.latents_of_seeds([3, 1, 4], 8)


def used_generator(growth=3.0, policy="float32", **changes):
    """A generator with biases, and statistics of training calls."""
    g = Generator(**{"resolution": 32, "fmap_base": 256, "fmap_max": 32, "latent_size": 8, **changes}, dtype=policy)
    g.build()
    draws = rng.Draws(0, tf.constant(0, tf.int64), batch=8)
    for name, variable in named_variables(g).items():
        if name.endswith(("bias", "gamma", "beta")):
            variable.assign_add(0.2 * draws.fold_in(name).normal("change", variable.shape)[0])
    for i in range(10 if g.batch_norm else 0):
        g(draws.normal(f"latents/{i}", (8,)), training=True)
    g.growth.assign(growth)
    return g


def images_of(g):
    """What the generator makes at its growth, float32 [N, r, r, 3]."""
    growth = float(g.growth.numpy())
    level = int(np.ceil(growth))
    return g(latents(), level=level, alpha=tf.constant(growth - level + 1)).numpy()


def relative_error(got, wanted):
    return np.abs(got - wanted).max() / np.abs(wanted).max()


@pytest.mark.parametrize("growth", GROWTHS)
@pytest.mark.parametrize("options", [{}, {"batch_norm": True}, {"pixel_norm": False}], ids=str)
def test_folded_images_are_the_generators(growth, options):
    g = used_generator(growth, **options)
    folded = fold(g)
    assert folded.resolution == 4 * 2 ** int(np.ceil(growth))
    got = folded(latents())
    assert got.dtype == tf.float32 and got.shape == (3, folded.resolution, folded.resolution, 3)
    assert relative_error(got.numpy(), images_of(g)) < 1e-4


@pytest.mark.parametrize("growth", GROWTHS)
def test_bfloat16_stays_near_float32(growth):
    g = used_generator(growth)
    folded = fold(g, "mixed_bfloat16")
    assert folded.stages[1][0].linear.kernel.dtype == "bfloat16"  # cast once, not in every call
    wanted = images_of(g)
    assert np.abs(folded(latents()) - wanted).mean() < 0.02 * wanted.std()


def test_plain_forms_give_the_same_images():
    g = used_generator(2.5)
    with use_forms(PLAIN):
        plain = fold(g)(latents()).numpy()
    assert relative_error(fold(g)(latents()).numpy(), plain) < 1e-5


def test_refresh_reaches_functions_traced_before_within_a_fade_and_behind_it():
    g = used_generator(1.25)
    folded = fold(g)
    make = tf.function(folded, autograph=False)
    before = make(latents()).numpy()
    for growth in (1.5, 2.0, 1.75):  # back, as a roll-back goes
        g.growth.assign(growth)
        for variable in g.trainable_variables:
            variable.assign(1.05 * variable + 0.01)
        folded.refresh(g)
        assert folded.resolution == 16
        assert relative_error(make(latents()).numpy(), images_of(g)) < 1e-4
        assert relative_error(before, images_of(g)) > 1e-2
    assert make.experimental_get_tracing_count() == 1


def test_refresh_follows_growth_to_other_sizes():
    g = used_generator(0.0)
    folded = fold(g)
    for growth, size in ((0.0, 4), (0.5, 8), (2.5, 32), (1.0, 8)):
        g.growth.assign(growth)
        folded.refresh(g)
        assert folded.resolution == size
        assert relative_error(folded(latents()).numpy(), images_of(g)) < 1e-4


def test_it_refuses_to_train():
    with pytest.raises(ValueError, match="cannot be trained"):
        fold(used_generator())(tf.zeros([1, 8]), training=True)


def test_config_round_trip():
    folded = fold(used_generator(1.5, pixel_norm=False))
    again = FoldedGenerator.from_config(folded.get_config())
    again.build()
    variables = [named_variables(network) for network in (folded, again)]
    assert [v.shape for v in variables[0].values()] == [v.shape for v in variables[1].values()]
    assert variables[0].keys() == variables[1].keys()
    for name, variable in variables[0].items():
        variables[1][name].assign(variable)
    np.testing.assert_array_equal(again(latents()), folded(latents()))
    assert not again.trainable_variables and again.noise_shapes == [] and again.latent_size == 8


def test_it_can_be_made_from_a_generator_on_two_replicas(two_cpus):
    with two_cpus.scope():
        g = used_generator(1.5)
    assert relative_error(fold(g)(latents()).numpy(), images_of(g)) < 1e-4


def test_refresh_from_arrays_equals_refresh_from_the_generator():
    g = used_generator(1.5, batch_norm=True)
    folded = fold(g)
    wanted, weights = (
        folded(latents()).numpy(),
        {name: variable.numpy() for name, variable in named_variables(g).items()},
    )
    for variable in folded.variables:
        variable.assign(tf.zeros_like(variable))
    folded.refresh(weights)
    np.testing.assert_array_equal(folded(latents()).numpy(), wanted)
