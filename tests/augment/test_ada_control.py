import numpy as np
import pytest
import tensorflow as tf

from gan_tf.augment.ada_control import ADA_KIMG, INTERVAL, adapted

USUAL = {"target": 0.6, "ada_kimg": ADA_KIMG, "ada_max": 0.8}


def moved(p, r_t, images=100.0, count=4.0, **settings):
    signs = tf.constant(r_t * count)
    return float(adapted(tf.constant(p), signs, tf.constant(count), images, **{**USUAL, **settings}))


def test_p_follows_how_sure_the_discriminator_is():
    step = 100 / 500_000
    assert moved(0.3, 0.7) == pytest.approx(0.3 + step)
    assert moved(0.3, 0.5) == pytest.approx(0.3 - step)
    assert moved(0.3, 0.5, target=0.4) == pytest.approx(0.3 + step)
    assert moved(0.3, 0.7, ada_kimg=100.0) == pytest.approx(0.3 + 5 * step)
    assert moved(0.3, 0.5, target=0.5) == pytest.approx(0.3)


def test_p_stays_between_0_and_its_cap():
    assert moved(0.0, 0.1) == 0
    assert moved(0.8, 0.9) == pytest.approx(0.8)
    assert moved(0.8, 0.9, ada_max=1.0) > 0.8
    assert moved(0.8, 0.9, ada_max=0.5) == pytest.approx(0.5)  # lowered in the middle of a run


def test_without_logits_p_stays():
    assert float(adapted(0.4, tf.constant(0.0), tf.constant(0.0), 100.0, **USUAL)) == pytest.approx(0.4)


def test_a_sure_discriminator_moves_p_from_0_to_the_cap_in_the_official_time():
    batch, p, history = 1000, 0.0, []
    for _ in range(int(ADA_KIMG * 1000 / batch / INTERVAL)):
        p = moved(p, 1.0, images=batch * INTERVAL)
        history.append(p)
    np.testing.assert_allclose(history[:3], np.array([1, 2, 3]) * 4 / 500, rtol=1e-5)
    assert history[99] == pytest.approx(0.8, abs=1e-4) and history[98] < 0.8 - 0.005
    assert history[-1] == pytest.approx(0.8)
