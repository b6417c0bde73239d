"""Training steps on two devices, or in micro-batches without batch norm, equal those of the whole batch."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.distributed import devices
from gan_tf.errors import UsageError
from gan_tf.models.variables import named_variables
from gan_tf.rng import Draws
from tests.training import tiny

STEPS = 5
# At the default rate a rounding error grows a hundredfold with every step, since Adam turns the sign of a gradient near
# zero into a step of full size. Two runs on one device, with weights that differ by 1e-7, differ as much as one and two
# devices do.
LR = 2e-6


pytestmark = pytest.mark.usefixtures("mirrored_is_two_cpus")


def compare(networks, **changes):
    """Asserts equal first gradients (to 1e-5), losses of five steps (to 1e-5), and replicas that stay equal."""
    changes["lr"] = LR
    one, two = (tiny.make_trainer(networks, strategy=strategy, **changes) for strategy in ("default", "mirrored"))
    assert (one.strategy.num_replicas_in_sync, two.strategy.num_replicas_in_sync) == (1, 2)
    first, gradients = zip(*(tiny.first_step(trainer) for trainer in (one, two)), strict=True)
    for player, expected in gradients[0].items():
        assert tiny.relative_l2(gradients[1][player], expected) < 1e-5, player
    for of_one, of_two in (first, [tiny.take_steps(trainer, STEPS - 1, seen=4) for trainer in (one, two)]):
        losses = [name for name in of_one if name.startswith("loss/")]
        tiny.assert_close({name: of_two[name] for name in losses}, {name: of_one[name] for name in losses}, atol=1e-5)
    # Each replica updates its own copy of weights and moments.
    variables = [v.value for player in (two.state.g, two.state.d) for v in named_variables(player).values()]
    for optimizer in (two.state.g_optimizer, two.state.d_optimizer):
        variables += optimizer.named_variables().values()
    for variable in variables:
        copies = two.strategy.experimental_local_results(variable)
        np.testing.assert_array_equal(copies[0].numpy(), copies[1].numpy(), variable.name)


@pytest.mark.parametrize("loss", ["hinge", pytest.param("dual_contrastive", marks=pytest.mark.slow)])
def test_two_devices_equal_one(loss):
    compare(tiny.family(), loss=loss, augment="diffaugment")


@pytest.mark.slow
def test_two_devices_with_micro_batches_equal_one():
    compare(tiny.family(normalised=False), micro_batch=1)


@pytest.mark.slow
def test_fastgan_on_two_devices_equals_one(monkeypatch):
    """In float64: in float32 another order of summation changes the sign of some input of a leaky ReLU or of an l1
    error, and each of them changes the gradient by 1e-5 to 1e-4. Float32's fused batch norm is tested with `ops`.
    """
    monkeypatch.setitem(devices.KERAS_POLICIES, "float32", "float64")
    compare(tiny.FASTGAN, augment="diffaugment")


@pytest.mark.slow
def test_run_moves_between_one_and_two_devices(dataset, tmp_path):
    """Checkpoints do not depend on the number of devices; data and draws continue at the same image."""
    tiny.trained(dataset, tmp_path / "moved", lr=LR, total_kimg=0.04, strategy="mirrored")
    moved = tiny.trained(dataset, tmp_path / "moved", lr=LR, strategy="default")
    stayed = tiny.trained(dataset, tmp_path / "stayed", lr=LR, strategy="default")
    tiny.assert_close(tiny.weights(moved, 80), tiny.weights(stayed, 80), rtol=1e-4, atol=1e-4)
    tiny.assert_close(*(run.snapshot_weights(40)[0] for run in (moved, stayed)), rtol=1e-4, atol=1e-4)


def test_without_batch_norm_micro_batches_equal_the_whole_batch():
    steps = []
    for size, parts in ((2, 2), (None, 1)):
        trainer = tiny.make_trainer(tiny.family(normalised=False), micro_batch=size, augment="diffaugment")
        assert trainer.variant.parts == parts
        steps.append(tiny.first_step(trainer))
    tiny.assert_close(steps[0][0], steps[1][0], atol=1e-7)
    tiny.assert_same_step(*steps)


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


@pytest.mark.slow
def test_fastgan_takes_steps_in_micro_batches():
    trainer = tiny.make_trainer(tiny.FASTGAN, micro_batch=2, precision="bfloat16")
    assert tiny.all_finite(tiny.take_steps(trainer, 2))


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"batch_size": 5, "strategy": "mirrored"}, "--batch-size 5"),
        ({"batch_size": 12, "micro_batch": 4, "strategy": "mirrored"}, "--micro-batch 4"),
        ({"model": "pggan", "phase_batch": "4:4,8:4,16:5", "strategy": "mirrored"}, "--phase-batch 4:4,8:4,16:5"),
        ({"strategy": "multi_worker"}, "--strategy"),  # without TF_CONFIG
    ],
)
def test_batches_and_strategies_that_devices_do_not_fit_are_refused(changes, flag, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UsageError, match=flag):
        tiny.make_trainer(**changes)
