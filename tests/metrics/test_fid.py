import time

import numpy as np
import pytest

from gan_tf.metrics.fid import frechet_distance, frechet_distance_of_features


def rotation(features, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(features, features)))[0]


def features(count, width, seed=0):
    """Rows whose variances fall over eight orders of magnitude, as Inception's do."""
    random = np.random.default_rng(seed)
    scales = np.exp(-np.arange(width) * 18 / width)
    return (random.normal(size=(count, width)) * scales) @ rotation(width) + random.normal(size=width) * 0.1


def by_gram_matrix(x, y):
    """The same distance from the rows themselves: the root's trace is the sum of singular values of X Y'."""
    a, b = x - x.mean(0), y - y.mean(0)
    shift = x.mean(0) - y.mean(0)
    m, n = len(a) - 1, len(b) - 1
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum() / np.sqrt(m * n)
    return shift @ shift + (a**2).sum() / m + (b**2).sum() / n - 2 * root


def test_gaussians_with_common_axes():
    a, b = np.array([4.0, 1, 0.25]), np.array([1.0, 9, 0])
    shift = np.array([1.0, -2, 2])
    turn = rotation(3)
    got = frechet_distance(turn @ shift, turn * a @ turn.T, np.zeros(3), turn * b @ turn.T)
    assert got == pytest.approx(9 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum(), rel=1e-12)


def test_two_by_two_covariances_that_do_not_commute():
    a, b = np.array([[2.0, 1], [1, 3]]), np.array([[1.0, -0.5], [-0.5, 4]])
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    want = np.trace(a) + np.trace(b) - 2 * root
    assert frechet_distance(np.zeros(2), a, np.zeros(2), b) == pytest.approx(want, rel=1e-13)


def test_one_dimension_and_no_spread_at_all():
    one = np.ones((1, 1))
    assert frechet_distance([3.0], 4 * one, [1.0], 9 * one) == pytest.approx(4 + 1)
    assert frechet_distance([3.0], 0 * one, [1.0], 9 * one) == pytest.approx(4 + 9)
    assert frechet_distance([3.0], 0 * one, [1.0], 0 * one) == pytest.approx(4)


@pytest.mark.parametrize(("m", "n"), [(400, 300), (20, 300), (20, 30), (2, 2)])
def test_rank_deficient_covariances_lose_no_digits(m, n):
    x, y = features(m, 100), features(n, 100, seed=1)
    got = frechet_distance_of_features(x, y)
    assert got == pytest.approx(by_gram_matrix(x, y), rel=1e-9)
    assert frechet_distance_of_features(y, x) == pytest.approx(got, rel=1e-12)


@pytest.mark.parametrize("count", [5, 50, 400])
def test_a_set_is_at_distance_0_from_itself_in_any_order(count):
    x = features(count, 100) * 10
    assert 0 <= frechet_distance_of_features(x, x) < 1e-10
    assert 0 <= frechet_distance_of_features(x, x[::-1]) < 1e-10


def test_turning_and_moving_both_sets_changes_nothing_and_scale_is_squared():
    x, y = features(40, 60), features(90, 60, seed=1)
    want = frechet_distance_of_features(x, y)
    turn = rotation(60, seed=5)
    assert frechet_distance_of_features(x @ turn + 3, y @ turn + 3) == pytest.approx(want, rel=1e-9)
    assert frechet_distance_of_features(5 * x, 5 * y) == pytest.approx(25 * want, rel=1e-9)


def test_dead_features_and_float32_rows():
    x, y = features(50, 30).astype(np.float32), features(70, 30, seed=1).astype(np.float32)
    x[:, :5] = y[:, :5] = 0
    assert frechet_distance_of_features(x, y) == pytest.approx(
        frechet_distance_of_features(x[:, 5:], y[:, 5:]), rel=1e-9
    )


def test_covariance_over_the_count():
    x, y = features(11, 3), features(21, 3, seed=1)
    shift = np.square(x.mean(0) - y.mean(0)).sum()
    unbiased, biased = (frechet_distance_of_features(x, x + 0 * y[:11], ddof) for ddof in (1, 0))
    assert max(unbiased, biased) < 1e-12
    far = frechet_distance_of_features(x, np.repeat(y.mean(0)[None], 21, 0), ddof=0)
    assert far == pytest.approx(shift + x.var(0).sum(), rel=1e-9)


def test_what_is_no_covariance_is_refused():
    good, zero = np.eye(3), np.zeros(3)
    swapped = np.eye(3)[[0, 2, 1]]  # eigenvalues 1, 1, -1
    for bad in (-good, swapped, np.diag([1.0, 1, -1e-3])):
        for pair in ((bad, good), (good, bad)):
            with pytest.raises(ValueError, match="negative eigenvalues"):
                frechet_distance(zero, pair[0], zero, pair[1])
    with pytest.raises(ValueError, match="symmetric"):
        frechet_distance(zero, np.triu(np.ones((3, 3))), zero, good)
    with pytest.raises(ValueError, match="finite"):
        frechet_distance(zero, good * np.nan, zero, good)
    with pytest.raises(ValueError, match=r"\(2,\)"):
        frechet_distance(zero, good, np.zeros(2), good)
    with pytest.raises(ValueError, match="got 1"):
        frechet_distance_of_features(features(1, 3), features(4, 3))
    with pytest.raises(ValueError):
        frechet_distance_of_features(features(4, 3), features(4, 2))


@pytest.mark.slow
def test_2048_features_take_seconds_whatever_the_rank():
    many, few = features(2500, 2048), features(100, 2048, seed=1)
    for x, y in ((many, few), (few, features(100, 2048, seed=2)), (many, features(2500, 2048, seed=1))):
        start = time.monotonic()
        got = frechet_distance_of_features(x, y)
        assert time.monotonic() - start < 60  # 4 on two cores of their own
        if len(y) < 2048:
            assert got == pytest.approx(by_gram_matrix(x, y), rel=1e-7)
    assert frechet_distance_of_features(few, few[::-1]) < 1e-9
