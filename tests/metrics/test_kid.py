import numpy as np
import pytest

from gan_tf.metrics import kid


def features(count, width=5, seed=0):
    return np.random.default_rng(seed).normal(0.3, 1, (count, width)).astype(np.float32)


def by_definition(x, y, kind):
    """Sums over pairs, one at a time."""

    def k(a, b):
        return (float(a.astype(np.float64) @ b.astype(np.float64)) / len(a) + 1) ** 3

    m, n = len(x), len(y)
    same = kind == "biased"
    within = [sum(k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if same or i != j) for s in (x, y)]
    skip = kind == "u-statistic"
    between = sum(k(x[i], y[j]) for i in range(m) for j in range(n) if not (skip and i == j))
    pairs = [len(s) * (len(s) - (not same)) for s in (x, y)]
    return within[0] / pairs[0] + within[1] / pairs[1] - 2 * between / (m * (n - 1) if skip else m * n)


@pytest.mark.parametrize(("kind", "m", "n"), [("unbiased", 6, 9), ("biased", 6, 9), ("u-statistic", 7, 7)])
def test_estimators_are_the_sums_they_are_defined_by(kind, m, n):
    x, y = features(m), features(n, seed=1)
    assert kid.mmd2(x, y, kind) == pytest.approx(by_definition(x, y, kind), rel=1e-12)


def test_single_points_tell_their_kernels():
    x, y = np.array([[1.0], [1.0]]), np.array([[2.0], [2.0]])
    assert kid.mmd2(x, y) == 2**3 + 5**3 - 2 * 3**3
    assert kid.mmd2(x, x) == 0


def test_equal_distributions_score_0_on_average_and_others_above():
    values = [kid.mmd2(features(50, seed=2 * i), features(50, seed=2 * i + 1)) for i in range(200)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 3 * np.std(values) / 200**0.5
    biased = [kid.mmd2(features(50, seed=2 * i), features(50, seed=2 * i + 1), "biased") for i in range(20)]
    assert min(biased) > 0
    assert kid.mmd2(features(200), features(200, seed=1) + 1) > 20 * np.std(values)


def test_a_set_with_itself_is_below_0_unbiased_and_0_as_u_statistic():
    x = features(40)
    assert kid.mmd2(x, x) < 0
    assert kid.mmd2(x, x, "u-statistic") == pytest.approx(0, abs=1e-12)
    assert kid.mmd2(x, x, "biased") == pytest.approx(0, abs=1e-12)


def test_order_and_rotation_change_nothing():
    x, y = features(30), features(20, seed=1)
    want = kid.mmd2(x, y)
    assert kid.mmd2(x[::-1], y[::-1]) == pytest.approx(want, rel=1e-12)
    assert kid.mmd2(y, x) == pytest.approx(want, rel=1e-12)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(5, 5)))[0]
    assert kid.mmd2(x @ turn, y @ turn) == pytest.approx(want, rel=1e-12)


def test_mean_and_errors_are_those_of_the_subsets(monkeypatch):
    drawn = []

    def recorded(x, y):
        drawn.append((x, y))
        return float(len(drawn))

    monkeypatch.setattr(kid, "mmd2", recorded)
    real, fake = features(30), features(20, seed=1)
    got = kid.kernel_distance(real, fake, subsets=4, subset_size=8, seed=5)
    assert got == (2.5, pytest.approx(1.25**0.5), pytest.approx((5 / 3) ** 0.5 / 2))
    for x, y in drawn:
        for rows, source in ((x, real), (y, fake)):
            assert len(np.unique(rows, axis=0)) == 8  # without replacement
            assert {tuple(row) for row in rows} <= {tuple(row) for row in source}
    assert (drawn[0][0] != drawn[1][0]).any()


def test_subsets_of_everything_are_the_whole_and_follow_the_seed(tmp_path):
    real, fake = features(30), features(30, seed=1)
    whole = kid.kernel_distance(real, fake, subsets=2)  # all 30
    assert whole.mean == pytest.approx(kid.mmd2(real, fake), rel=1e-12)
    assert whole.std == pytest.approx(0, abs=1e-12)
    mapped = np.memmap(tmp_path / "rows", np.float32, "w+", shape=real.shape)
    mapped[:] = real
    one = kid.kernel_distance(real, fake, 5, 10, seed=1)
    assert kid.kernel_distance(mapped, fake, 5, 10, seed=1) == one
    assert kid.kernel_distance(real, fake, 5, 10, seed=2).mean != one.mean


def test_size_of_a_subset_where_none_is_given():
    assert kid.default_subset_size(5000, 400) == 400
    assert kid.default_subset_size(5000, 50_000) == 1000


def test_one_subset_has_no_standard_error():
    assert np.isnan(kid.kernel_distance(features(9), features(9, seed=1), subsets=1).standard_error)


def test_wrong_arguments_are_named():
    x = features(6)
    for subsets, size in ((0, 3), (2, 7), (2, 1)):
        with pytest.raises(ValueError, match=f"got {subsets} of {size}"):
            kid.kernel_distance(x, x, subsets, size)
    with pytest.raises(ValueError, match=r"\(6, 5\) and \(6, 4\)"):
        kid.mmd2(x, features(6, 4))
    with pytest.raises(ValueError, match="m = n only"):
        kid.mmd2(x, features(5), "u-statistic")
    with pytest.raises(ValueError, match="one of unbiased"):
        kid.mmd2(x, x, "linear")
    with pytest.raises(ValueError, match="finite"):
        kid.mmd2(x, x * np.nan)
