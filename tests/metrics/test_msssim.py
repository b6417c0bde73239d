import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.metrics import msssim
from gan_tf.metrics.choice import choice


def blobs(count, side=64, seed=0, grain=8):
    """Smooth random images, uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, side // grain, side // grain, 3))
    fine = coarse.repeat(grain, 1).repeat(grain, 2).astype(np.float64)
    for axis in (1, 2):
        for _ in range(4):
            fine = (fine + np.roll(fine, 1, axis) + np.roll(fine, -1, axis)) / 3
    return fine.astype(np.uint8)


def by_definition(a, b):
    """One pair, a pixel at a time."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    product = 1.0
    for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
        size = min(11, len(x))
        places = np.arange(size) - (size - 1) / 2
        taps = np.exp(-(places**2) / (2 * (1.5 * size / 11) ** 2))
        window = np.outer(taps, taps) / taps.sum() ** 2
        values = []
        for i in range(len(x) - size + 1):
            for j in range(len(x) - size + 1):
                p, q = (np.moveaxis(z[i : i + size, j : j + size], 2, 0) for z in (x, y))
                mean_p, mean_q = ((window * z).sum((1, 2)) for z in (p, q))
                var_p, var_q = ((window * z * z).sum((1, 2)) - m**2 for z, m in ((p, mean_p), (q, mean_q)))
                both = (window * p * q).sum((1, 2)) - mean_p * mean_q
                value = (2 * both + 58.5225) / (var_p + var_q + 58.5225)
                if scale == 4:
                    value *= (2 * mean_p * mean_q + 6.5025) / (mean_p**2 + mean_q**2 + 6.5025)
                values.append(value)
        product *= max(np.mean(values), 0) ** weight
        if scale < 4:
            x, y = (z.reshape(len(z) // 2, 2, len(z) // 2, 2, 3).mean((1, 3)) for z in (x, y))
    return product


@pytest.mark.parametrize("side", [32, 48, 64])
def test_pairs_agree_with_the_definition(side):
    a = blobs(2, side, grain=16)
    b = (0.7 * a + 0.3 * blobs(2, side, seed=1, grain=16)).astype(np.uint8)
    got = msssim.ms_ssim(a, b)
    np.testing.assert_allclose(got, [by_definition(*pair) for pair in zip(a, b, strict=True)], rtol=1e-9)
    assert (got > 0.1).all() and (got < 1).all()


def test_an_image_is_1_with_itself_and_less_with_noise():
    images = blobs(3)
    np.testing.assert_array_equal(msssim.ms_ssim(images, images), 1)
    random = np.random.default_rng(0)
    noise = [np.clip(images + random.normal(0, s, images.shape), 0, 255).astype(np.uint8) for s in (5, 50)]
    little, much = (msssim.ms_ssim(images, noisy) for noisy in noise)
    assert (much < little).all() and (little < 1).all()


def test_order_within_a_pair_and_size_of_the_pieces_change_nothing(monkeypatch):
    a, b = blobs(9), blobs(9, grain=16)
    want = msssim.ms_ssim(a, b)
    np.testing.assert_allclose(msssim.ms_ssim(b, a), want, rtol=1e-12)
    monkeypatch.setattr(msssim, "CHUNK_PIXELS", 1)
    np.testing.assert_allclose(msssim.ms_ssim(a, b), want, rtol=1e-12)
    monkeypatch.setattr(msssim, "TILE", 5)
    np.testing.assert_allclose(msssim.ms_ssim(a, b), want, rtol=1e-12)


def test_windows_shrink_with_the_scales():
    assert msssim.windows(256) == [11] * 5
    assert msssim.windows(128) == [11, 11, 11, 11, 8]
    assert msssim.windows(64) == [11, 11, 11, 8, 4]
    for side in (16, 40, 100):
        with pytest.raises(UsageError, match=f"multiple of 16 and >= 32, got {side}"):
            msssim.windows(side)


def test_a_set_that_is_gone_through_as_the_reals_are_scores_0():
    images = blobs(10)
    side = msssim.prepare(images, 16, 3)
    assert msssim.measure(side, [images[choice(10, 16, 3)]]) == 0
    assert side.protocol["pairs"] == 8 and side.protocol["windows"] == [11, 11, 11, 8, 4]


def test_less_variety_scores_above_0_and_parts_are_given():
    real = blobs(40)
    side = msssim.prepare(real, 40, 0)
    copies = np.repeat(blobs(1, seed=5), 40, axis=0)
    found = msssim.scores(side, [copies])
    assert found == {"difference": 1 - side.similarity, "fakes": 1.0, "reals": side.similarity}
    alike = msssim.measure(side, [blobs(40, seed=1)])
    assert abs(alike) < 0.1 < found["difference"]


def test_cuts_of_the_sequence_change_nothing_and_an_odd_one_out_is_left():
    images = blobs(11)
    want = np.mean([msssim.ms_ssim(images[[i]], images[[i + 1]])[0] for i in range(0, 10, 2)])
    for cuts in ([11], [1, 4, 5, 11], [3, 11]):
        chunks = np.split(images, cuts[:-1])
        assert msssim.similarity_of(chunks, 11, 64) == pytest.approx(want, rel=1e-12)


def test_wrong_images_are_named():
    with pytest.raises(UsageError, match="at least 2, got 1"):
        msssim.prepare(blobs(1), 10, 0)
    with pytest.raises(ValueError, match="at least 2, got 1"):
        msssim.prepare(blobs(3), 1, 0)
    side = msssim.prepare(blobs(3), 4, 0)
    for count, got in ((3, "3"), (5, "more")):
        with pytest.raises(ValueError, match=f"4 images, got {got}"):
            msssim.measure(side, [blobs(count)])
    with pytest.raises(ValueError, match="uint8"):
        msssim.measure(side, [blobs(4).astype(np.float32)])
    with pytest.raises(ValueError, match="uint8"):
        msssim.ms_ssim(blobs(2), blobs(3))
