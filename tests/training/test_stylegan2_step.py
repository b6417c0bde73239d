"""StyleGAN2's step: which phase moves what and when, its draws, and that it is the same however it is shared."""

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.augment.choice import Augmentation
from gan_tf.convert.state_dicts import load_state_dict, to_official
from gan_tf.convert.stylegan2 import arguments_of
from gan_tf.distributed import devices
from gan_tf.models.stylegan2 import Discriminator, Generator
from gan_tf.models.variables import named_variables
from gan_tf.rng import Draws
from gan_tf.training.recipes import stylegan2
from gan_tf.training.state import trainable
from tests.parity.report import read_arrays
from tests.parity.test_parity import reference
from tests.training import styled, tiny
from tests.training.tiny import assert_same_state, images_file

pytestmark = pytest.mark.slow

LR = 2e-6  # see test_replicas
PHASES = {phase.update.__name__: phase for phase in stylegan2.RECIPE.phases}
# The player whose weights a phase updates.
PLAYER = {
    "update_generator": "g",
    "regularise_path_length": "g",
    "update_discriminator": "d",
    "regularise_r1": "d",
}
SCORED = ("stale_epochs",)  # a run that ended before takes a score then


@pytest.fixture(scope="module")
def trainer():
    return styled.make_trainer()


def draws_at(images_seen, batch=8):
    return Draws(0, images_seen, batch)


def take(trainer, name, clock=0, **changes):
    """Takes one phase on random reals: {statistic: value}."""
    variant = stylegan2.variant(trainer.config, trainer.stage, 1)
    variant = dataclasses.replace(variant, **changes)
    reals = tf.random.stateless_uniform((8, 16, 16, 3), (0, clock), -1, 1)
    labels = tf.zeros([8], tf.int32)
    compiled = tf.function(lambda: PHASES[name].update(trainer.state, reals, labels, draws_at(clock), variant))
    return {statistic: float(value) for statistic, value in compiled().items()}


def weights_of(trainer):
    return {
        f"{player}/{path}": variable.numpy()
        for player in ("g", "d")
        for path, variable in trainable(getattr(trainer.state, player)).items()
    }


@pytest.mark.parametrize("name", PLAYER)
def test_a_phase_moves_the_weights_of_its_player_alone(trainer, name):
    before = weights_of(trainer)
    found = take(trainer, name)
    moved = {path for path, value in weights_of(trainer).items() if not np.array_equal(value, before[path])}
    players = {path.split("/")[0] for path in moved}
    assert players == {PLAYER[name]}
    # Neither the last bias of D nor the colours' biases have a slope of their slopes; but all others move.
    still = {path for path in before if path.startswith(PLAYER[name]) and path not in moved}
    assert all(path.endswith("bias") for path in still) and len(still) < len(moved) / 2
    assert set(found) == set(PHASES[name].statistics)


@pytest.mark.parametrize(
    ("name", "lazy"), [("update_generator", 4 / 5), ("regularise_path_length", 4 / 5), ("regularise_r1", 16 / 17)]
)
def test_rates_are_those_of_lazy_regularisation(name, lazy):
    """A first step of Adam moves each weight by the rate, and beta1 is 0.

    Weights of the mapping network are stored a hundred times as large, so that float32 rounds their moves.
    """
    trainer = styled.make_trainer(lr=0.001)
    before = weights_of(trainer)
    take(trainer, name)
    after = {path: value for path, value in weights_of(trainer).items() if "mapping" not in path}
    moves = [np.abs(value - before[path]).max() for path, value in after.items()]
    assert max(moves) == pytest.approx(0.001 * lazy, rel=1e-3)


def test_decays_are_those_of_lazy_regularisation(trainer):
    g, d = trainer.state.g_optimizer, trainer.state.d_optimizer
    assert (g.beta1, d.beta1) == (0, 0)
    assert (g.beta2, d.beta2) == (pytest.approx(0.99 ** (4 / 5)), pytest.approx(0.99 ** (16 / 17)))
    plain = styled.make_trainer(path_weight=0.0, r1_gamma=0.0).state
    assert plain.g_optimizer.beta2 == plain.d_optimizer.beta2 == 0.99


