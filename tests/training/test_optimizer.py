"""Adam, compared with its definition and with Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_tf.training.optimizer import Adam

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


def test_weights_equal_those_of_keras():
    gradients = gradients_of(1.0)
    weights, _ = optimised(gradients)
    variables = {path: keras.Variable(np.ones(g.shape[1:], np.float32)) for path, g in gradients.items()}
    adam = keras.optimizers.Adam(LR, BETA1, BETA2, epsilon=1e-8)
    for i in range(STEPS):
        adam.apply([tf.constant(g[i]) for g in gradients.values()], list(variables.values()))
    for path, variable in variables.items():
        np.testing.assert_allclose(weights[path], variable.numpy(), rtol=1e-5)


def test_weights_without_a_gradient_do_not_change():
    weights, adam = optimised(gradients_of(1.0))
    np.testing.assert_array_equal(weights["unused"], np.ones(2))
    assert not adam.m["unused"].numpy().any()


def test_named_variables_are_steps_and_moments():
    _, adam = optimised(gradients_of(1.0))
    names = {f"{moment}/{path}" for moment in "mv" for path in ("a/kernel", "b", "unused")}
    assert adam.named_variables().keys() == {"steps", *names}
    assert adam.named_variables()["steps"].numpy() == STEPS
