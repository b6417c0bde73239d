import numpy as np
import pytest

from gan_tf.metrics import pixel_space


def noise(count=3, side=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.mark.parametrize("side", [1, 8, 16, 60, 256])
def test_windows_average_and_stand_evenly(side):
    weights = pixel_space.windows(side)
    assert weights.shape == (16, side)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-6)


def test_vectors_are_the_windows_means_without_mean_and_contrast():
    images = noise()
    weights = pixel_space.windows(32).astype(np.float64)
    small = np.einsum("yh,nhwc,xw->nyxc", weights, images, weights)
    small -= small.mean((1, 2), keepdims=True)
    small /= np.sqrt(np.square(small).mean((1, 2, 3), keepdims=True) + pixel_space.FAINT**2)
    np.testing.assert_allclose(pixel_space.pixel_vectors(images), small.transpose(0, 3, 1, 2).reshape(3, -1), atol=1e-4)


def test_cast_and_contrast_are_not_seen():
    images = noise(side=64) // 2
    want = pixel_space.pixel_vectors(images)
    other = images + np.array([40, 80, 0], np.uint8)
    np.testing.assert_allclose(pixel_space.pixel_vectors(other), want, atol=1e-4)
    strong = np.kron(noise(side=4) // 2, np.ones((1, 16, 16, 1), np.uint8))
    np.testing.assert_allclose(pixel_space.pixel_vectors(strong * 2), pixel_space.pixel_vectors(strong), rtol=0.03)


def test_flat_images_are_zero():
    assert not pixel_space.pixel_vectors(np.full((2, 32, 32, 3), 200, np.uint8)).round(4).any()


def test_mirrored_vectors_are_those_of_mirrored_images():
    images = noise(side=48)
    want = pixel_space.pixel_vectors(images[:, :, ::-1])
    np.testing.assert_allclose(pixel_space.mirrored_vectors(pixel_space.pixel_vectors(images)), want, atol=1e-4)


def test_pieces_do_not_change_vectors(monkeypatch):
    images = noise(20)
    want = pixel_space.pixel_vectors(images)
    monkeypatch.setattr(pixel_space, "CHUNK_PIXELS", 3000)
    np.testing.assert_allclose(pixel_space.pixel_vectors(images), want, atol=1e-5)


def soft(side=64, shift=(0, 0), zoom=1.0):
    """uint8 images [3, side, side, 3] of two soft spots, moved by `shift` and zoomed about the centre."""
    y, x = ((np.mgrid[:side, :side] + 0.5 - np.reshape(shift, (2, 1, 1))) / side - 0.5) / zoom + 0.5
    values = []
    for centre in (0.4, 0.5, 0.6):
        spot = np.exp(-((y - centre) ** 2 + (x - 0.5) ** 2) / 0.03) + np.exp(
            -((y - 0.3) ** 2 + (x - centre) ** 2) / 0.02
        )
        values.append(np.stack([spot, 1 - spot, spot**2], -1) * 100 + 20)
    return np.rint(values).astype(np.uint8)


@pytest.mark.parametrize("change", [{"shift": (2, 0)}, {"shift": (0, -3)}, {"shift": (2, 2)}, {"zoom": 1.06}])
def test_small_moves_and_zooms_are_aligned(change):
    a, b = pixel_space.pixel_vectors(soft()), pixel_space.pixel_vectors(soft(**change))
    straight = np.linalg.norm(a - b, axis=1)
    assert (pixel_space.aligned_distance(a, b) < 0.35 * straight).all()


def test_aligned_distance_is_a_distance_like_any_other():
    a, b = pixel_space.pixel_vectors(noise(20)), pixel_space.pixel_vectors(noise(20, seed=1))
    between = pixel_space.aligned_distance(a, b)
    assert not pixel_space.aligned_distance(a, a).any()
    np.testing.assert_allclose(pixel_space.aligned_distance(b, a), between, rtol=1e-5)
    straight = np.linalg.norm(a - b, axis=1)
    assert (between <= straight * (1 + 1e-6)).all() and (between > 0.8 * straight).all()  # 3 of 768 directions are free
    flat = np.zeros_like(a)
    np.testing.assert_allclose(pixel_space.aligned_distance(flat, flat), 0)


def test_a_move_too_far_is_not_excused():
    far = pixel_space.pixel_vectors(soft(shift=(12, 0)))
    near = pixel_space.pixel_vectors(soft())
    assert (pixel_space.aligned_distance(near, far) > 0.5 * np.linalg.norm(near - far, axis=1)).all()


def test_a_distance_does_not_depend_on_the_pairs_beside_it():
    """Else a run that is continued, and looks neighbours up in other groups, would measure other shares of copies."""
    random = np.random.default_rng(0)
    a, b = (pixel_space.pixel_vectors(random.integers(0, 256, (65, 32, 32, 3), np.uint8)) for _ in range(2))
    together = pixel_space.aligned_distance(a, b)
    for step in (1, 3, 64):
        apart = [pixel_space.aligned_distance(a[i : i + step], b[i : i + step]) for i in range(0, 65, step)]
        np.testing.assert_array_equal(np.concatenate(apart), together)
