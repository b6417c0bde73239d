"""Progressive GAN's training step: layers and reals of each level, losses, replicas, micro-batches, precision."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import losses
from gan_tf.augment import choice
from gan_tf.distributed import devices
from gan_tf.models.variables import named_variables
from gan_tf.training.recipes import pggan
from tests.training import tiny

FADING_8, STABLE_8, FADING_16 = 60, 100, 140  # images seen in the middle of a stage
LR = 2e-6  # see test_replicas
make_trainer = functools.partial(tiny.make_trainer, model="pggan")


def test_a_step_trains_the_layers_of_its_level_and_is_traced_once_for_each(monkeypatch):
    traced, fade_reals = [], pggan.fade_reals
    monkeypatch.setattr(pggan, "fade_reals", lambda *args: traced.append(1) or fade_reals(*args))
    trainer = make_trainer(loss="hinge")
    before = tiny.player_weights(trainer)
    tiny.take_steps(trainer, 1)
    moved = tiny.changed(before, tiny.player_weights(trainer))
    assert {"g/stem/first/kernel", "g/to_rgb/0/kernel", "d/from_rgb/0/kernel", "d/head/conv/kernel"} <= moved
    assert not any("blocks" in name or "rgb/1" in name or "rgb/2" in name for name in moved)
    for at in (FADING_8, FADING_8 + 8, STABLE_8):
        tiny.take_steps(trainer, 1, at)
    moved = tiny.changed(before, tiny.player_weights(trainer))
    assert {"g/blocks/0/conv/kernel", "g/to_rgb/1/kernel", "d/blocks/0/conv/kernel", "d/from_rgb/1/kernel"} <= moved
    assert not any("blocks/1" in name or "rgb/2" in name for name in moved)
    assert traced == [1, 1]


def test_alpha_follows_the_images_seen():
    trainer = make_trainer()
    assert pggan.alpha_of(trainer.variant, tf.constant(5, tf.int64)) is None  # 4x4 does not fade in
    trainer.enter(trainer.stage_at(FADING_8))
    values = [float(pggan.alpha_of(trainer.variant, tf.constant(seen, tf.int64))) for seen in (40, 50, 60, 80, 1000)]
    np.testing.assert_allclose(values, [0, 0.25, 0.5, 1, 1])


@pytest.mark.slow
def test_reals_have_the_size_of_the_stage_and_penalties_that_of_the_run(monkeypatch):
    """A 4x4 image, enlarged to 16x16, has blocks of 4x4 pixels; the gradient for those is a quarter as long."""
    reals_of_steps, repeats = [], []

    def fade_reals(reals, alpha):
        reals_of_steps.append((tuple(reals.shape[1:3]), alpha is not None))
        return reals

    def gradient_penalty(d, x, times):
        repeats.append(times)
        return losses.gradient_penalty(d, x, times)

    monkeypatch.setattr(pggan, "fade_reals", fade_reals)
    monkeypatch.setattr(pggan, "gradient_penalty", gradient_penalty)
    trainer = make_trainer()
    for at in (0, FADING_8, FADING_16):
        tiny.take_steps(trainer, 1, at)
    assert reals_of_steps == [((4, 4), False), ((8, 8), True), ((16, 16), True)]
    assert repeats == [4, 2, 1]


def test_reals_fade_from_blocks_to_pixels():
    reals = tf.reshape(tf.range(16.0), (1, 4, 4, 1))
    blocks = np.kron([[2.5, 4.5], [10.5, 12.5]], np.ones((2, 2)))
    np.testing.assert_array_equal(pggan.fade_reals(reals, tf.constant(0.0))[0, :, :, 0], blocks)
    np.testing.assert_array_equal(pggan.fade_reals(reals, tf.constant(1.0)), reals)
    np.testing.assert_array_equal(pggan.fade_reals(reals, None), reals)
    half = pggan.fade_reals(reals, tf.constant(0.5))[0, :, :, 0]
    np.testing.assert_allclose(half, (blocks + reals[0, :, :, 0]) / 2)


OTHER_NORMS = {"batch_norm": True, "pixel_norm": False, "minibatch_stddev": False}
LOSSES = [
    *(("logistic", {}), ("lsgan", OTHER_NORMS)),
    *(pytest.param(loss, {}, marks=pytest.mark.slow) for loss in ("wgan_gp", "hinge", "lsgan", "bce")),
]


@pytest.mark.parametrize(("loss", "changes"), LOSSES)
def test_every_loss_takes_finite_steps(loss, changes):
    statistics = tiny.take_steps(make_trainer(loss=loss, **changes), 3, FADING_8)
    assert tiny.all_finite(statistics)
    penalty = statistics["loss/penalty"]
    assert (penalty > 0).all() if loss in ("wgan_gp", "logistic") else (penalty == 0).all()


def test_reals_and_fakes_are_augmented(monkeypatch):
    paths = []
    augment = choice.diffaugment
    monkeypatch.setattr(choice, "diffaugment", lambda *args: paths.append(args[1].path) or augment(*args))
    tiny.take_steps(make_trainer(augment="diffaugment", loss="hinge"), 1)
    assert paths == ["augment reals/", "d/augment fakes/", "g/augment fakes/"]


@pytest.mark.parametrize("loss", ["wgan_gp", pytest.param("logistic", marks=pytest.mark.slow)])
def test_two_devices_equal_one(loss, mirrored_is_two_cpus, monkeypatch):
    """With minibatch standard deviation, whose groups of four are each on one device. In float64, see test_replicas."""
    monkeypatch.setitem(devices.KERAS_POLICIES, "float32", "float64")
    one, two = (
        tiny.first_step(make_trainer(lr=LR, beta1=0.5, loss=loss, phase_batch="8", strategy=strategy), FADING_8)
        for strategy in ("default", "mirrored")
    )
    tiny.assert_same_step(two, one)


@pytest.fixture(scope="module")
def exact_statistics():
    """Statistics of the first step in float32."""
    return tiny.take_steps(make_trainer(lr=LR, beta1=0.5), 1, FADING_8)


@pytest.mark.parametrize("precision", [pytest.param("bfloat16", marks=pytest.mark.slow), "float16"])
def test_half_precision_is_near_float32(precision, exact_statistics):
    """Weights and optimisers stay float32."""
    trainer = make_trainer(lr=LR, beta1=0.5, precision=precision)
    half = tiny.take_steps(trainer, 1, FADING_8)
    for name in ("loss/d_real", "loss/penalty", "loss/g", "gradient/d"):
        assert half[name] == pytest.approx(exact_statistics[name], rel=0.05, abs=0.02), name
    assert {variable.dtype for variable in named_variables(trainer.state.d).values()} == {"float32"}
    assert {m.dtype for m in trainer.state.d_optimizer.m.values()} == {tf.float32}
