"""Metrics on features against definitions and known answers."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gan_tf.metrics import feature_metrics
from gan_tf.metrics.feature_metrics import (
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    mean_and_covariance,
    precision_recall,
    realism,
    smaller_balls,
    squared_mmd,
)

from .stubs import mapped


def cloud(count, seed=0, width=8):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def rotation(width, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


# Fréchet distance


@pytest.mark.parametrize("count", [2, 4096, 5000])
@pytest.mark.parametrize("ddof", [0, 1])
def test_mean_and_covariance_equal_numpys(count, ddof, tmp_path):
    x = mapped(tmp_path / "rows", cloud(count, width=7) @ np.random.default_rng(1).normal(size=(7, 7)))
    x[:, 2] = 0.1
    mean, covariance = mean_and_covariance(x, ddof)
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(covariance, np.cov(x, rowvar=False, ddof=ddof), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(covariance, covariance.T)
    assert np.abs(covariance[2]).max() < 1e-15  # a constant feature


def test_a_large_mean_loses_no_digits():
    small = np.random.default_rng(0).integers(-8, 9, (5000, 4)).astype(np.float64)
    mean, covariance = mean_and_covariance(small + 2.0**30)  # exact in float64
    np.testing.assert_allclose(covariance, np.cov(small, rowvar=False), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(mean - 2.0**30, small.mean(0), atol=1e-6)


def features(count, width, seed=0):
    """Rows whose variances fall over eight orders of magnitude, like those of Inception."""
    random = np.random.default_rng(seed)
    scales = np.exp(-np.arange(width) * 18 / width)
    return (random.normal(size=(count, width)) * scales) @ rotation(width) + random.normal(size=width) * 0.1


def fid(x, y):
    return frechet_distance(*mean_and_covariance(x), *mean_and_covariance(y))


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


@pytest.mark.parametrize(("m", "n"), [(400, 300), (20, 300), (20, 30), (2, 2)])
def test_rank_deficient_covariances_lose_no_digits(m, n):
    x, y = features(m, 100), features(n, 100, seed=1)
    distance = fid(x, y)
    assert distance == pytest.approx(by_gram_matrix(x, y), rel=1e-9)
    assert fid(y, x) == pytest.approx(distance, rel=1e-12)
    assert 0 <= fid(10 * x, 10 * x[::-1]) < 1e-10


# Kernel distance


def test_unbiased_estimator_equals_the_sums_of_its_definition():
    x, y = cloud(6), cloud(9, seed=1)

    def k(a, b):
        return (float(a.astype(np.float64) @ b.astype(np.float64)) / len(a) + 1) ** 3

    within = [sum(k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j) for s in (x, y)]
    between = sum(k(a, b) for a in x for b in y)
    expected = within[0] / (6 * 5) + within[1] / (9 * 8) - 2 * between / (6 * 9)
    assert squared_mmd(x, y) == pytest.approx(expected, rel=1e-12)


def test_mean_and_errors_over_the_subsets(monkeypatch):
    drawn = []

    def recorded(x, y):
        drawn.append((x, y))
        return float(len(drawn))

    monkeypatch.setattr(feature_metrics, "squared_mmd", recorded)
    real, fake = cloud(30), cloud(20, seed=1)
    result = kernel_distance(real, fake, subsets=4, rows=8, seed=5)
    assert result == (2.5, pytest.approx(1.25**0.5), pytest.approx((5 / 3) ** 0.5 / 2))
    for x, y in drawn:
        for rows, source in ((x, real), (y, fake)):
            assert len(np.unique(rows, axis=0)) == 8  # without replacement
            assert {tuple(row) for row in rows} <= {tuple(row) for row in source}
    assert (drawn[0][0] != drawn[1][0]).any()


def test_subsets_follow_the_seed_and_may_be_the_whole_set(tmp_path):
    real, fake = cloud(30), cloud(30, seed=1)
    mean, std, _ = kernel_distance(real, fake, 2, 30)
    assert mean == pytest.approx(squared_mmd(real, fake), rel=1e-12) and std == pytest.approx(0, abs=1e-12)
    result = kernel_distance(real, fake, 5, 10, seed=1)
    assert kernel_distance(mapped(tmp_path / "rows", real), fake, 5, 10, seed=1) == result
    assert kernel_distance(real, fake, 5, 10, seed=2) != result


# Inception Score


def one_hot(classes, count=1000):
    """Logits of images whose class is certain."""
    logits = np.full((len(classes), count), -1e4, np.float32)
    logits[np.arange(len(classes)), classes] = 0
    return logits


@pytest.mark.parametrize(
    ("logits", "splits", "score"),
    [
        (np.zeros((50, 1008), np.float32), 10, (1, 0)),
        (one_hot(np.arange(80) % 8), 10, (8, 0)),
        (one_hot(np.arange(80) % 8), 1, (8, 0)),
        (one_hot([0, 0, 0, 0, 0, 1, 2, 3, 4, 5]), 2, (3, 2)),  # runs of one class and of five
        (one_hot([0, 0, 0, 0, 0, 1, 2]), 3, (5 / 3, np.sqrt(8) / 3)),  # runs of 2, 2 and 3: scores 1, 1 and 3
    ],
)
def test_inception_score_of_certain_classes(logits, splits, score):
    assert inception_score(logits, splits) == pytest.approx(score)


def test_inception_score_by_hand():
    logits = np.log([[0.5, 0.5], [0.9, 0.1]])
    average = [0.7, 0.3]
    rows = [sum(p * np.log(p / q) for p, q in zip(row, average, strict=True)) for row in ([0.5, 0.5], [0.9, 0.1])]
    assert inception_score(logits + 100, splits=1) == pytest.approx((np.exp(np.mean(rows)), 0), rel=1e-12)


# Precision, recall, density, coverage


def line(*points):
    return np.array(points, np.float32)[:, None]


def by_definition(real, fake, k):
    """Precision, recall, density, coverage from full matrices of directly summed distances."""

    def radii(x):
        return np.sort(cdist(x, x, "sqeuclidean"), axis=1)[:, k]  # the first is the distance to itself

    between = cdist(real, fake, "sqeuclidean")
    in_real, in_fake = between <= radii(real)[:, None], between <= radii(fake)
    return in_real.any(0).mean(), in_fake.any(1).mean(), in_real.sum() / (k * len(fake)), in_real.any(1).mean()


def measured(real, fake, k):
    return *precision_recall(real, fake, k), *density_coverage(real, fake, k)


def test_points_on_a_line():
    real, fake = line(0, 1, 2, 10), line(1.5, 2.5, 3.5, 100)
    # Radii of the reals 1, 1, 1, 8: 1.5 and 2.5 are in the balls of 2 (and 1), 2.5 and 3.5 in that of 10.
    # Radii of the fakes 1, 1, 1, 96.5: 1 and 2 are within 1 of 1.5, and 10 is within 96.5 of 100.
    assert precision_recall(real, fake, k=1) == (0.75, 0.75)
    # Real balls contain: 0 none, 1 {1.5}, 2 {1.5, 2.5}, 10 {2.5, 3.5}.
    assert density_coverage(real, fake, k=1) == (5 / 4, 3 / 4)


def test_a_distance_equal_to_the_radius_is_inside():
    real = line(0, 1, 5, 6)
    assert measured(real, line(2, 20, 22, 24), 1) == (0.25, 1, 0.25, 0.25)
    assert precision_recall(real, line(2.001, 20, 22, 24), k=1) == (0, 1)


def test_equal_sets_and_distant_sets():
    x = cloud(100)
    assert measured(x, x, 5) == pytest.approx((1, 1, 6 / 5, 1))  # each ball contains its centre and k more
    assert measured(x, x + 1000, 3) == (0, 0, 0, 0)


def test_two_samples_of_one_distribution_have_the_expected_density_and_coverage():
    density, coverage = density_coverage(cloud(2000), cloud(2000, 1), k=5)
    assert density == pytest.approx(1, abs=0.1)
    assert coverage == pytest.approx(1 - 2**-5, abs=0.02)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_lattices_with_many_ties(k):
    random = np.random.default_rng(k)
    real, fake = random.integers(0, 4, (90, 4)), random.integers(0, 5, (70, 4))
    for offset in (0, 2**20):  # exact in float32, and far from 0
        result = measured((real + offset).astype(np.float32), (fake + offset).astype(np.float32), k)
        assert result == pytest.approx(by_definition(real, fake, k), abs=1e-15)


@pytest.mark.parametrize("width", [3, 40])
def test_random_clouds_and_copies_agree_with_full_matrices(width):
    real = cloud(150, 0, width)
    fake = np.concatenate([real[:20], real[:20], cloud(80, 1, width), np.nextafter(real[20:40], 9)])
    for k in (1, 3):
        assert measured(real, fake, k) == pytest.approx(by_definition(real, fake, k), abs=1e-15)


def test_blocks_order_and_memory_maps_change_nothing(monkeypatch, tmp_path):
    real, fake = cloud(130), cloud(90, 1)
    expected = measured(real, fake, 3)
    assert measured(real[::-1], np.roll(fake, 7, axis=0), 3) == pytest.approx(expected, abs=1e-15)
    real = mapped(tmp_path / "rows", real)
    for rows, values in ((64, 2**24), (7, 1000), (2048, 130)):
        monkeypatch.setattr(feature_metrics, "BLOCK_ROWS", rows)
        monkeypatch.setattr(feature_metrics, "BLOCK_VALUES", values)
        assert measured(real, fake, 3) == expected


@pytest.mark.slow
def test_memory_of_twenty_thousand_rows(tmp_path):
    program = f"""