def test_regularisers_come_at_the_first_step_and_every_few_steps_after():
    statistics = tiny.take_steps(styled.make_trainer(), 18)
    assert np.flatnonzero(statistics["loss/r1"]).tolist() == [0, 16]
    assert np.flatnonzero(statistics["path_length"]).tolist() == [0, 4, 8, 12, 16]
    assert tiny.all_finite(statistics) and (statistics["loss/g"] > 0).all()


def test_regularisers_of_weight_zero_do_nothing():
    trainer = styled.make_trainer(path_weight=0.0, r1_gamma=0.0)
    before = weights_of(trainer)
    for name in ("regularise_path_length", "regularise_r1"):
        assert not any(take(trainer, name).values())
    for path, value in weights_of(trainer).items():
        np.testing.assert_array_equal(value, before[path])


def cutoffs(trainer, mixing, steps):
    """From which layer on the styles are others, in each of so many steps; None where they are not mixed."""
    variant = dataclasses.replace(stylegan2.variant(trainer.config, trainer.stage, 1), mixing=mixing)

    @tf.function
    def styles(clock):
        return stylegan2.styles(trainer.state.g, None, Draws(0, clock, 8), variant)

    found = []
    for clock in range(steps):
        ws = styles(tf.constant(clock, tf.int64)).numpy()  # [N, S, W]
        differs = (ws != ws[:, :1]).any(axis=2)
        assert (differs == differs[0]).all()  # the same for all images of a step
        first = int(np.argmax(differs[0])) if differs[0].any() else None
        if first is not None:
            assert (ws[:, first:] == ws[:, first : first + 1]).all() and not differs[0, :first].any()
        found.append(first)
    return found


def test_styles_are_mixed_from_one_layer_on_in_nine_of_ten_steps(trainer):
    found = cutoffs(trainer, 0.9, 100)
    assert 82 <= sum(first is not None for first in found) <= 97
    assert {first for first in found if first is not None} == set(range(1, 6))  # of six layers
    assert cutoffs(trainer, 0.0, 3) == [None] * 3


def test_all_uses_of_the_mapping_but_the_second_move_its_average(trainer):
    g = trainer.state.g
    variant = stylegan2.variant(trainer.config, trainer.stage, 1)
    before = g.mapping.average.numpy()
    draws = draws_at(3)
    stylegan2.styles(g, None, draws, variant)
    ws = g.mapping(draws.normal("latents", (8,)), None)[:, 0]
    want = before + (1 - 0.995) * (np.mean(ws, axis=0) - before)
    np.testing.assert_allclose(g.mapping.average.numpy(), want, rtol=1e-4, atol=1e-7)


def first_step(**changes):
    """(statistics, {player: gradient vector}, mean path length, average w) of one step, from fresh networks."""
    trainer = styled.make_trainer(lr=LR, beta1=0.5, **changes)  # of beta1 0, Adam's first moment is the gradient itself
    statistics = tiny.take_steps(trainer, 1)
    average = trainer.state.g.mapping.average.numpy()
    return statistics, tiny.first_gradients(trainer), trainer.state.extra[stylegan2.PATH_MEAN].numpy(), average


def assert_same_step(one, other):
    tiny.assert_close(other[0], one[0])
    for player, gradient in one[1].items():
        assert tiny.relative_l2(other[1][player], gradient) < 1e-5, player


def test_two_devices_equal_one(mirrored_is_two_cpus, monkeypatch):
    """With minibatch standard deviation: its groups of four lie whole on one device. In float64, see test_replicas."""
    monkeypatch.setitem(devices.KERAS_POLICIES, "float32", "float64")
    one, two = (first_step(strategy=strategy) for strategy in ("default", "mirrored"))
    assert_same_step(one, two)
    assert one[2] > 0 and two[2] == pytest.approx(one[2], rel=1e-5)
    np.testing.assert_allclose(two[3], one[3], rtol=1e-5, atol=1e-8)


def test_micro_batches_equal_the_whole(monkeypatch):
    """But for path lengths, whose mean is each micro-batch's own."""
    monkeypatch.setitem(devices.KERAS_POLICIES, "float32", "float64")
    assert_same_step(first_step(path_weight=0.0), first_step(path_weight=0.0, micro_batch=4))


