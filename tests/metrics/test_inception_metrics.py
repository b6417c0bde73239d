"""Mean and covariance, Fréchet distance, kernel distance and Inception Score against definitions and known answers."""

import time

import numpy as np
import pytest

from gan_tf.metrics import inception_metrics
from gan_tf.metrics.inception_metrics import (
    frechet_distance,
    inception_score,
    kernel_distance,
    mean_and_covariance,
    squared_mmd,
)


def correlated(count, features=7, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(count, features)) @ random.normal(size=(features, features))


# Mean and covariance


@pytest.mark.parametrize("count", [2, 4096, 5000])
@pytest.mark.parametrize("ddof", [0, 1])
def test_mean_and_covariance_equal_numpys(count, ddof, tmp_path):
    x = np.memmap(tmp_path / "rows", np.float64, "w+", shape=(count, 7))
    x[:] = correlated(count)
    mean, covariance = mean_and_covariance(x, ddof)
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(covariance, np.cov(x, rowvar=False, ddof=ddof), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(covariance, covariance.T)


def test_a_large_mean_loses_no_digits():
    small = np.random.default_rng(0).integers(-8, 9, (5000, 4)).astype(np.float64)
    mean, covariance = mean_and_covariance(small + 2.0**30)  # exact in float64
    np.testing.assert_allclose(covariance, np.cov(small, rowvar=False), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(mean - 2.0**30, small.mean(0), atol=1e-6)


def test_a_constant_feature_has_variance_0():
    x = correlated(2000)
    x[:, 2] = 0.1
    assert np.abs(mean_and_covariance(x)[1][2]).max() < 1e-15


def test_too_few_rows_and_nan_are_errors():
    with pytest.raises(ValueError, match="got 1"):
        mean_and_covariance(correlated(1))
    with pytest.raises(ValueError, match="finite"):
        mean_and_covariance(np.full((3, 2), np.nan))


# Fréchet distance


def rotation(features, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(features, features)))[0]


def features(count, width, seed=0):
    """Rows whose variances fall over eight orders of magnitude, like those of Inception."""
    random = np.random.default_rng(seed)
    scales = np.exp(-np.arange(width) * 18 / width)
    return (random.normal(size=(count, width)) * scales) @ rotation(width) + random.normal(size=width) * 0.1


def fid(x, y, ddof=1):
    return frechet_distance(*mean_and_covariance(x, ddof), *mean_and_covariance(y, ddof))


def by_gram_matrix(x, y):
    """The same distance from the rows: the trace of the root is the sum of the singular values of X Y'."""
    a, b = x - x.mean(0), y - y.mean(0)
    shift = x.mean(0) - y.mean(0)
    m, n = len(a) - 1, len(b) - 1
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum() / np.sqrt(m * n)
    return shift @ shift + (a**2).sum() / m + (b**2).sum() / n - 2 * root


def test_gaussians_with_common_axes():
    a, b = np.array([4.0, 1, 0.25]), np.array([1.0, 9, 0])
    shift = np.array([1.0, -2, 2])
    axes = rotation(3)
    distance = frechet_distance(axes @ shift, axes * a @ axes.T, np.zeros(3), axes * b @ axes.T)
    assert distance == pytest.approx(9 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum(), rel=1e-12)


def test_two_by_two_covariances_that_do_not_commute():
    a, b = np.array([[2.0, 1], [1, 3]]), np.array([[1.0, -0.5], [-0.5, 4]])
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    expected = np.trace(a) + np.trace(b) - 2 * root
    assert frechet_distance(np.zeros(2), a, np.zeros(2), b) == pytest.approx(expected, rel=1e-13)


def test_one_dimension_and_zero_variance():
    one = np.ones((1, 1))
    assert frechet_distance([3.0], 4 * one, [1.0], 9 * one) == pytest.approx(4 + 1)
    assert frechet_distance([3.0], 0 * one, [1.0], 9 * one) == pytest.approx(4 + 9)
    assert frechet_distance([3.0], 0 * one, [1.0], 0 * one) == pytest.approx(4)


@pytest.mark.parametrize(("m", "n"), [(400, 300), (20, 300), (20, 30), (2, 2)])
def test_rank_deficient_covariances_lose_no_digits(m, n):
    x, y = features(m, 100), features(n, 100, seed=1)
    distance = fid(x, y)
    assert distance == pytest.approx(by_gram_matrix(x, y), rel=1e-9)
    assert fid(y, x) == pytest.approx(distance, rel=1e-12)


@pytest.mark.parametrize("count", [5, 50, 400])
def test_the_distance_of_a_set_to_itself_is_0(count):
    x = features(count, 100) * 10
    assert 0 <= fid(x, x) < 1e-10
    assert 0 <= fid(x, x[::-1]) < 1e-10


def test_rotation_and_shift_change_nothing_and_scale_is_squared():
    x, y = features(40, 60), features(90, 60, seed=1)
    distance = fid(x, y)
    axes = rotation(60, seed=5)
    assert fid(x @ axes + 3, y @ axes + 3) == pytest.approx(distance, rel=1e-9)
    assert fid(5 * x, 5 * y) == pytest.approx(25 * distance, rel=1e-9)


@pytest.mark.slow
def test_2048_features_take_seconds_at_any_rank():
    many, few = features(2500, 2048), features(100, 2048, seed=1)
    for x, y in ((many, few), (few, features(100, 2048, seed=2)), (many, features(2500, 2048, seed=1))):
        start = time.monotonic()
        distance = fid(x, y)
        assert time.monotonic() - start < 60  # 4 s on two idle cores
        if len(y) < 2048:
            assert distance == pytest.approx(by_gram_matrix(x, y), rel=1e-7)
    assert fid(few, few[::-1]) < 1e-9


# Kernel distance


def normal(count, width=5, seed=0):
    return np.random.default_rng(seed).normal(0.3, 1, (count, width)).astype(np.float32)


def test_unbiased_estimator_equals_the_sums_of_its_definition():
    x, y = normal(6), normal(9, seed=1)

    def k(a, b):
        return (float(a.astype(np.float64) @ b.astype(np.float64)) / len(a) + 1) ** 3

    within = [sum(k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j) for s in (x, y)]
    between = sum(k(a, b) for a in x for b in y)
    expected = within[0] / (6 * 5) + within[1] / (9 * 8) - 2 * between / (6 * 9)
    assert squared_mmd(x, y) == pytest.approx(expected, rel=1e-12)


def test_kernels_of_single_points():
    x, y = np.array([[1.0], [1.0]]), np.array([[2.0], [2.0]])
    assert squared_mmd(x, y) == 2**3 + 5**3 - 2 * 3**3
    assert squared_mmd(x, x) == 0


def test_equal_distributions_score_0_on_average_and_others_higher():
    values = [squared_mmd(normal(50, seed=2 * i), normal(50, seed=2 * i + 1)) for i in range(200)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 3 * np.std(values) / 200**0.5
    assert squared_mmd(normal(200), normal(200, seed=1) + 1) > 20 * np.std(values)


def test_order_and_rotation_do_not_change_the_kernel_distance():
    x, y = normal(30), normal(20, seed=1)
    distance = squared_mmd(x, y)
    assert squared_mmd(x[::-1], y[::-1]) == pytest.approx(distance, rel=1e-12)
    assert squared_mmd(y, x) == pytest.approx(distance, rel=1e-12)
    assert squared_mmd(x @ rotation(5), y @ rotation(5)) == pytest.approx(distance, rel=1e-12)


def test_mean_and_errors_over_the_subsets(monkeypatch):
    drawn = []

    def recorded(x, y):
        drawn.append((x, y))
        return float(len(drawn))

    monkeypatch.setattr(inception_metrics, "squared_mmd", recorded)
    real, fake = normal(30), normal(20, seed=1)
    result = kernel_distance(real, fake, subsets=4, rows=8, seed=5)
    assert result == (2.5, pytest.approx(1.25**0.5), pytest.approx((5 / 3) ** 0.5 / 2))
    for x, y in drawn:
        for rows, source in ((x, real), (y, fake)):
            assert len(np.unique(rows, axis=0)) == 8  # without replacement
            assert {tuple(row) for row in rows} <= {tuple(row) for row in source}
    assert (drawn[0][0] != drawn[1][0]).any()


def test_subsets_follow_the_seed_and_may_be_the_whole_set(tmp_path):
    real, fake = normal(30), normal(30, seed=1)
    mean, std, _ = kernel_distance(real, fake, 2, 30)
    assert mean == pytest.approx(squared_mmd(real, fake), rel=1e-12) and std == pytest.approx(0, abs=1e-12)
    mapped = np.memmap(tmp_path / "rows", np.float32, "w+", shape=real.shape)
    mapped[:] = real
    result = kernel_distance(real, fake, 5, 10, seed=1)
    assert kernel_distance(mapped, fake, 5, 10, seed=1) == result != kernel_distance(real, fake, 5, 10, seed=2)


def test_wrong_features_of_the_kernel_distance_are_errors():
    x = normal(6)
    with pytest.raises(ValueError, match=r"\(6, 5\) and \(6, 4\)"):
        squared_mmd(x, normal(6, 4))
    with pytest.raises(ValueError, match="finite"):
        squared_mmd(x, x * np.nan)


# Inception Score


def one_hot(classes, count=1000):
    """Logits of images whose class is certain."""
    logits = np.full((len(classes), count), -1e4, np.float32)
    logits[np.arange(len(classes)), classes] = 0
    return logits


def test_equal_probabilities_score_1():
    assert inception_score(np.zeros((50, 1008), np.float32)) == pytest.approx((1, 0))
    assert inception_score(np.tile(np.random.default_rng(0).normal(size=7), (50, 1))) == pytest.approx((1, 0))


def test_certain_and_evenly_spread_classes_score_the_number_of_classes():
    assert inception_score(one_hot(np.arange(80) % 8), splits=10) == pytest.approx((8, 0))
    assert inception_score(one_hot(np.arange(80) % 8), splits=1) == pytest.approx((8, 0))


def test_probabilities_by_hand():
    logits = np.log([[0.5, 0.5], [0.9, 0.1]])
    average = [0.7, 0.3]
    rows = [sum(p * np.log(p / q) for p, q in zip(row, average, strict=True)) for row in ([0.5, 0.5], [0.9, 0.1])]
    assert inception_score(logits + 100, splits=1) == pytest.approx((np.exp(np.mean(rows)), 0), rel=1e-12)


def test_parts_are_runs_of_the_sequence():
    classes = np.array([0, 0, 0, 0, 0, 1, 2, 3, 4, 5])
    assert inception_score(one_hot(classes), splits=2) == pytest.approx((3, 2))  # parts score 1 and 5
    assert inception_score(one_hot(classes[:7]), splits=3)[0] == pytest.approx((1 + 1 + 3) / 3)  # runs of 2, 2 and 3


def test_infinite_logits_are_an_error():
    with pytest.raises(ValueError, match="finite"):
        inception_score(np.full((3, 4), np.inf), 1)
