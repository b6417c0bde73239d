"""`--energy-weight`: a term of FastGAN's generator alone; interruption, micro-batches and devices."""

import numpy as np
import pytest

from gan_tf.errors import UsageError

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
def test_micro_batches_and_two_devices_compare_their_own_images(mirrored_is_two_cpus):
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
