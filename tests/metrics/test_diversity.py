"""MS-SSIM against its definition, LPIPS diversity, and properties of both scores."""

import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.metrics import diversity
from gan_tf.metrics.image_sets import random_order

from .stubs import Lpips, blobs


def by_definition(a, b):
    """One pair, window by window."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    product = 1.0
    for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
        size = min(11, len(x))
        positions = np.arange(size) - (size - 1) / 2
        taps = np.exp(-(positions**2) / (2 * (1.5 * size / 11) ** 2))
        window = np.outer(taps, taps) / taps.sum() ** 2
        p, q = (np.lib.stride_tricks.sliding_window_view(z, window.shape, (0, 1)) for z in (x, y))
        mean_p, mean_q, pp, qq, pq = ((window * z).sum((-2, -1)) for z in (p, q, p * p, q * q, p * q))
        values = (2 * (pq - mean_p * mean_q) + 58.5225) / (pp - mean_p**2 + qq - mean_q**2 + 58.5225)
        if scale == 4:
            values *= (2 * mean_p * mean_q + 6.5025) / (mean_p**2 + mean_q**2 + 6.5025)
        product *= max(values.mean(), 0) ** weight
        if scale < 4:
            x, y = (z.reshape(len(z) // 2, 2, len(z) // 2, 2, 3).mean((1, 3)) for z in (x, y))
    return product


@pytest.mark.parametrize(("side", "chunk"), [(32, diversity.CHUNK_PIXELS), (48, diversity.CHUNK_PIXELS), (64, 1)])
def test_pairs_agree_with_the_definition(monkeypatch, side, chunk):
    monkeypatch.setattr(diversity, "CHUNK_PIXELS", chunk)
    a = blobs(2, side)
    b = (0.7 * a + 0.3 * blobs(2, side, seed=1)).astype(np.uint8)
    values = diversity.ms_ssim(a, b)
    np.testing.assert_allclose(values, [by_definition(*pair) for pair in zip(a, b, strict=True)], rtol=1e-9)
    assert (values > 0.1).all() and (values < 1).all()


def test_windows_shrink_with_the_scales():
    assert diversity.window_sizes((256, 256)) == [11] * 5
    assert diversity.window_sizes((128, 192)) == [11, 11, 11, 11, 8]
    assert diversity.window_sizes((96, 64)) == [11, 11, 11, 8, 4]
    for side in (16, 40, 100):
        with pytest.raises(UsageError, match=f"multiples of 16 and >= 32, got 64x{side}"):
            diversity.window_sizes((side, 64))


def test_other_shapes_are_compared_alike_in_both_directions():
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), np.uint8)
    turned = images.swapaxes(1, 2)
    np.testing.assert_allclose(
        diversity.ms_ssim(images[:2], images[2:]), diversity.ms_ssim(turned[:2], turned[2:]), rtol=1e-9
    )


def test_a_set_in_the_order_of_the_reals_scores_0():
    images = blobs(10)
    result = diversity.measure_ms_ssim(diversity.prepare_ms_ssim(images, 16), [images[random_order(10, 16)]])
    assert result.value == 0
    assert result.protocol["pairs"] == 8 and result.protocol["windows"] == [11, 11, 11, 8, 4]


def test_less_variety_has_a_positive_difference():
    reals = diversity.prepare_ms_ssim(blobs(40), 40)
    copies = diversity.measure_ms_ssim(reals, [np.repeat(blobs(1, seed=5), 40, axis=0)])
    assert copies.parts == {"difference": 1 - reals[0], "fakes": 1.0, "reals": reals[0]}
    assert diversity.measure_ms_ssim(reals, [blobs(40, seed=1)]).value < 0.1 < copies.value


@pytest.mark.parametrize("cuts", [[], [1, 4, 5], [3], range(1, 11)])
def test_chunks_change_nothing_and_an_odd_last_image_is_not_used(cuts):
    images = blobs(11)
    pairs = images[0:10:2], images[1:10:2]
    chunks = np.split(images, list(cuts))
    assert diversity.mean_similarity(chunks) == pytest.approx(diversity.ms_ssim(*pairs).mean(), rel=1e-12)
    expected = Lpips()(*(np.float32(side) / 127.5 - 1 for side in pairs))
    np.testing.assert_allclose(diversity.lpips_distances(chunks, Lpips()), expected, rtol=1e-6)


def grey(values):
    """uint8 images of one grey each."""
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), 4, 4, 3))


def test_lpips_diversity_is_the_mean_over_disjoint_pairs():
    real = grey([0] * 50 + [255] * 50)  # in order, all pairs would be equal
    reals = diversity.prepare_lpips(real, 100, Lpips())
    result = diversity.measure_lpips(reals, [grey([0, 255, 10, 10, 0, 51])])
    distances = np.array([4, 0, 0.16])
    assert result.value == pytest.approx(distances.mean(), rel=1e-6)
    assert result.parts["standard_error"] == pytest.approx(distances.std(ddof=1) / np.sqrt(3), rel=1e-6)
    assert 1 < result.parts["reals"] < 3 and result.protocol == {"pairs": 3, "network": "squares"}
    assert diversity.measure_lpips(reals, [grey([7] * 40)]).value == 0
    assert diversity.measure_lpips(reals, [grey([0, 255])])[:2] == (4, {"standard_error": 0, "reals": reals[0]})
