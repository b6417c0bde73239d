"""Training steps on two devices equal those on one with the same global batch, also batch norm and contrastive loss."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.distributed import devices
from gan_tf.errors import UsageError
from gan_tf.models.variables import named_variables
from tests.training import tiny

STEPS = 5
# At the default rate a rounding error grows a hundredfold with every step, since Adam turns the sign of a gradient near
# zero into a step of full size. Two runs on one device, with weights that differ by 1e-7, differ as much as one and two
# devices do.
LR = 2e-6


pytestmark = pytest.mark.usefixtures("mirrored_is_two_cpus")


def compare(networks, **changes):
    """Asserts equal first gradients (to 1e-5), losses of five steps (to 1e-5), and replicas that stay equal."""
    one, two = (
        tiny.make_trainer(networks, strategy=strategy, lr=LR, **changes) for strategy in ("default", "mirrored")
    )
    assert (one.strategy.num_replicas_in_sync, two.strategy.num_replicas_in_sync) == (1, 2)
    first, gradients, later = [], [], []
    for trainer in (one, two):
        first.append(tiny.take_steps(trainer, 1))
        gradients.append(tiny.first_gradients(trainer))
        later.append(tiny.take_steps(trainer, STEPS - 1, seen=4))
    for player, expected in gradients[0].items():
        assert tiny.relative_l2(gradients[1][player], expected) < 1e-5, player
    for of_one, of_two in (first, later):
        losses = [name for name in of_one if name.startswith("loss/")]
        tiny.assert_close({name: of_two[name] for name in losses}, {name: of_one[name] for name in losses}, atol=1e-5)
    assert_replicas_are_equal(two)


def assert_replicas_are_equal(trainer):
    """Asserts that the replicas' copies of weights and moments are equal; each replica updates its copy."""
    optimizers = (trainer.state.g_optimizer, trainer.state.d_optimizer)
    variables = [v.value for player in (trainer.state.g, trainer.state.d) for v in named_variables(player).values()]
    variables += [v for optimizer in optimizers for v in optimizer.named_variables().values()]
    for variable in variables:
        first, second = trainer.strategy.experimental_local_results(variable)
        np.testing.assert_array_equal(first.numpy(), second.numpy(), variable.name)


@pytest.mark.parametrize("loss", ["hinge", pytest.param("dual_contrastive", marks=pytest.mark.slow)])
def test_two_devices_equal_one(loss):
    compare(tiny.family(), loss=loss, augment="diffaugment")


@pytest.mark.slow
def test_two_devices_with_micro_batches_equal_one():
    compare(tiny.family(normalised=False), micro_batch=1)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["hinge", "dual_contrastive"])
def test_fastgan_on_two_devices_equals_one(loss, monkeypatch):
    """In float64: in float32 another order of summation changes the sign of some input of a leaky ReLU or of an l1
    error, and each of them changes the gradient by 1e-5 to 1e-4. Float32's fused batch norm is tested with `ops`.
    """
    monkeypatch.setitem(devices.KERAS_POLICIES, "float32", "float64")
    compare(tiny.FASTGAN, loss=loss, augment="diffaugment")


@pytest.mark.slow
def test_run_moves_between_one_and_two_devices(tmp_path):
    """Checkpoints do not depend on the number of devices; data and draws continue at the same image."""
    dataset = tiny.images_file(tmp_path)
    assert tiny.train(dataset, tmp_path / "moved", lr=LR, total_kimg=0.04, strategy="mirrored")[0] == 0
    _, moved = tiny.train(dataset, tmp_path / "moved", lr=LR, strategy="default")
    _, stayed = tiny.train(dataset, tmp_path / "stayed", lr=LR, strategy="default")
    arrays = tiny.weights(moved, 80)
    for name, value in tiny.weights(stayed, 80).items():
        np.testing.assert_allclose(arrays[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_batch_that_devices_do_not_divide_is_refused():
    assert len(tf.config.list_logical_devices("CPU")) == 2
    with pytest.raises(UsageError, match="--batch-size 5"):
        tiny.make_trainer(batch_size=5, strategy="mirrored")


def test_multi_worker_without_tf_config_is_refused(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UsageError, match="--strategy"):
        tiny.make_trainer(strategy="multi_worker")
