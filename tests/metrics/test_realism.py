"""Realism against answers worked out by hand, and against its definition written as a loop."""

import numpy as np
import pytest

from gan_tf.metrics.realism import mean_rank, realism

LINE = np.array([[0.0], [1.0], [3.0], [7.0]])  # to the nearest other: 1, 1, 2, 4; the median is 1.5


def test_known_answers():
    fakes = np.array([[0.5], [2.0], [1.25], [5.0], [1.0]])
    np.testing.assert_allclose(realism(LINE, fakes, k=1), [2, 1, 4, 0.25, np.inf])


def test_the_definition():
    random = np.random.default_rng(0)
    real, fake = random.standard_normal((600, 5)), 2 * random.standard_normal((300, 5))
    distances = np.linalg.norm(real[:, None] - real, axis=2)
    radii = np.sort(distances, axis=1)[:, 3]
    small = radii <= np.median(radii)
    wanted = (radii[small] / np.linalg.norm(fake[:, None] - real[small], axis=2)).max(axis=1)
    np.testing.assert_allclose(realism(real, fake), wanted, rtol=1e-9)


def test_nearly_a_copy_is_not_lost_in_rounding():
    real = 1e4 + np.random.default_rng(0).standard_normal((20, 8))
    fake = np.concatenate([real[:1], real[:1] + 1e-7])
    found = realism(real, np.concatenate([fake, real.mean(0)[None]]))
    kept = np.isinf(found[0])
    assert kept or found[0] < np.inf
    assert found[1] > 1e5 if kept else True
    assert found[2] < 10


def test_reals_that_stand_there_many_times():
    real = np.concatenate([np.zeros((6, 2)), np.ones((1, 2))])
    assert realism(real, np.zeros((1, 2)))[0] == 0


def test_wrong_shapes():
    with pytest.raises(ValueError, match="need features"):
        realism(LINE, np.zeros((3, 2)), k=1)
    with pytest.raises(ValueError, match="need features"):
        realism(LINE, LINE, k=4)


def test_mean_rank():
    scores = {"a": [0.1, 0.9, 0.5], "b": [3.0, 2.0, 1.0]}
    np.testing.assert_array_equal(mean_rank(scores), [2, 1.5, 2.5])
    np.testing.assert_array_equal(mean_rank({"a": [np.inf, -np.inf, 0]}), [1, 3, 2])
