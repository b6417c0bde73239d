"""A step in micro-batches equals the step of the whole batch, except for batch norm."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.rng import Draws
from tests.training import tiny


@pytest.fixture(scope="module")
def whole():
    """Statistics and gradients of the first step."""
    trainer = tiny.make_trainer(tiny.family(normalised=False), augment="diffaugment")
    return tiny.take_steps(trainer, 1), tiny.first_gradients(trainer)


@pytest.mark.parametrize("micro_batch", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_without_batch_norm_micro_batches_equal_the_whole_batch(micro_batch, whole):
    trainer = tiny.make_trainer(tiny.family(normalised=False), micro_batch=micro_batch, augment="diffaugment")
    assert trainer.parts == 4 // micro_batch
    statistics, gradients = whole
    tiny.assert_close(tiny.take_steps(trainer, 1), statistics, atol=1e-7)
    for player, gradient in tiny.first_gradients(trainer).items():
        assert tiny.relative_l2(gradient, gradients[player]) < 1e-5, player


def test_batch_norm_uses_the_statistics_of_each_micro_batch():
    """The generator runs for D and then for G on each micro-batch: each run updates the running mean."""
    trainer = tiny.make_trainer(micro_batch=2)
    kernel = tf.constant(trainer.state.g.layers_in_list[0].kernel.numpy())
    latents = Draws(0, 0, 4).normal("latents", (16,))
    maps = tf.reshape(latents @ kernel, (2, 2, 8, 8, 3))
    means = tf.reduce_mean(maps, axis=(0, 2, 3))  # of each micro-batch, which has every second row
    expected = tf.zeros([3])
    for mean in (means[0], means[1], means[0], means[1]):
        expected = 0.9 * expected + 0.1 * mean
    tiny.take_steps(trainer, 1)
    np.testing.assert_allclose(trainer.state.g.norm.moving_mean.numpy(), expected, rtol=1e-5, atol=1e-7)


def test_micro_batch_must_divide_the_images_of_a_device(mirrored_is_two_cpus):
    with pytest.raises(UsageError, match="--micro-batch 4"):
        tiny.make_trainer(batch_size=12, micro_batch=4, strategy="mirrored")


@pytest.mark.slow
def test_fastgan_takes_steps_in_micro_batches():
    trainer = tiny.make_trainer(tiny.FASTGAN, micro_batch=2, precision="bfloat16")
    assert tiny.all_finite(tiny.take_steps(trainer, 2))
