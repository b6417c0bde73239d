"""Batch norm statistics that are estimated from generated images."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.data.class_labels import ClassLabels
from gan_tf.models import FAMILIES
from gan_tf.models.fastgan import FastGanGenerator
from gan_tf.models.statistics import BATCH, StandingStatistics, has_statistics
from gan_tf.models.variables import load_weights, named_variables
from gan_tf.rng import Draws
from gan_tf.training.state import weights_of
from tests.convert.states import built
from tests.sampling.trained import styled, styled_config

IMAGES = 8 * BATCH
STATISTICS = ("moving_mean", "moving_variance")


@pytest.fixture(scope="module", autouse=True)
def few_images():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gan_tf.models.statistics.IMAGES", IMAGES)
        patch.setattr("gan_tf.models.statistics.POWER_ITERATIONS", 2000)  # random kernels take more than trained ones
        yield


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
def standing():
    """Computes with another network than `generator`, of other weights."""
    return StandingStatistics(built(FastGanGenerator, {"resolution": 64, "ngf": 4, "latent_size": 8}, seed=6))


@pytest.fixture(scope="module")
def estimated(generator, before, standing):
    weights = standing(before)
    load_weights(generator, weights, "estimated")
    return weights


def inputs(first, count):
    draws = Draws(0, tf.constant(first, tf.int64), count, path="statistics/")
    return draws.normal("latents", (8,)), draws


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


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


def test_equal_weights_give_equal_results_whatever_their_statistics_are(before, estimated, standing):
    wrong = {name: np.full_like(value, 7.0) for name, value in before.items() if name.endswith(STATISTICS)}
    assert_equal(standing(before | wrong), estimated)


def test_images_are_those_of_training_mode(generator, before, estimated, standing):
    """As the official program samples: with the statistics of the batch."""
    z, draws = inputs(10_000, 64)
    noise = draws.noise("noise", generator.noise_shapes)
    wanted = generator(z, noise=noise)[0].numpy()
    load_weights(generator, estimated, "estimated")
    of_batch = generator(z, noise=noise, training=True)[0].numpy()
    assert np.sqrt(np.mean((wanted - of_batch) ** 2)) < 0.25 * of_batch.std()
    initial = estimated | {name: value for name, value in before.items() if name.endswith(STATISTICS)}
    load_weights(generator, initial, "initial")
    assert generator(z, noise=noise)[0].numpy().std() < 0.3 * of_batch.std()
    for name, value in standing(initial).items():
        np.testing.assert_allclose(value, estimated[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_families_without_batch_norm(generator):
    stylegan2 = styled(styled_config())
    assert has_statistics(generator) and not has_statistics(stylegan2)
    weights = weights_of(stylegan2)
    assert StandingStatistics(stylegan2)(weights) is weights


def test_labels_have_the_frequencies_of_the_classes(monkeypatch):
    monkeypatch.setattr("gan_tf.models.statistics.POWER_ITERATIONS", 1)
    config = SimpleNamespace(resolution=64, ngf=4, latent_size=8, classes=2, seed=3)
    g = FAMILIES["fastgan"].generator(config, "float32")
    weights, common = weights_of(g), ClassLabels(("cat", "dog"), (99, 1))
    drawn = StandingStatistics(g, common.sample)(weights)
    cats, dogs = (StandingStatistics(g, lambda draws, i=i: tf.fill([draws.count], i))(weights) for i in (0, 1))
    name = "blocks/0/up_norm/moving_mean"
    distances = [np.linalg.norm(drawn[name] - of_class[name]) for of_class in (cats, dogs)]
    assert distances[0] < 0.1 * distances[1]


@pytest.mark.parametrize("growth", [0.0, 0.5, 1.0, 2.0])
def test_growing_networks_are_measured_at_their_size(growth, monkeypatch):
    """Layers above the size of the images keep their statistics; those below do not depend on it."""
    monkeypatch.setattr("gan_tf.models.statistics.IMAGES", 4 * IMAGES)
    config = SimpleNamespace(resolution=16, fmap_base=32, fmap_max=8, latent_size=8, batch_norm=True, seed=2)
    g = FAMILIES["pggan"].generator(config, "float32")
    weights, standing = weights_of(g), StandingStatistics(g)
    whole = standing(weights | {"growth": np.float32(2)})
    found = standing(weights | {"growth": np.float32(growth)})
    for name in filter(lambda name: name.endswith(STATISTICS), weights):
        used = name.startswith("stem/") or int(name.split("/")[1]) < growth
        np.testing.assert_array_equal(found[name], (whole if used else weights)[name], err_msg=name)
        assert not np.array_equal(whole[name], weights[name]), name
    folded = FAMILIES["pggan"].fold(g)
    folded.refresh(found)
    z, _ = inputs(10_000, 64)
    load_weights(g, found, "found")
    level = {"level": int(np.ceil(growth))} | ({"alpha": growth % 1} if growth % 1 else {})
    of_batch = g(z, training=True, **level).numpy()
    assert np.sqrt(np.mean((folded(z).numpy() - of_batch) ** 2)) < 0.25 * of_batch.std()