def test_micro_batches_of_path_lengths_are_of_the_same_images(monkeypatch):
    """So the running mean moves as far, though each penalty has a mean of its own."""
    monkeypatch.setitem(devices.KERAS_POLICIES, "float32", "float64")
    one, two = first_step(), first_step(micro_batch=4)
    assert two[2] == pytest.approx(one[2], rel=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_near_float32(precision):
    exact, half = first_step()[0], first_step(precision=precision)[0]
    for name in ("loss/d_real", "loss/d_fake", "loss/g", "path_length"):
        assert half[name] == pytest.approx(exact[name], rel=0.05), name


def test_the_architecture_asked_for_is_built():
    d = styled.make_trainer(architecture="orig").state.d
    assert not any("skip" in path for path in named_variables(d))


@pytest.mark.slow
def test_a_stopped_run_continues_bit_for_bit(tmp_path):
    """With ADA's p, the mean of the path lengths and the average w, which move all the time."""
    data = images_file(tmp_path)
    flags = {"augment": "ada", "ada_kimg": 0.5, "ada_target": -0.9, "deterministic": True, "eval_every": 1000}
    flags |= {"final_score": None, "augment_policy": "blit"}
    code, whole = styled.train(data, tmp_path, **flags, run="whole")
    assert code == 0
    for kimg in (0.08, 0.16):
        code, parts = styled.train(data, tmp_path, **{**flags, "total_kimg": kimg}, run="parts")
        assert code == 0
    assert_same_state(whole, parts, 160, SCORED)
    end = tiny.weights(whole, 160)
    for name in ("extra/ada_p", "extra/path_length_mean", "g/mapping/average"):
        assert np.any(end[name]), name


# Against the official program


class Given:
    """Draws of what a reference file gives."""

    def __init__(self, z, directions, maps):
        self.count = self.batch = len(z)
        self._given, self._maps = {"latents": z, "directions": directions}, maps

    def fold_in(self, purpose):
        return self

    def normal(self, purpose, shape=()):
        return self._given[purpose]

    def noise(self, purpose, shapes):
        return self._maps


@pytest.mark.parametrize(
    ("official", "name"),
    [
        ("Gmain", "update_generator"),
        ("Greg", "regularise_path_length"),
        ("Dmain", "update_discriminator"),
        ("Dreg", "regularise_r1"),
    ],
)
def test_gradients_of_the_phases_are_the_official_ones(official, name, monkeypatch):
    arrays = read_arrays(reference("stylegan2"))
    networks = {}
    for player, kind in (("g", Generator), ("d", Discriminator)):
        weights = arrays.group(f"{player}/")
        networks[player] = kind(**arguments_of(weights), dtype="float64")
        networks[player].build()
        load_state_dict(networks[player], weights)
    found = {}
    monkeypatch.setattr(
        stylegan2, "apply_gradients", lambda state, optimizer, gradients, lr: found.update(gradients) or 0.0
    )
    mean = tf.Variable(arrays["pl/pl_mean_before"], dtype=tf.float32)
    state = types.SimpleNamespace(**networks, g_optimizer=None, d_optimizer=None, loss_scale=1.0, scales_loss=False)
    state.extra = {stylegan2.PATH_MEAN: mean}
    variant = stylegan2.StyleGan2Variant(3.7, 2.0, 0.0, Augmentation(), 1, 1.0, 1.0)
    z, reals, directions = (
        tf.constant(np.moveaxis(arrays[key], 1, -1), tf.float64) for key in ("in/z", "in/real", "pl/y_raw")
    )
    layers = [
        layer
        for i, conv in enumerate(networks["g"].synthesis.convs)
        for layer in ([networks["g"].synthesis.first_convs[i - 1]] if i else []) + [conv]
    ]
    maps = [tf.tile(tf.reshape(layer.noise, (1, *layer.noise.shape[:2], 1)), (len(z), 1, 1, 1)) for layer in layers]
    PHASES[name].update(state, reals, tf.zeros([len(z)], tf.int32), Given(z, directions, maps), variant)
    player = networks[PLAYER[name]]
    got = to_official(player, {path: value.numpy() for path, value in found.items()})
    wanted = {key.partition("/")[2]: v for key, v in arrays.items() if key.startswith(f"phase_{official}/")}
    assert got.keys() <= wanted.keys() and len(got) > 10
    for key, value in wanted.items():
        if np.any(value):
            assert tiny.relative_l2(got[key], value) < 1e-3, key
    if name == "regularise_path_length":
        assert float(mean) == pytest.approx(float(arrays["phase_Greg_pl_mean_after"]), rel=1e-4)
