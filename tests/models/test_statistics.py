"""Batch norm statistics that are estimated from generated images."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.models.fastgan import FastGanGenerator
from gan_tf.models.statistics import BATCH, estimate_statistics, has_statistics
from gan_tf.models.variables import named_variables
from gan_tf.rng import Draws
from gan_tf.training.state import weights_of
from tests.convert.states import built
from tests.sampling.trained import styled, styled_config

IMAGES = 8 * BATCH
STATISTICS = ("moving_mean", "moving_variance")


@pytest.fixture(scope="module")
def generator():
    """A generator as in a file without its statistics and spectral vectors: all are initial values."""
    g = built(FastGanGenerator, {"resolution": 64, "ngf": 4, "latent_size": 8}, seed=5)
    for name, variable in named_variables(g).items():
        if name.endswith("strength"):
            variable.assign([0.5])
        elif name.endswith("kernel"):
            variable.assign(variable.value * 3)
    return g


@pytest.fixture(scope="module")
def before(generator):
    return weights_of(generator)


@pytest.fixture(scope="module")
def estimated(generator, before):
    counts = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gan_tf.models.statistics.POWER_ITERATIONS", 2000)  # random kernels take more than trained ones
        estimate_statistics(generator, IMAGES + 3, progress=counts.append)
    assert counts == [BATCH] * (IMAGES // BATCH)
    return weights_of(generator)


def inputs(first, count):
    draws = Draws(0, tf.constant(first, tf.int64), count, path="statistics/")
    return draws.normal("latents", (8,)), draws


def test_moments_are_those_of_the_generated_images(generator, estimated):
    maps = [generator.stem(inputs(first, BATCH)[0]).numpy() for first in range(0, IMAGES, BATCH)]
    pixels = np.concatenate(maps).reshape(IMAGES * 16, -1)
    np.testing.assert_allclose(estimated["stem_norm/moving_mean"], pixels.mean(0), atol=1e-5)
    within = np.mean([x.var(axis=(0, 1, 2), ddof=1) for x in maps], axis=0)
    between = np.var([x.mean(axis=(0, 1, 2)) for x in maps], axis=0)
    np.testing.assert_allclose(estimated["stem_norm/moving_variance"], within + between, rtol=1e-4)
    np.testing.assert_allclose(within + between, pixels.var(0), rtol=2 / (16 * BATCH))


def test_nothing_else_changes_but_spectral_vectors(before, estimated):
    for name, value in estimated.items():
        if name.endswith(STATISTICS):
            assert not np.array_equal(value, before[name]), name
        elif name.endswith("/u"):
            matrix = before[f"{name[:-1]}kernel"].reshape(-1, len(value))
            sigma = value @ matrix.T @ estimated[f"{name[:-1]}v"]
            np.testing.assert_allclose(sigma, np.linalg.norm(matrix, 2), rtol=1e-2)
        elif not name.endswith("/v"):
            np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_images_are_those_of_training_mode(generator, before, estimated):
    """As the official program samples: with the statistics of the batch."""
    z, draws = inputs(10_000, 64)
    noise = draws.noise("noise", generator.noise_shapes)
    wanted = generator(z, noise=noise)[0].numpy()
    of_batch = generator(z, noise=noise, training=True)[0].numpy()
    assert np.sqrt(np.mean((wanted - of_batch) ** 2)) < 0.25 * of_batch.std()
    for name, variable in named_variables(generator).items():
        variable.assign(before[name] if name.endswith(STATISTICS) else estimated[name])
    assert generator(z, noise=noise)[0].numpy().std() < 0.3 * of_batch.std()
    estimate_statistics(generator, IMAGES)
    for name, value in weights_of(generator).items():
        np.testing.assert_allclose(value, estimated[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_families_without_batch_norm(generator):
    assert has_statistics(generator) and not has_statistics(styled(styled_config()))
