"""What all families' steps share: the average, float16's loss scale, other precisions."""

import types

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.models.fastgan import FastGanGenerator
from gan_tf.models.variables import named_variables
from gan_tf.training import step
from gan_tf.training import train as loop
from gan_tf.training.state import update_average
from gan_tf.training.step import adapt_loss_scale, average_decay, descend
from tests.training import tiny


def test_official_decay():
    assert float(average_decay(5.5, tf.constant(10**6, tf.int64), 8)) == pytest.approx(0.999, abs=1e-5)


@pytest.mark.parametrize("batch_size", [4, 8, 64])
def test_half_life_is_counted_in_images(batch_size):
    decay = float(average_decay(2.0, tf.constant(10**7, tf.int64), batch_size))
    assert decay ** (2000 / batch_size) == pytest.approx(0.5, rel=1e-3)


def test_early_half_life_is_a_tenth_of_the_images_seen():
    seen = tf.constant(800, tf.int64)
    assert float(average_decay(5.5, seen, 8, ramp=0.1)) ** (80 / 8) == pytest.approx(0.5, rel=1e-4)
    # The first step keeps a thousandth of the initial weights: ten half-lives.
    assert float(average_decay(5.5, tf.constant(8, tf.int64), 8, ramp=0.1)) == pytest.approx(2.0**-10, rel=1e-3)


def test_average_takes_weights_and_batch_statistics_and_copies_spectral_vectors():
    g, g_ema = FastGanGenerator(64, 8, 16, seed=0), FastGanGenerator(64, 8, 16, seed=1)
    for network in (g, g_ema):
        network.build()
    before = {path: variable.numpy() for path, variable in named_variables(g_ema).items()}
    g.stem_norm.moving_mean.assign_add(tf.ones_like(g.stem_norm.moving_mean))
    update_average(types.SimpleNamespace(g=g, g_ema=g_ema), tf.constant(0.75))
    newest = {path: variable.numpy() for path, variable in named_variables(g).items()}
    kinds = {path.rsplit("/", 1)[-1] for path in newest}
    assert {"u", "v", "kernel", "moving_mean", "moving_variance", "gamma", "beta"} <= kinds
    for path, variable in named_variables(g_ema).items():
        copied = path.rsplit("/", 1)[-1] in ("u", "v")
        expected = newest[path] if copied else 0.75 * before[path] + 0.25 * newest[path]
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=1e-6, err_msg=path)


def test_average_starts_as_the_generator():
    job = tiny.build_job()
    newest = named_variables(job.state.g)
    for path, variable in named_variables(job.state.g_ema).items():
        np.testing.assert_array_equal(variable.numpy(), newest[path].numpy())


def weights_of(optimizer):
    return [variable.numpy() for variable in optimizer.variables.values()]


def test_float16_gradients_come_scaled():
    job = tiny.build_job(precision="float16")
    assert job.state.scales_loss
    gradients = {path: tf.ones_like(v.value) for path, v in job.state.d_optimizer.variables.items()}
    scaled = {path: gradient * job.state.loss_scale for path, gradient in gradients.items()}
    norm = descend(job.state, job.state.d_optimizer, scaled, lr=0.1)
    count = sum(int(tf.size(gradient)) for gradient in gradients.values())
    assert float(norm) == pytest.approx(count**0.5, rel=1e-5)
    for m in job.state.d_optimizer.m.values():
        np.testing.assert_allclose(m.numpy(), 0.5, rtol=1e-6)


def test_float16_overflow_leaves_the_step_out_and_halves_the_scale():
    job = tiny.build_job(precision="float16")
    state, before = job.state, weights_of(job.state.d_optimizer)
    gradients = {path: tf.ones_like(v.value) for path, v in state.d_optimizer.variables.items()}
    first = next(iter(gradients))
    gradients[first] = tf.fill(gradients[first].shape, np.inf)
    norm = descend(state, state.d_optimizer, gradients, lr=0.1)
    assert not np.isfinite(norm)
    for old, new in zip(before, weights_of(state.d_optimizer), strict=True):
        np.testing.assert_array_equal(old, new)
    assert state.d_optimizer.steps.numpy() == 0
    scale = float(state.loss_scale.numpy())
    values = adapt_loss_scale(state, tf.constant([1.0, np.inf, np.nan]))
    np.testing.assert_array_equal(values, [1.0, 0.0, 0.0])
    assert state.loss_scale.numpy() == scale / 2


