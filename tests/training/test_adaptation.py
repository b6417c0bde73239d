"""ADA in training: changes of the augmentation probability p, in every family."""

import types

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.augment.choice import ADA_P
from gan_tf.config.settings import TrainConfig
from gan_tf.training import adaptation
from gan_tf.training.adaptation import SIGN, SIGN_SUM, STEPS, AdaSettings, update_probability
from tests.training import growing, styled, tiny

SETTINGS = AdaSettings(target=0.6, kimg=1.0, highest=0.7)
NAMES = (ADA_P, SIGN_SUM, STEPS, SIGN)


def state_at(p=0.0):
    """A state with ADA's scalars only."""
    state = types.SimpleNamespace(extra={name: tf.Variable(0.0) for name in NAMES})
    state.extra[ADA_P].assign(p)
    return state


def p_of(state):
    return float(state.extra[ADA_P].numpy())


def test_p_changes_every_fourth_step_in_proportion_to_the_images():
    state, values = state_at(), []
    for _ in range(8):
        update_probability(state, SETTINGS, tf.constant(0.9), 8)
        values.append(p_of(state))
    np.testing.assert_allclose(values, [0, 0, 0, 0.032, 0.032, 0.032, 0.032, 0.064], rtol=1e-6)
    assert state.extra[SIGN].numpy() == pytest.approx(0.9)
    for sign in (0.9, 0.9, 0.2, 0.2):  # 0.55 on average
        update_probability(state, SETTINGS, tf.constant(sign), 8)
    assert p_of(state) == pytest.approx(0.032) and state.extra[SIGN].numpy() == pytest.approx(0.55)


@pytest.mark.parametrize(("sign", "start", "end"), [(1.0, 0.69, 0.7), (-1.0, 0.01, 0.0)])
def test_p_stays_between_zero_and_ada_max(sign, start, end):
    state = state_at(start)
    for _ in range(12):
        update_probability(state, SETTINGS, tf.constant(sign), 8)
    assert p_of(state) == pytest.approx(end)


def test_p_changes_faster_with_init_from():
    config = {"model": "stylegan2", "loss": "logistic", "augment": "ada"}
    assert adaptation.ada_settings(TrainConfig(**config)).kimg == 500
    assert adaptation.ada_settings(TrainConfig(**config, init_from="x")).kimg == 100
    assert adaptation.ada_settings(TrainConfig(**config, init_from="x", ada_kimg=7.0)).kimg == 7
    assert adaptation.ada_settings(TrainConfig(**config | {"augment": "none"})) is None


ADA = {"augment": "ada", "augment_policy": "color", "ada_target": -0.99, "ada_kimg": 0.1}


@pytest.mark.parametrize("family", ["fastgan", "pggan", pytest.param("stylegan2", marks=pytest.mark.slow)])
def test_every_family_trains_with_ada(family):
    loss = {"loss": "logistic"} if family == "pggan" else {}  # the logits of its default loss are not centred at zero
    trainer = {"fastgan": tiny, "pggan": growing, "stylegan2": styled}[family].make_trainer(**ADA, **loss)
    trainer.state.extra[ADA_P].assign(0.4)
    assert tiny.all_finite(tiny.take_steps(trainer, 4))
    assert set(NAMES) <= set(trainer.state.extra)
    assert {f"extra/{name}" for name in NAMES} <= trainer.state.named_variables().keys()
    change = 4 * trainer.stage.batch_size / 100
    sign = adaptation.ada_scalars(trainer.state)["augment/sign"]
    assert -1 <= sign <= 1
    assert p_of(trainer.state) == pytest.approx(0.4 + (change if sign > -0.99 else -change))
    assert set(adaptation.ada_scalars(trainer.state)) == {"augment/p", "augment/sign"}


def test_reaching_ada_max_is_logged_once(tmp_path, capsys):
    data = tiny.images_file(tmp_path)
    code, run = tiny.train(data, tmp_path, **ADA | {"ada_kimg": 0.02, "ada_max": 0.3, "total_kimg": 0.048})
    assert code == 0
    assert capsys.readouterr().out.count("--ada-max 0.3") == 1
    assert any('"augment/p"' in line for line in tiny.records(run, "train"))
