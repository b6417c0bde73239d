import types

import numpy as np
import pytest

from gan_tf.metrics import ppl


def squared(a, b):
    """A distance that, like LPIPS, grows with the square of small changes."""
    return np.square(np.asarray(a, np.float64) - b).sum((1, 2, 3))


def path_length(images_of_latents, steps, lpips=squared, latent_size=12, mapping=None, on_batch=lambda done: None):
    sampler = types.SimpleNamespace(images_of_latents=images_of_latents, latent_size=latent_size, mapping=mapping)
    return ppl.perceptual_path_length(sampler, lpips, steps, on_batch)


def linear(latents, seeds):
    """Images [n, 2, 2, 3] that are the latents [n, 12]."""
    return latents.reshape(-1, 2, 2, 3)


def test_a_linear_generator_in_w_scores_the_mean_squared_distance_of_the_ends():
    mean, error = path_length(lambda *args: 3 * linear(*args), 4000, mapping=lambda z, seeds: z)
    # |3 (b - a)|^2 is 9 * 2 * chi^2 with 12 degrees of freedom, here without its lowest and highest hundredth.
    tails = np.sort(18 * np.random.default_rng(0).chisquare(12, 400_000))
    kept = tails[4000:-4000]
    assert mean == pytest.approx(kept.mean(), abs=4 * error)
    assert error == pytest.approx(kept.std() / np.sqrt(3921), rel=0.05)


def test_a_generator_on_the_sphere_scores_the_squared_angle():
    """With images of unit length, a step by the share e of an angle w is e * w long."""

    def images_of(latents, seeds):
        latents = latents.astype(np.float64)
        return linear(latents / np.linalg.norm(latents, axis=1, keepdims=True), seeds).astype(np.float32)

    ends = np.stack([np.random.default_rng([0, i]).standard_normal((2, 12)) for i in range(500)])
    unit = ends / np.linalg.norm(ends, axis=2, keepdims=True)
    expected, _ = ppl.trimmed_mean(np.arccos((unit[:, 0] * unit[:, 1]).sum(1)) ** 2)
    assert path_length(images_of, 500)[0] == pytest.approx(expected, rel=1e-3)


def test_both_ends_have_the_same_noise_and_every_step_another(monkeypatch):
    monkeypatch.setattr(ppl, "BATCH_SIZE", 4)
    calls = []

    def images_of(latents, seeds):
        calls.append((latents, seeds))
        return np.stack([np.full((4, 4, 3), np.random.default_rng(int(seed)).normal()) for seed in seeds])

    assert path_length(images_of, 10)[0] == 0  # the image depends on the noise only
    for (here, seeds), (there, same) in zip(calls[::2], calls[1::2], strict=True):
        np.testing.assert_array_equal(seeds, same)
        assert here.dtype == there.dtype == np.float32
        assert 0 < np.abs(here - there).max() < 2e-3
    np.testing.assert_array_equal(np.concatenate([seeds for _, seeds in calls[::2]]), np.arange(10))


def test_batches_do_not_change_the_score(monkeypatch):
    whole, done = path_length(linear, 50), []
    monkeypatch.setattr(ppl, "BATCH_SIZE", 7)
    assert path_length(linear, 50, on_batch=done.append) == pytest.approx(whole, rel=1e-6)
    assert done == [7, 14, 21, 28, 35, 42, 49, 50]


def test_large_images_are_averaged_down_to_256():
    def recorded(a, b):
        assert a.shape == (1, 256, 256, 3)
        np.testing.assert_array_equal(a[0, :, 0, 0], np.arange(0, 512, 2) + 0.5)
        return np.ones(1)

    rows = np.broadcast_to(np.arange(512.0)[:, None, None], (512, 512, 3))
    assert path_length(lambda z, seeds: rows[None], 1, recorded)[0] == pytest.approx(1e8)


def test_slerp_keeps_lengths_on_the_sphere():
    a, b = np.array([[2.0, 0], [3, 0], [1, 0]]), np.array([[0.0, 2], [3, 0], [0, 3]])
    t = np.full(3, 1 / 3)
    expected = [[2 * np.cos(np.pi / 6), 2 * np.sin(np.pi / 6)], [3, 0], [5 / 3 * np.cos(np.pi / 6), 5 / 3 * 0.5]]
    np.testing.assert_allclose(ppl.slerp(a, b, t), expected, atol=1e-12)
    shaped = np.arange(12.0).reshape(2, 2, 3)  # w of several layers
    np.testing.assert_allclose(
        ppl.lerp(shaped, shaped + 4, np.array([0.25, 0.5])) - shaped, [[[1] * 3] * 2, [[2] * 3] * 2]
    )


def test_a_hundredth_is_left_out_at_each_end():
    lengths = np.random.default_rng(0).permutation([*range(999), 1e12])
    assert ppl.trimmed_mean(lengths)[0] == pytest.approx(499.5)
    assert ppl.trimmed_mean(np.array([4.0])) == (4, 0)
    with pytest.raises(ValueError, match="finite"):
        ppl.trimmed_mean(np.array([4.0, np.nan]))
