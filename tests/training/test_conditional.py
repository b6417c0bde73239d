"""Steps of conditional networks: finite in every family, the same in micro-batches and on two devices; the sampler."""

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401  at the top, so that the devices are split in time

from gan_tf.data.prepare import prepare
from gan_tf.data.sources import ArraySource
from gan_tf.distributed import devices
from gan_tf.models.variables import named_variables
from gan_tf.runs.folder import Run
from gan_tf.training import evaluation, setup
from tests import conditional
from tests.training import growing, tiny

SIZES = {
    "fastgan": {"batch_size": 4},
    "pggan": {"phase_batch": "8", "fade_kimg": 0.04, "stabilise_kimg": 0.04, "beta1": 0.5, "lr": 2e-6},
    "stylegan2": {"batch_size": 4},
}
FADING_8 = 40


def build_job(model="pggan", **changes):
    own = {**SIZES[model], "metric": "swd2k", "total_kimg": 0.2, "precision": "float32", "classes": 2, **changes}
    config = conditional.settings(model, **own)
    labels = np.arange(12) % 3 == 0  # 4 of class 1
    source = ArraySource("pictures", tiny.square_pictures(), labels, ("many", "few"))
    image_set = prepare(source, resolution=config.resolution)
    return setup.build_job(config, image_set, Run("unused"), log=lambda line: None)


def step_at(seen, **changes):
    job = build_job(**changes)
    return growing.take_steps(job, seen), tiny.first_gradients(job)


@pytest.mark.slow
def test_every_family_takes_steps_that_change_the_vectors_of_its_classes():
    for model in SIZES:
        job = build_job(model, **({"lr": 1e-3} if model == "pggan" else {}))
        players = {"g": job.state.g, "d": job.state.d}
        own = {
            (player, path): variable.numpy()
            for player, network in players.items()
            for path, variable in named_variables(network).items()
            if "embed/kernel" in path or "project/kernel" in path or "small_project/kernel" in path
        }
        assert {player for player, _ in own} == {"g", "d"}, model
        assert np.isfinite(growing.take_steps(job, 0, 2)).all(), model
        for (player, path), before in own.items():
            after = named_variables(players[player])[path].numpy()
            assert np.abs(after - before).max() > 0, (model, player, path)


@pytest.mark.slow
def test_micro_batches_equal_the_whole(monkeypatch):
    monkeypatch.setitem(devices.KERAS_POLICIES, "float32", "float64")
    whole, parts = step_at(FADING_8), step_at(FADING_8, micro_batch=4)
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-5, atol=1e-6)
    for player, gradient in whole[1].items():
        assert tiny.relative_l2(parts[1][player], gradient) < 1e-5, player


@pytest.mark.slow
def test_two_devices_equal_one(mirrored_is_two_cpus, monkeypatch):
    monkeypatch.setitem(devices.KERAS_POLICIES, "float32", "float64")
    one, two = (step_at(FADING_8, strategy=strategy) for strategy in ("default", "mirrored"))
    np.testing.assert_allclose(two[0], one[0], rtol=1e-5, atol=1e-6)
    for player, gradient in one[1].items():
        assert tiny.relative_l2(two[1][player], gradient) < 1e-5, player


@pytest.fixture(scope="module")
def job():
    job = build_job("fastgan", augment="none")
    conditional.ready(job.state.g_ema)
    job.sampler.refresh()
    return job


def test_scored_images_have_classes_as_often_as_the_reals_and_only_one_where_asked(job):
    sampler = job.sampler
    assert sampler.classes.counts == (8, 4)
    sampler.restart()
    mixed = sampler(16)
    made = {}
    for number in (0, 1):
        sampler.only = number
        sampler.restart()
        made[number] = sampler(16)
        assert f"class {sampler.classes.names[number]}" in sampler.source
    sampler.only = None
    is_of = np.stack([[np.array_equal(a, b) for a, b in zip(mixed, made[k], strict=True)] for k in (0, 1)])
    assert (is_of.sum(0) == 1).all() and 0 < is_of[1].sum() < is_of[0].sum()


def test_a_class_has_its_own_rows_of_the_sample_grid_with_the_same_latents(job, monkeypatch):
    monkeypatch.setitem(evaluation.GRID_SEEDS, 64, 16)
    seeds, labels = evaluation.grid_seeds(job)
    assert labels == [0] * 8 + [1] * 8 and seeds == [*range(8), *range(8)]
    grid = evaluation.sample_grid(job)
    assert grid.shape == (256, 256, 3)
    images = job.sampler.of_seeds(seeds, labels)
    np.testing.assert_array_equal(grid[128:192, :64], images[8])
    assert np.abs(images[0].astype(int) - images[8]).max() > 1


def test_images_of_latents_have_the_class_of_their_seed(job):
    latents, seeds, sampler = np.zeros((16, 16), np.float32), np.arange(16), job.sampler
    images, labels = sampler.images_of_latents(latents, seeds), sampler.classes.of_seeds(seeds)
    made = {}
    for sampler.only in (0, 1):
        made[sampler.only] = sampler.images_of_latents(latents, seeds)
    sampler.only = None
    assert set(np.asarray(labels)) == {0, 1}
    for i, label in enumerate(np.asarray(labels)):
        np.testing.assert_array_equal(images[i], made[label][i])
        assert np.abs(images[i] - made[1 - label][i]).max() > 1e-3


@pytest.mark.slow
def test_paths_through_styles_keep_the_class_of_their_latents():
    job = build_job("stylegan2")
    conditional.ready(job.state.g_ema)
    job.sampler.refresh()
    latents, seeds = np.ones((16, 16), np.float32), np.arange(16)
    w = job.sampler.mapping(latents, seeds).numpy()
    labels = job.sampler.classes.of_seeds(seeds)
    for number in (0, 1):
        np.testing.assert_allclose(w[labels == number], w[labels == number][:1].repeat(sum(labels == number), 0), 1e-5)
    assert np.abs(w[labels == 0][0] - w[labels == 1][0]).max() > 0.1
    images = job.sampler.images_of_latents(w, seeds)
    np.testing.assert_allclose(images, job.sampler.images_of_latents(latents, seeds), atol=1e-5)
