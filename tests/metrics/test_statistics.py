import numpy as np
import pytest

from gan_tf.metrics import statistics
from gan_tf.metrics.statistics import Moments


def rows(count, features=7, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(count, features)) @ random.normal(size=(features, features))


def moments_of(*batches):
    moments = Moments()
    for batch in batches:
        moments.add(batch)
    return moments


@pytest.mark.parametrize("count", [2, 1024, 2500])
@pytest.mark.parametrize("ddof", [0, 1])
def test_mean_and_covariance_are_those_of_numpy(count, ddof):
    x = rows(count)
    moments = moments_of(x[:1], x[1:])
    assert moments.count == count
    np.testing.assert_allclose(moments.mean, x.mean(0), rtol=1e-13, atol=1e-14)
    covariance = moments.covariance(ddof)
    np.testing.assert_allclose(covariance, np.cov(x, rowvar=False, ddof=ddof), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(covariance, covariance.T)


def test_cuts_change_no_bit_and_reading_in_between_neither():
    x = rows(3000).astype(np.float32)
    whole, cut = moments_of(x), Moments()
    for first in range(0, 3000, 77):
        cut.add(x[first : first + 77])
        _ = cut.mean
    np.testing.assert_array_equal(cut.mean, whole.mean)
    np.testing.assert_array_equal(cut.covariance(), whole.covariance())


def test_a_mean_far_from_0_costs_no_digits():
    small = np.random.default_rng(0).integers(-8, 9, (5000, 4)).astype(np.float64)
    far = moments_of(small + 2.0**30)  # exact in float64
    np.testing.assert_allclose(far.covariance(), np.cov(small, rowvar=False), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(far.mean - 2.0**30, small.mean(0), atol=1e-6)


def test_a_constant_feature_has_variance_0():
    x = rows(2000)
    x[:, 2] = 0.1
    assert np.abs(moments_of(x).covariance()[2]).max() < 1e-15


@pytest.mark.parametrize("first", [0, 1, 700, 1100])
def test_merged_moments_are_those_of_all_rows(first):
    x = rows(2300) + 100
    one, two, all_rows = moments_of(x[:first]), moments_of(x[first:]), moments_of(x)
    one.merge(two)
    assert (one.count, two.count) == (2300, 2300 - first)
    np.testing.assert_allclose(one.mean, all_rows.mean, rtol=1e-13)
    np.testing.assert_allclose(one.covariance(), all_rows.covariance(), rtol=1e-11)
    two.merge(Moments())
    assert two.count == 2300 - first
    one.add(x[:5])  # goes on
    np.testing.assert_allclose(one.mean, np.concatenate([x, x[:5]]).mean(0), rtol=1e-13)


def test_state_is_kept_by_a_file(tmp_path):
    x = rows(1500)
    moments = moments_of(x)
    np.savez(tmp_path / "moments.npz", **moments.state())
    with np.load(tmp_path / "moments.npz") as stored:
        again = Moments.from_state(stored)
    assert again.count == 1500
    np.testing.assert_array_equal(again.mean, moments.mean)
    np.testing.assert_array_equal(again.covariance(), moments.covariance())
    again.add(x[:10])
    np.testing.assert_allclose(again.mean, np.concatenate([x, x[:10]]).mean(0), rtol=1e-12)
    assert moments.count == 1500


def test_blocks_of_another_size_give_the_same_up_to_rounding(monkeypatch):
    x = rows(300)
    want = moments_of(x).covariance()
    monkeypatch.setattr(statistics, "BLOCK_ROWS", 7)
    np.testing.assert_allclose(moments_of(x).covariance(), want, rtol=1e-12, atol=1e-14)


def test_wrong_rows_are_refused():
    moments = moments_of(rows(3))
    for bad, said in (
        (rows(3, 6), r"\[n, 7\], got \(3, 6\)"),
        (np.zeros(7), r"\(7,\)"),
        (np.full((1, 7), np.nan), "finite"),
    ):
        with pytest.raises(ValueError, match=said):
            moments.add(bad)
    with pytest.raises(ValueError, match="6 features"):
        moments.merge(moments_of(rows(3, 6)))
    assert moments.count == 3
    with pytest.raises(ValueError, match="more than 1 rows, got 1"):
        moments_of(rows(1)).covariance()
    for read in (lambda m: m.mean, Moments.state, Moments.covariance):
        with pytest.raises(ValueError):
            read(Moments())


def test_moments_of_a_whole_set_take_every_row(monkeypatch):
    monkeypatch.setattr(statistics, "READ_ROWS", 4)
    rows = np.random.default_rng(0).normal(size=(10, 3))
    moments = statistics.moments_of(rows)
    assert moments.count == 10
    np.testing.assert_allclose(moments.mean, rows.mean(0))
    np.testing.assert_allclose(moments.covariance(), np.cov(rows, rowvar=False))