def test_float16_scale_grows_after_many_good_steps(monkeypatch):
    monkeypatch.setattr(step, "GROWTH_STEPS", 3.0)
    state = tiny.build_job(precision="float16").state
    scale = float(state.loss_scale.numpy())
    found = []
    for value in (1.0, 1.0, np.inf, 1.0, 1.0, 1.0, 1.0):
        adapt_loss_scale(state, tf.constant([value]))
        found.append(float(state.loss_scale.numpy()) / scale)
    assert found == [1.0, 1.0, 0.5, 0.5, 0.5, 1.0, 1.0]


def test_float16_run_recovers_from_an_overflow():
    """Reals too large for float16 in one step: it is left out, the next ones train."""

    def train_step(state, reals, labels, draws, variant):
        return tiny.fastgan.train_step(state, tf.where(draws.clock == 4, 1e30, reals), labels, draws, variant)

    job = tiny.build_job(tiny.family(train_step), precision="float16")
    statistics = tiny.take_steps(job, 4)
    assert np.isfinite(statistics).all()
    assert job.state.d_optimizer.steps.numpy() == 3
    assert job.state.loss_scale.numpy() == 2.0**14
    assert all(np.isfinite(weight).all() for weight in weights_of(job.state.d_optimizer))


@pytest.mark.parametrize(("precision", "distance"), [("bfloat16", 0.03), ("float16", 0.004)])
def test_half_precision_stays_near_float32(precision, distance):
    """Losses of five steps, of size 1, from the same seed; weights and optimisers stay float32."""
    jobs = [tiny.build_job(precision=name) for name in ("float32", precision)]
    losses = [i for i, name in enumerate(jobs[0].recipe.STATISTICS) if name.startswith("loss/")]
    ours, theirs = (tiny.take_steps(job, 5)[:, losses] for job in jobs)
    np.testing.assert_allclose(theirs, ours, atol=distance)
    assert not np.array_equal(theirs, ours)
    assert all(variable.dtype != precision for variable in jobs[1].state.named_variables().values())


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "distance"), [("bfloat16", 0.15), ("float16", 0.03)])
def test_fastgan_in_half_precision_stays_near_float32(precision, distance):
    jobs = [tiny.build_job(tiny.FASTGAN, precision=name) for name in ("float32", precision)]
    losses = [i for i, name in enumerate(jobs[0].recipe.STATISTICS) if name.startswith("loss/")]
    ours, theirs = (tiny.take_steps(job, 5)[:, losses] for job in jobs)
    np.testing.assert_allclose(theirs, ours, atol=distance)


@pytest.mark.parametrize(
    ("seen", "steps", "rare"),
    [
        (8, 1, 3.0),  # step 0 measures
        (40, 4, 3.0),  # steps 1 to 4, of which 4 does
        (72, 8, 1.5),  # steps 1 to 8: 4 and 8
        (32, 3, None),  # steps 1 to 3
    ],
)
def test_a_mean_is_over_the_steps_that_measured(seen, steps, rare):
    recipe = types.SimpleNamespace(
        STATISTICS=("always", "rare"), PHASES=(step.Phase(None), step.Phase(None, 4, ("rare",)))
    )
    job = types.SimpleNamespace(recipe=recipe, stage_before=lambda seen: types.SimpleNamespace(batch_size=8))
    means = loop.means_of(job, seen, np.array([6.0, 3.0 if rare else 0.0, steps], np.float32))
    assert means == {"always": pytest.approx(6 / steps), **({"rare": pytest.approx(rare)} if rare else {})}
