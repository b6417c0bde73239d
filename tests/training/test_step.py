"""EMA, statistics, float16's loss scale and half precision in the training step; Adam, compared with the paper."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_tf.models.variables import named_variables
from gan_tf.runs.folder import Run
from gan_tf.training import step
from gan_tf.training.state import Adam, restore_checkpoint, save_state, update_ema, weights_of
from gan_tf.training.step import adapt_loss_scale, apply_gradients, ema_decay
from tests.training import tiny


def test_ema_half_life_is_in_images():
    assert float(ema_decay(5.5, 10**6, 8)) == pytest.approx(0.999, abs=1e-5)  # the official decay
    for seen, batch_size in ((10**7, 4), (8, 8), (10**7, 64)):  # without a ramp also at the start
        assert float(ema_decay(2.0, seen, batch_size)) ** (2000 / batch_size) == pytest.approx(0.5, rel=1e-3)


def test_ema_ramp_limits_the_half_life_to_a_tenth_of_the_images_seen():
    seen = tf.constant(800, tf.int64)
    assert float(ema_decay(5.5, seen, 8, ramp=0.1)) ** (80 / 8) == pytest.approx(0.5, rel=1e-4)
    # The first step keeps a thousandth of the initial weights: ten half-lives.
    assert float(ema_decay(5.5, tf.constant(8, tf.int64), 8, ramp=0.1)) == pytest.approx(2.0**-10, rel=1e-3)


def test_ema_averages_weights_and_batch_statistics_and_copies_spectral_vectors():
    trainer = tiny.make_trainer(tiny.FASTGAN)
    g, g_ema = trainer.state.g, trainer.state.g_ema
    tiny.assert_equal(weights_of(g), weights_of(g_ema))  # it starts as the generator
    for variable in named_variables(g).values():
        variable.assign_add(tf.ones_like(variable))
    before, newest = weights_of(g_ema), weights_of(g)
    update_ema(trainer.state, tf.constant(0.75))
    kinds = {path.rsplit("/", 1)[-1] for path in newest}
    assert {"u", "v", "kernel", "moving_mean", "moving_variance", "gamma", "beta"} <= kinds
    for path, value in weights_of(g_ema).items():
        is_copied = path.rsplit("/", 1)[-1] in ("u", "v")
        expected = newest[path] if is_copied else 0.75 * before[path] + 0.25 * newest[path]
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6, err_msg=path)


@pytest.mark.slow
def test_statistics_of_lazy_phases_count_the_steps_that_measure_them():
    trainer = tiny.make_trainer(model="stylegan2")
    _, statistics, _ = trainer.take_steps(8, count=4)  # steps 1 to 4; path length is measured in step 4
    counts = {name: count for name, (_, count) in statistics.items()}
    assert counts["loss/g"] == 4 and counts["path_length"] == 1 and counts["loss/r1"] == 0


def test_float16_gradients_are_unscaled():
    state = tiny.make_trainer(precision="float16").state
    assert state.scales_loss
    gradients = {path: tf.ones_like(v.value) for path, v in state.d_optimizer.variables.items()}
    scaled = {path: gradient * state.loss_scale for path, gradient in gradients.items()}
    norm = apply_gradients(state, state.d_optimizer, scaled, lr=0.1)
    count = sum(int(tf.size(gradient)) for gradient in gradients.values())
    assert float(norm) == pytest.approx(count**0.5, rel=1e-5)
    for m in state.d_optimizer.m.values():
        np.testing.assert_allclose(m.numpy(), 0.5, rtol=1e-6)


def test_float16_scale_grows_after_many_good_steps(monkeypatch):
    monkeypatch.setattr(step, "GROWTH_STEPS", 3.0)
    state = tiny.make_trainer(precision="float16").state
    scale = float(state.loss_scale.numpy())
    factors = []
    for value in (1.0, 1.0, np.inf, 1.0, 1.0, 1.0, 1.0):
        adapt_loss_scale(state, {"a": (tf.constant(value), 1.0)})
        factors.append(float(state.loss_scale.numpy()) / scale)
    assert factors == [1.0, 1.0, 0.5, 0.5, 0.5, 1.0, 1.0]


def test_float16_run_recovers_from_an_overflow():
    """The reals of one step are too large for float16: it is skipped and halves the scale; the next steps train."""

    def train_step(state, reals, labels, draws, variant):
        reals = tf.where(draws.images_seen == 4, 1e30, reals)
        return tiny.fastgan.train_step(state, reals, labels, draws, variant)

    trainer = tiny.make_trainer(tiny.family(train_step), precision="float16")
    assert tiny.all_finite(tiny.take_steps(trainer, 4))
    assert trainer.state.d_optimizer.steps.numpy() == 3
    assert trainer.state.loss_scale.numpy() == 2.0**14
    assert tiny.all_finite(tiny.player_weights(trainer))


@pytest.mark.parametrize(
    ("before", "after", "scale"),
    [("float16", "float16", 2.0**9), ("float16", "bfloat16", 1.0), ("float32", "float16", 2.0**15)],
)
def test_a_run_that_continues_in_another_precision_gets_its_loss_scale(tmp_path, before, after, scale):
    run, state = Run(tmp_path / "run"), tiny.make_trainer(precision=before).state
    if state.scales_loss:
        state.loss_scale.assign(2.0**9)
    save_state(state, run, keep=1)
    continued = tiny.make_trainer(precision=after).state
    restore_checkpoint(continued, 0, run.checkpoint_prefix(0))
    assert continued.loss_scale.numpy() == scale


@functools.cache
def losses_of_five_steps(fastgan, precision):
    trainer = tiny.make_trainer(tiny.FASTGAN if fastgan else tiny.family(), precision=precision)
    statistics = tiny.take_steps(trainer, 5)
    dtypes = {variable.dtype for variable in trainer.state.named_variables().values()}
    assert dtypes == {tf.float32, tf.int64}
    return np.array([values for name, values in statistics.items() if name.startswith("loss/")])


@pytest.mark.parametrize(
    ("fastgan", "precision", "distance"),
    [
        (False, "bfloat16", 0.03),
        (False, "float16", 0.004),
        pytest.param(True, "bfloat16", 0.15, marks=pytest.mark.slow),
        pytest.param(True, "float16", 0.03, marks=pytest.mark.slow),
    ],
)
def test_half_precision_is_near_float32(fastgan, precision, distance):
    """Losses of five steps, of size 1, with the same seed; weights and optimisers stay float32."""
    exact, half = (losses_of_five_steps(fastgan, name) for name in ("float32", precision))
    np.testing.assert_allclose(half, exact, atol=distance)
    assert not np.array_equal(half, exact)


# Adam

LR, BETA1, BETA2, STEPS = 0.01, 0.5, 0.999, 7


def gradients_of(scale):
    """{path: gradients [STEPS, ...]}."""
    rng = np.random.default_rng(0)
    return {
        "a/kernel": scale * rng.normal(size=(STEPS, 3, 5)).astype(np.float32),
        "b": scale * rng.normal(size=(STEPS, 4)).astype(np.float32),
    }


def optimised(gradients):
    """({path: weights after STEPS steps from ones}, the Adam); the weight `unused` gets no gradient."""
    variables = {path: keras.Variable(np.ones(g.shape[1:], np.float32)) for path, g in gradients.items()}
    variables["unused"] = keras.Variable(np.ones(2, np.float32))
    adam = Adam(variables, BETA1, BETA2)
    step = tf.function(lambda grads, lr: adam.apply(grads, lr))
    for i in range(STEPS):
        step({path: tf.constant(g[i]) for path, g in gradients.items()}, tf.constant(LR))
    return {path: variable.numpy() for path, variable in variables.items()}, adam


@pytest.mark.parametrize("scale", [1.0, 1e-7])  # for the smaller gradients epsilon matters
def test_weights_equal_the_algorithm_of_the_paper(scale):
    """And a weight without a gradient does not change."""
    gradients = gradients_of(scale)
    weights, adam = optimised(gradients)
    for path, values in gradients.items():
        w, m, v = np.ones(values.shape[1:]), 0.0, 0.0
        for t, g in enumerate(values.astype(np.float64), 1):
            m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g**2
            w -= LR * (m / (1 - BETA1**t)) / (np.sqrt(v / (1 - BETA2**t)) + 1e-8)
        np.testing.assert_allclose(weights[path] - 1, w - 1, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(adam.m[path].numpy(), m, rtol=1e-5)
        np.testing.assert_allclose(adam.v[path].numpy(), v, rtol=2e-5)  # 1 - 0.999 in float32 is off by 1.3e-5
    np.testing.assert_array_equal(weights["unused"], np.ones(2))
    saved = adam.named_variables()
    assert saved.keys() == {"steps", *(f"{moment}/{path}" for moment in "mv" for path in weights)}
    assert saved["steps"].numpy() == STEPS and not saved["m/unused"].numpy().any()
