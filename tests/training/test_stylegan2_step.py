"""StyleGAN2's training step: phases, style mixing, replicas, micro-batches. Parity has its gradients."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.distributed import devices
from gan_tf.rng import Draws
from gan_tf.training.recipes import stylegan2
from tests.training import tiny

pytestmark = pytest.mark.slow

LR = 2e-6  # see test_replicas
PHASES = {phase.update.__name__: phase for phase in stylegan2.RECIPE.phases}
# The player whose weights a phase updates.
PLAYER = dict(zip(PHASES, "ggdd", strict=True))
make_trainer = functools.partial(tiny.make_trainer, model="stylegan2")


@pytest.fixture(scope="module")
def trainer():
    return make_trainer()


def take_phase(trainer, name):
    """Takes one phase on random reals, and returns {statistic: value}."""
    reals = tf.random.stateless_uniform((8, 16, 16, 3), (0, 0), -1, 1)
    arguments = trainer.state, reals, tf.zeros([8], tf.int32), Draws(0, 0, 8), trainer.variant
    compiled = tf.function(lambda: PHASES[name].update(*arguments))
    return {statistic: float(value) for statistic, value in compiled().items()}


@pytest.mark.parametrize("name", PLAYER)
def test_a_phase_changes_the_weights_of_its_player_only(trainer, name):
    before = tiny.player_weights(trainer)
    statistics = take_phase(trainer, name)
    changed = tiny.changed(before, tiny.player_weights(trainer))
    assert {path.split("/")[0] for path in changed} == {PLAYER[name]}
    # Some biases, such as D's last one, have no second derivative in the regularisers.
    unchanged = {path for path in before if path.startswith(PLAYER[name]) and path not in changed}
    assert all(path.endswith("bias") for path in unchanged) and len(unchanged) < len(changed) / 2
    assert set(statistics) == set(PHASES[name].statistics)


@pytest.mark.parametrize(
    ("name", "lazy"), [("update_generator", 4 / 5), ("regularise_path_length", 4 / 5), ("regularise_r1", 16 / 17)]
)
def test_learning_rates_follow_lazy_regularisation(name, lazy):
    """The first step of Adam changes each weight by the learning rate, since beta1 is 0.

    Weights of the mapping network are stored a hundred times as large, so that float32 rounds their changes.
    """
    trainer = make_trainer(lr=0.001)
    before = tiny.player_weights(trainer)
    take_phase(trainer, name)
    after = {path: value for path, value in tiny.player_weights(trainer).items() if "mapping" not in path}
    changes = [np.abs(value - before[path]).max() for path, value in after.items()]
    assert max(changes) == pytest.approx(0.001 * lazy, rel=1e-3)


def test_decays_follow_lazy_regularisation(trainer):
    g, d = trainer.state.g_optimizer, trainer.state.d_optimizer
    assert (g.beta1, d.beta1) == (0, 0)
    assert (g.beta2, d.beta2) == (pytest.approx(0.99 ** (4 / 5)), pytest.approx(0.99 ** (16 / 17)))
    plain = make_trainer(path_weight=0.0, r1_gamma=0.0).state
    assert plain.g_optimizer.beta2 == plain.d_optimizer.beta2 == 0.99


def test_regularisers_are_lazy():
    statistics = tiny.take_steps(make_trainer(), 18)
    assert np.flatnonzero(statistics["loss/r1"]).tolist() == [0, 16]
    assert np.flatnonzero(statistics["path_length"]).tolist() == [0, 4, 8, 12, 16]
    assert tiny.all_finite(statistics) and (statistics["loss/g"] > 0).all()


def test_regularisers_with_weight_zero_change_nothing():
    trainer = make_trainer(path_weight=0.0, r1_gamma=0.0)
    before = tiny.player_weights(trainer)
    for name in ("regularise_path_length", "regularise_r1"):
        assert not any(take_phase(trainer, name).values())
    assert not tiny.changed(before, tiny.player_weights(trainer))


def cutoffs(trainer, steps):
    """For each step the first layer with other styles; None for steps without mixing."""

    @tf.function
    def styles(seen):
        return stylegan2.styles(trainer.state.g, None, Draws(0, seen, 8), trainer.variant)

    layers = []
    for seen in range(steps):
        ws = styles(tf.constant(seen, tf.int64)).numpy()  # [N, S, W]
        differs = (ws != ws[:, :1]).any(axis=2)
        assert (differs == differs[0]).all()  # the same for all images of a step
        first = int(np.argmax(differs[0])) if differs[0].any() else None
        if first is not None:
            assert (ws[:, first:] == ws[:, first : first + 1]).all() and not differs[0, :first].any()
        layers.append(first)
    return layers


def test_styles_are_mixed_from_a_random_layer_on_in_nine_of_ten_steps(trainer):
    layers = cutoffs(trainer, 100)
    assert 82 <= sum(first is not None for first in layers) <= 97
    assert {first for first in layers if first is not None} == set(range(1, 6))  # of six layers
    assert cutoffs(make_trainer(style_mixing=0.0), 3) == [None] * 3


def test_the_first_latents_update_the_mean_w(trainer):
    g, draws = trainer.state.g, Draws(0, 3, 8)
    before = g.mapping.average.numpy()
    stylegan2.styles(g, None, draws, trainer.variant)
    ws = g.mapping(draws.normal("latents", (8,)), None)[:, 0]
    expected = before + (1 - 0.995) * (np.mean(ws, axis=0) - before)
    np.testing.assert_allclose(g.mapping.average.numpy(), expected, rtol=1e-4, atol=1e-7)


def first_step(**changes):
    """(statistics, {player: gradient vector}, mean path length, average w) of one step, from fresh networks."""
    trainer = make_trainer(lr=LR, beta1=0.5, **changes)
    extra, average = trainer.state.extra, trainer.state.g.mapping.average
    return *tiny.first_step(trainer), extra[stylegan2.PATH_MEAN].numpy(), average.numpy()


def test_two_devices_equal_one(mirrored_is_two_cpus, monkeypatch):
    """With minibatch standard deviation, whose groups of four are each on one device. In float64, see test_replicas."""
    monkeypatch.setitem(devices.KERAS_POLICIES, "float32", "float64")
    one, two = (first_step(strategy=strategy) for strategy in ("default", "mirrored"))
    tiny.assert_same_step(two, one)
    assert one[2] > 0 and two[2] == pytest.approx(one[2], rel=1e-5)
    np.testing.assert_allclose(two[3], one[3], rtol=1e-5, atol=1e-8)


def test_micro_batches_equal_the_whole_batch(monkeypatch):
    """Without path lengths, whose penalty uses the mean of a micro-batch; their running mean is that of the batch."""
    monkeypatch.setitem(devices.KERAS_POLICIES, "float32", "float64")
    tiny.assert_same_step(first_step(path_weight=0.0, micro_batch=4), first_step(path_weight=0.0))
    one, two = first_step(), first_step(micro_batch=4)
    assert two[2] == pytest.approx(one[2], rel=1e-5)


def test_half_precision_is_near_float32():
    exact = first_step()[0]
    for precision in ("bfloat16", "float16"):
        half = first_step(precision=precision)[0]
        for name in ("loss/d_real", "loss/d_fake", "loss/g", "path_length"):
            assert half[name] == pytest.approx(exact[name], rel=0.05), (precision, name)


def test_a_stopped_run_continues_bit_for_bit(dataset, tmp_path):
    """With ADA's p, the mean of the path lengths and the mean w, which change in every step."""
    flags = {"model": "stylegan2", "deterministic": True, "eval_every": 1000}
    flags |= {"augment": "ada", "ada_kimg": 0.5, "ada_target": -0.9, "augment_policy": "blit"}
    whole = tiny.trained(dataset, tmp_path, **flags, run="whole")
    for kimg in (0.08, 0.16):
        parts = tiny.trained(dataset, tmp_path, **{**flags, "total_kimg": kimg}, run="parts")
    tiny.assert_same_state(whole, parts, 160, tiny.SCORED)
    end = tiny.weights(whole, 160)
    for name in ("extra/ada_p", "extra/path_length_mean", "g/mapping/average"):
        assert np.any(end[name]), name