import resource, numpy as np
from gan_tf.metrics.feature_metrics import precision_recall
random = np.random.default_rng(0)
sets = [np.memmap(r"{tmp_path}/" + name, np.float32, "w+", shape=(20_000, 256)) for name in "ab"]
for rows in sets:
    rows[:] = random.standard_normal(rows.shape, np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert min(precision_recall(*sets)) > 0.05
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(out) * 1024 < 1.2e9  # a full matrix of float64 would be 3.2e9


def test_values_that_are_not_finite_are_errors():
    x = cloud(6)
    for wrong in (x * np.inf, x * np.nan):
        for metric in (precision_recall, density_coverage, squared_mmd, fid):
            with pytest.raises(ValueError, match="finite"):
                metric(x, wrong)
        with pytest.raises(ValueError, match="finite"):
            inception_score(wrong, 1)


# Realism


def test_realism_on_a_line():
    balls = smaller_balls(np.array([[0.0], [1.0], [3.0], [7.0]]), k=1)  # radii 1, 1, 2, 4; median 1.5
    fakes = np.array([[0.5], [2.0], [1.25], [5.0], [1.0]])
    np.testing.assert_allclose(realism(balls, fakes), [2, 1, 4, 0.25, np.inf])


def test_realism_agrees_with_its_definition():
    random = np.random.default_rng(0)
    real, fake = random.standard_normal((600, 5)), 2 * random.standard_normal((300, 5))
    distances = np.linalg.norm(real[:, None] - real, axis=2)
    radii = np.sort(distances, axis=1)[:, 3]
    small = radii <= np.median(radii)
    expected = (radii[small] / np.linalg.norm(fake[:, None] - real[small], axis=2)).max(axis=1)
    np.testing.assert_allclose(realism(smaller_balls(real), fake), expected, rtol=1e-9)


def test_realism_of_near_copies_far_from_0_and_of_duplicates():
    real = 1e4 + np.random.default_rng(0).standard_normal((20, 8))
    balls = smaller_balls(real)
    copy = balls[0][:1]
    values = realism(balls, np.concatenate([copy, copy + 1e-7, real.mean(0)[None]]))
    assert np.isinf(values[0]) and values[1] > 1e5 and values[2] < 10
    duplicates = np.concatenate([np.zeros((6, 2)), np.ones((1, 2))])
    assert realism(smaller_balls(duplicates), np.zeros((1, 2)))[0] == 0
