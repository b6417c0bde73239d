"""Precision, recall, density, coverage and realism against known answers and their definitions."""

import subprocess
import sys

import numpy as np
import pytest

from gan_tf.metrics import precision_recall as pr


def line(*points):
    return np.array(points, np.float32)[:, None]


def cloud(count, seed=0, width=8, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (count, width)).astype(np.float32)


def by_definition(real, fake, k):
    """Precision, recall, density, coverage from full matrices of directly summed distances."""

    def distances(x, y):
        return np.array([np.square(row - y).sum(axis=1) for row in x.astype(np.float64)])

    def radii(x):
        between = distances(x, x)
        np.fill_diagonal(between, np.inf)
        return np.sort(between, axis=1)[:, k - 1]

    between = distances(real, fake)
    in_real, in_fake = between <= radii(real)[:, None], between <= radii(fake)
    return in_real.any(0).mean(), in_fake.any(1).mean(), in_real.sum() / (k * len(fake)), in_real.any(1).mean()


def measured(real, fake, k):
    return *pr.precision_recall(real, fake, k), *pr.density_coverage(real, fake, k)


def test_radius_is_the_distance_to_the_kth_other_point():
    points = line(0, 1, 3, 7)
    np.testing.assert_allclose(pr.squared_radii(points, 1), [1, 1, 4, 16], rtol=1e-12)
    np.testing.assert_allclose(pr.squared_radii(points, 2), [9, 4, 9, 36], rtol=1e-12)
    np.testing.assert_allclose(pr.squared_radii(points, 3), [49, 36, 16, 49], rtol=1e-12)


def test_points_on_a_line():
    real, fake = line(0, 1, 2, 10), line(1.5, 2.5, 3.5, 100)
    # Radii of the reals 1, 1, 1, 8: 1.5 and 2.5 are in the balls of 2 (and 1), 2.5 and 3.5 in that of 10.
    # Radii of the fakes 1, 1, 1, 96.5: 1 and 2 are within 1 of 1.5, and 10 is within 96.5 of 100.
    assert pr.precision_recall(real, fake, k=1) == (0.75, 0.75)
    # Real balls contain: 0 none, 1 {1.5}, 2 {1.5, 2.5}, 10 {2.5, 3.5}.
    assert pr.density_coverage(real, fake, k=1) == (5 / 4, 3 / 4)


def test_a_distance_equal_to_the_radius_is_inside():
    real, fake = line(0, 1, 5, 6), line(2, 20, 22, 24)
    assert pr.precision_recall(real, fake, k=1) == (0.25, 1)
    assert pr.density_coverage(real, fake, k=1) == (0.25, 0.25)
    assert pr.precision_recall(real, line(2.001, 20, 22, 24), k=1) == (0, 1)


def test_equal_sets_and_distant_sets():
    x = cloud(100)
    assert pr.precision_recall(x, x) == (1, 1)
    density, coverage = pr.density_coverage(x, x)
    assert coverage == 1 and density == pytest.approx(6 / 5)  # each ball contains its centre and k more
    assert measured(x, x + 1000, 3) == (0, 0, 0, 0)


def test_lost_modes_reduce_recall_and_outliers_precision():
    modes = np.concatenate([cloud(200), cloud(200, 1, shift=50)])
    one_mode = cloud(400, 2)
    precision, recall = pr.precision_recall(modes, one_mode)
    assert precision > 0.8 and recall < 0.55
    assert pr.precision_recall(one_mode, modes) == (recall, precision)
    assert pr.density_coverage(modes, one_mode)[1] < 0.55


def test_two_samples_of_one_distribution_have_the_expected_density_and_coverage():
    density, coverage = pr.density_coverage(cloud(2000), cloud(2000, 1), k=5)
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


def test_many_copies_of_one_row():
    fake = np.repeat(cloud(4), 500, axis=0)
    np.testing.assert_array_equal(pr.squared_radii(fake, 3), 0)
    real = cloud(50, 1)
    real[:4] = fake[::500]
    assert pr.precision_recall(real, fake) == (1, 4 / 50)


def test_blocks_order_and_memory_maps_change_nothing(monkeypatch, tmp_path):
    real, fake = cloud(130), cloud(90, 1)
    expected = measured(real, fake, 3)
    assert measured(real[::-1], np.roll(fake, 7, axis=0), 3) == pytest.approx(expected, abs=1e-15)
    mapped = np.memmap(tmp_path / "rows", np.float32, "w+", shape=real.shape)
    mapped[:] = real
    for rows, values in ((64, 2**24), (7, 1000), (2048, 130)):
        monkeypatch.setattr(pr, "BLOCK_ROWS", rows)
        monkeypatch.setattr(pr, "BLOCK_VALUES", values)
        assert measured(mapped, fake, 3) == expected


def test_rotation_and_scale_change_nothing():
    real, fake = cloud(200).astype(np.float64), cloud(200, 1, shift=0.5).astype(np.float64)
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(8, 8)))[0]
    assert measured(real @ rotation * 3 + 5, fake @ rotation * 3 + 5, 3) == measured(real, fake, 3)


def test_wrong_features_are_errors():
    x = cloud(5)
    for bad in (cloud(5, width=3), np.zeros(8), np.zeros((0, 8))):
        with pytest.raises(ValueError, match=r"\[N, F\]"):
            pr.precision_recall(x, bad)
    with pytest.raises(ValueError, match="k = 5 and 5 reals"):
        pr.density_coverage(x, x)
    with pytest.raises(ValueError, match="k = 3 and 5 reals, 3 fakes"):
        pr.precision_recall(x, x[:3])
    with pytest.raises(ValueError, match="finite"):
        pr.precision_recall(x, x * np.inf)
    pr.density_coverage(cloud(6), x[:1])  # one fake is enough here


@pytest.mark.slow
def test_memory_of_twenty_thousand_rows(tmp_path):
    program = f"""
import resource, numpy as np
from gan_tf.metrics.precision_recall import precision_recall
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


# Realism

POINTS = np.array([[0.0], [1.0], [3.0], [7.0]])  # distances to the nearest other point: 1, 1, 2, 4; median 1.5


def test_realism_on_a_line():
    fakes = np.array([[0.5], [2.0], [1.25], [5.0], [1.0]])
    np.testing.assert_allclose(pr.realism(pr.smaller_balls(POINTS, k=1), fakes), [2, 1, 4, 0.25, np.inf])


def test_realism_agrees_with_its_definition():
    random = np.random.default_rng(0)
    real, fake = random.standard_normal((600, 5)), 2 * random.standard_normal((300, 5))
    distances = np.linalg.norm(real[:, None] - real, axis=2)
    radii = np.sort(distances, axis=1)[:, 3]
    small = radii <= np.median(radii)
    expected = (radii[small] / np.linalg.norm(fake[:, None] - real[small], axis=2)).max(axis=1)
    np.testing.assert_allclose(pr.realism(pr.smaller_balls(real), fake), expected, rtol=1e-9)


def test_realism_of_near_copies_far_from_0():
    real = 1e4 + np.random.default_rng(0).standard_normal((20, 8))
    balls = pr.smaller_balls(real)
    copy = balls[0][:1]
    values = pr.realism(balls, np.concatenate([copy, copy + 1e-7, real.mean(0)[None]]))
    assert np.isinf(values[0]) and values[1] > 1e5 and values[2] < 10


def test_copies_of_a_duplicated_real_image_have_realism_0():
    real = np.concatenate([np.zeros((6, 2)), np.ones((1, 2))])
    assert pr.realism(pr.smaller_balls(real), np.zeros((1, 2)))[0] == 0
