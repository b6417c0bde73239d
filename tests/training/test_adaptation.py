"""ADA in training: changes of the augmentation probability p, in every family."""

import types

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.augment.choice import ADA_P
from gan_tf.config.settings import TrainConfig
from gan_tf.training.adaptation import SIGN, ada_scalars, extra_names, update_probability
from tests.training import tiny

ADA = {"augment": "ada", "augment_policy": "color", "ada_target": -0.99, "ada_kimg": 0.1}
SETTINGS = {"model": "stylegan2", "loss": "logistic", "augment": "ada"}


def values_of_p(signs, start=0.0, **settings):
    """p after each step with these mean signs, for batches of 8; and the last r_t."""
    config = TrainConfig(**SETTINGS, **settings)
    state = types.SimpleNamespace(extra={name: tf.Variable(0.0) for name in extra_names(config)})
    state.extra[ADA_P].assign(start)
    values = []
    for sign in signs:
        update_probability(state, config, tf.constant(sign), 8)
        values.append(float(state.extra[ADA_P].numpy()))
    return values, float(state.extra[SIGN].numpy())


def test_p_changes_every_fourth_step_in_proportion_to_the_images():
    p, r = values_of_p([0.9] * 8, ada_kimg=1.0)
    np.testing.assert_allclose(p, [0, 0, 0, 0.032, 0.032, 0.032, 0.032, 0.064], rtol=1e-6)
    assert r == pytest.approx(0.9)
    p, r = values_of_p([0.9, 0.9, 0.2, 0.2], start=0.064, ada_kimg=1.0)  # 0.55 on average
    assert p[-1] == pytest.approx(0.032) and r == pytest.approx(0.55)


@pytest.mark.parametrize(("sign", "start", "end"), [(1.0, 0.69, 0.7), (-1.0, 0.01, 0.0)])
def test_p_stays_between_zero_and_ada_max(sign, start, end):
    assert values_of_p([sign] * 12, start, ada_kimg=1.0, ada_max=0.7)[0][-1] == pytest.approx(end)


@pytest.mark.parametrize(
    ("settings", "kimg"), [({}, 500), ({"init_from": "x"}, 100), ({"init_from": "x", "ada_kimg": 7.0}, 7)]
)
def test_p_changes_faster_with_init_from(settings, kimg):
    assert values_of_p([1.0] * 4, **settings)[0][-1] == pytest.approx(0.032 / kimg)


@pytest.mark.parametrize("family", ["fastgan", "pggan", pytest.param("stylegan2", marks=pytest.mark.slow)])
def test_every_family_trains_with_ada(family):
    loss = {"loss": "logistic"} if family == "pggan" else {}  # the logits of its default loss are not centred at zero
    trainer = tiny.make_trainer(model=family, **ADA, **loss)
    trainer.state.extra[ADA_P].assign(0.4)
    assert tiny.all_finite(tiny.take_steps(trainer, 4))
    assert {f"extra/{name}" for name in extra_names(trainer.config)} <= trainer.state.named_variables().keys()
    p, sign = ada_scalars(trainer.state).values()
    change = 4 * trainer.stage.batch_size / 100
    assert -1 <= sign <= 1 and p == pytest.approx(0.4 + (change if sign > -0.99 else -change))


def test_reaching_ada_max_is_logged_once(dataset, tmp_path, capsys):
    run = tiny.trained(dataset, tmp_path, **ADA | {"ada_kimg": 0.02, "ada_max": 0.3, "total_kimg": 0.048})
    assert capsys.readouterr().out.count("--ada-max 0.3") == 1
    assert any("augment/p" in record for record in tiny.records(run, "train"))
