"""`--energy-weight`: a term of FastGAN's generator alone; interruption, micro-batches and devices."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.losses import energy_distance
from gan_tf.training.recipes.fastgan import image_energy

from . import tiny

SETTINGS = {"loss": "logistic"}  # without the random margins of the hinge loss


def make_trainer(**changes):
    return tiny.make_trainer(tiny.FASTGAN, **{**SETTINGS, **changes})


def test_the_energy_distance_changes_the_gradients_of_the_generator_alone():
    without, trainer = make_trainer(), make_trainer(energy_weight=2.0)
    (_, slopes_without), (values, slopes) = tiny.first_step(without), tiny.first_step(trainer)
    differences = {player: tiny.relative_l2(slopes[player], slopes_without[player]) for player in ("g", "d")}
    assert differences["d"] < 1e-5 < 0.1 < differences["g"]
    assert values["loss/energy"] > 0.1  # an untrained generator is far from the reals
    assert "loss/energy" not in without.state.statistics


@pytest.mark.slow
def test_the_energy_distance_falls():
    values = tiny.take_steps(make_trainer(energy_weight=10.0, lr=2e-3), 30)["loss/energy"]
    assert np.mean(values[-5:]) < 0.7 * np.mean(values[:5])


@pytest.mark.slow
def test_micro_batches_and_two_devices_take_finite_steps(mirrored_is_two_cpus):
    for changes in ({"micro_batch": 2}, {"strategy": "mirrored"}):
        assert tiny.all_finite(tiny.take_steps(make_trainer(energy_weight=1.0, **changes), 2))


def test_a_micro_batch_of_one_image_is_refused():
    with pytest.raises(UsageError, match="--energy-weight is 1, with one image"):
        make_trainer(energy_weight=1.0, micro_batch=1)


@pytest.mark.slow
def test_an_interrupted_run_ends_bit_for_bit_equal(tmp_path):
    dataset, settings = tiny.images_file(tmp_path), {"energy_weight": 0.5}
    whole = tiny.trained(dataset, tmp_path / "whole", tiny.FASTGAN, **settings, total_kimg=0.016)
    tiny.trained(dataset, tmp_path / "parts", tiny.FASTGAN, **settings, total_kimg=0.008)
    parts = tiny.trained(dataset, tmp_path / "parts", tiny.FASTGAN, **settings, total_kimg=0.016)
    tiny.assert_same_state(parts, whole, 16, but=tiny.SCORED)


def test_image_energy_sees_small_images_whole_and_by_pixel():
    reals = np.zeros((4, 16, 16, 3), np.float32)
    reals[:2] = 1.0  # two white images and two black ones
    halves = reals.copy()
    halves[0, 8:], halves[2, 8:] = 0.0, 1.0  # each pixel is still white in half of the images
    whole = [
        energy_distance(*(tf.reshape(x[:, ::2, ::2], (4, 1, -1)) for x in (fakes, reals))) for fakes in (reals, halves)
    ]
    pixels = [np.mean(image_energy(fakes, reals, 8) - part) for fakes, part in zip((reals, halves), whole, strict=True)]
    np.testing.assert_allclose(pixels[0], pixels[1], atol=1e-6)
    assert np.mean(whole[1]) > np.mean(whole[0]) + 0.05
    noise = np.random.default_rng(0).normal(size=(4, 1, 2, 1, 2, 3)).astype(np.float32)
    noise = np.broadcast_to(noise - noise.mean((2, 4), keepdims=True), (4, 8, 2, 8, 2, 3)).reshape(4, 16, 16, 3)
    np.testing.assert_allclose(image_energy(halves + noise, reals, 8), image_energy(halves, reals, 8), atol=1e-4)
