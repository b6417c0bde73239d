"""Conditional networks: training steps in every family, micro-batches and replicas, and the classes of samples."""

import numpy as np
import pytest

from gan_tf.data.prepare import prepare
from gan_tf.data.sources import ArraySource
from gan_tf.distributed import devices
from gan_tf.models.variables import named_variables
from gan_tf.runs.folder import Run
from gan_tf.training import samples
from gan_tf.training.state import weights_of
from gan_tf.training.trainer import build_trainer
from tests import conditional
from tests.training import tiny

SIZES = {
    "fastgan": {"batch_size": 4},
    "pggan": {"phase_batch": "8", "fade_kimg": 0.04, "stabilise_kimg": 0.04, "beta1": 0.5, "lr": 2e-6},
    "stylegan2": {"batch_size": 4},
}
FADING_8 = 40


def make_trainer(model="pggan", **changes):
    settings = {**SIZES[model], "metric": "swd2k", "total_kimg": 0.2, "precision": "float32", "classes": 2, **changes}
    config = conditional.settings(model, **settings)
    source = ArraySource("images", tiny.square_images(), np.arange(12) % 3 == 0, ("many", "few"))  # 4 of class 1
    image_set = prepare(source, size=config.image_size)
    return build_trainer(config, image_set, Run("unused"), log=lambda line: None)


@pytest.mark.slow
def test_class_embeddings_are_trained_in_every_family():
    for model in SIZES:
        trainer = make_trainer(model, **({"lr": 1e-3} if model == "pggan" else {}))
        embeddings = {
            (player, path): variable
            for player in ("g", "d")
            for path, variable in named_variables(getattr(trainer.state, player)).items()
            if "embed/kernel" in path or "project/kernel" in path
        }
        before = {key: variable.numpy() for key, variable in embeddings.items()}
        assert {player for player, _ in embeddings} == {"g", "d"}, model
        assert tiny.all_finite(tiny.take_steps(trainer, 2)), model
        for key, variable in embeddings.items():
            assert np.abs(variable.numpy() - before[key]).max() > 0, (model, *key)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"micro_batch": 4}, {"strategy": "mirrored"}])
def test_micro_batches_and_two_devices_equal_the_whole_batch(changes, mirrored_is_two_cpus, monkeypatch):
    monkeypatch.setitem(devices.KERAS_POLICIES, "float32", "float64")
    trainers = make_trainer(**changes), make_trainer()
    tiny.assert_same_step(*(tiny.first_step(each, FADING_8) for each in trainers))


@pytest.fixture(scope="module")
def trainer():
    trainer = make_trainer("fastgan", augment="none")
    conditional.ready(trainer.state.g_ema)
    trainer.sampler.load(named_variables(trainer.state.g_ema))
    return trainer


@pytest.fixture
def sampler(trainer):
    yield trainer.sampler
    trainer.sampler.only = None


def test_scored_images_have_the_class_frequencies_of_the_reals_or_one_class(sampler):
    assert sampler.classes.counts == (8, 4)
    images = {}
    for sampler.only in (None, 0, 1):
        sampler.restart()
        images[sampler.only] = sampler(16)
        assert sampler.only is None or f"class {sampler.classes.names[sampler.only]}" in sampler.source
    has_class = np.stack([(images[None] == images[number]).all(axis=(1, 2, 3)) for number in (0, 1)])
    assert (has_class.sum(0) == 1).all() and 0 < has_class[1].sum() < has_class[0].sum()


def test_sample_grid_has_rows_of_each_class_with_the_same_latents(trainer, monkeypatch):
    monkeypatch.setitem(samples.GRID_SIDES, 64, 4)
    seeds, labels = samples.grid_seeds(trainer.config, trainer.sampler.classes)
    assert labels == [0] * 8 + [1] * 8 and seeds == [*range(8), *range(8)]
    grid = samples.sample_grid(trainer, weights_of(trainer.state.g_ema))
    assert grid.shape == (256, 256, 3)
    images = trainer.sampler.of_seeds(seeds, labels)
    np.testing.assert_array_equal(grid[128:192, :64], images[8])
    assert np.abs(images[0].astype(int) - images[8]).max() > 1


def test_images_of_latents_have_the_class_of_their_seed(sampler):
    latents, seeds = np.zeros((16, 16), np.float32), np.arange(16)
    labels = np.asarray(sampler.classes.of_seeds(seeds))
    images = {}
    for sampler.only in (None, 0, 1):
        images[sampler.only] = sampler.images_of_latents(latents, seeds)
    assert set(labels) == {0, 1}
    for i, label in enumerate(labels):
        np.testing.assert_array_equal(images[None][i], images[label][i])
        assert np.abs(images[None][i] - images[1 - label][i]).max() > 1e-3


@pytest.mark.slow
def test_interpolated_styles_keep_the_class_of_their_latents():
    trainer = make_trainer("stylegan2")
    conditional.ready(trainer.state.g_ema)
    trainer.sampler.load(named_variables(trainer.state.g_ema))
    latents, seeds = np.ones((16, 16), np.float32), np.arange(16)
    w = trainer.sampler.mapping(latents, seeds).numpy()
    labels = trainer.sampler.classes.of_seeds(seeds)
    for number in (0, 1):
        np.testing.assert_allclose(w[labels == number], w[labels == number][:1].repeat(sum(labels == number), 0), 1e-5)
    assert np.abs(w[labels == 0][0] - w[labels == 1][0]).max() > 0.1
    images = trainer.sampler.images_of_latents(w, seeds)
    np.testing.assert_allclose(images, trainer.sampler.images_of_latents(latents, seeds), atol=1e-5)
