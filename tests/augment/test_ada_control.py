import numpy as np
import pytest
import tensorflow as tf

from gan_tf.augment.ada_control import ADA_KIMG, ADA_MAX, INTERVAL, TARGET, adapted, sign_sum


def moved(p, r_t, images=100.0, count=64.0, **settings):
    return float(adapted(tf.constant(p), tf.constant(r_t * count), tf.constant(count), images, **settings))


def test_signs_are_counted():
    signs, count = sign_sum(tf.constant([[3.0], [0.1], [-7.0], [0.0]]))
    assert (float(signs), float(count)) == (1, 4)
    signs, count = sign_sum(tf.constant([[-1.0]], tf.bfloat16))
    assert (signs.dtype, float(signs), float(count)) == (tf.float32, -1, 1)


def test_p_follows_how_sure_the_discriminator_is():
    step = 100 / 500_000
    assert moved(0.3, 0.7) == pytest.approx(0.3 + step)
    assert moved(0.3, 0.5) == pytest.approx(0.3 - step)
    assert moved(0.3, 0.5, target=0.4) == pytest.approx(0.3 + step)
    assert moved(0.3, 0.7, ada_kimg=100.0) == pytest.approx(0.3 + 5 * step)
    assert moved(0.3, 0.5, target=0.5) == pytest.approx(0.3)


def test_p_stays_between_0_and_its_cap():
    assert moved(0.0, 0.1) == 0
    assert moved(ADA_MAX, 0.9) == pytest.approx(ADA_MAX)
    assert moved(0.8, 0.9, ada_max=1.0) > 0.8
    assert moved(0.8, 0.9, ada_max=0.5) == pytest.approx(0.5)  # lowered in the middle of a run


def test_without_logits_p_stays():
    assert float(adapted(0.4, tf.constant(0.0), tf.constant(0.0), 100.0)) == pytest.approx(0.4)


def test_a_sure_discriminator_moves_p_from_0_to_the_cap_in_the_official_time():
    """As a step does it: sums in variables, moved every few steps inside a compiled function."""
    batch = 1000
    p, signs, count = (tf.Variable(0.0) for _ in range(3))

    @tf.function
    def step(logits):
        for total, part in zip((signs, count), sign_sum(logits), strict=True):
            total.assign_add(part)

    @tf.function
    def move():
        p.assign(adapted(p, signs, count, batch * INTERVAL))
        signs.assign(0.0)
        count.assign(0.0)

    history = []
    for i in range(1, int(ADA_KIMG * 1000 / batch) + 1):
        step(tf.ones([8, 1]))
        if i % INTERVAL == 0:
            move()
            history.append(float(p))
    np.testing.assert_allclose(history[:3], np.array([1, 2, 3]) * 4 / 500, rtol=1e-5)
    assert history[99] == pytest.approx(ADA_MAX, abs=1e-4) and history[98] < ADA_MAX - 0.005
    assert history[-1] == pytest.approx(ADA_MAX)
    assert TARGET == 0.6
