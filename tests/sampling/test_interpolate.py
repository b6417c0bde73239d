"""Walks through latents: where they lead, and that neither speed nor direction jumps anywhere."""

import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.sampling.interpolate import sphere_path, straight_path


def keys_of(count, size=32, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def moves(walk, loop):
    """Steps from frame to frame on the unit sphere, [F - 1, Z], with the step back to the first frame of a loop."""
    points = unit(np.asarray(walk, np.float64))
    if loop:
        points = np.concatenate([points, points[:2]])
    return np.diff(points, axis=0)


def largest_turn(walk, loop):
    """Largest angle between two steps that follow each other, in degrees."""
    way = unit(moves(walk, loop))
    return np.degrees(np.arccos(np.sum(way[1:] * way[:-1], axis=1).clip(-1, 1))).max()


def largest_change_of_speed(walk, loop):
    """Largest relative change of the length of a step from one to the next."""
    speed = np.linalg.norm(moves(walk, loop), axis=1)
    return np.abs(np.diff(speed)).max() / speed.mean()


def great_circles(keys, steps):
    """What is not wanted: from key to key at constant speed."""
    points = unit(keys)
    walk = []
    for a, b in zip(points, points[1:], strict=False):
        angle = np.arccos(a @ b)
        for t in np.arange(steps) / steps:
            walk.append((np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle))
    return np.array(walk)


@pytest.mark.parametrize("loop, frames", [(False, 31), (True, 40)])
def test_every_key_has_its_frame(loop, frames):
    keys = keys_of(4)
    walk = sphere_path(keys, 10, loop)
    assert walk.shape == (frames, 32) and walk.dtype == np.float32
    np.testing.assert_allclose(walk[::10][:4], keys, rtol=1e-4, atol=1e-5)


def test_two_keys_are_joined_by_the_great_circle_at_constant_speed():
    keys = keys_of(2)
    walk = sphere_path(keys, 12)
    wanted = np.concatenate([great_circles(keys, 12), unit(keys[1:])])
    np.testing.assert_allclose(unit(walk), wanted, atol=1e-4)
    lengths = np.linalg.norm(walk, axis=1)
    np.testing.assert_allclose(lengths, np.linspace(*np.linalg.norm(keys, axis=1), 13), rtol=1e-3)


def test_the_middle_of_two_orthogonal_keys_is_known():
    walk = sphere_path(np.array([[3.0, 0.0], [0.0, 3.0]]), 2)
    np.testing.assert_allclose(walk, [[3, 0], [3 / 2**0.5, 3 / 2**0.5], [0, 3]], atol=1e-5)


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_direction_and_speed_have_no_corner(loop, seed):
    """Of a smooth curve both changes halve where the frames are twice as many; at a corner they would stay."""
    keys = keys_of(5, seed=seed)
    coarse, fine = (sphere_path(keys, steps, loop) for steps in (60, 120))
    assert largest_turn(coarse, loop) < 10  # where the turn at a key, of 60 degrees and more, is spread over frames
    assert 0.45 < largest_turn(fine, loop) / largest_turn(coarse, loop) < 0.55
    assert largest_change_of_speed(coarse, loop) < 0.05
    assert largest_change_of_speed(fine, loop) < 0.6 * largest_change_of_speed(coarse, loop)


def test_great_circles_would_have_corners():
    keys = keys_of(5)
    coarse, fine = (largest_turn(great_circles(keys, steps), False) for steps in (60, 120))
    assert coarse > 60 and fine / coarse > 0.95


def test_it_never_stops():
    walk = sphere_path(keys_of(6), 50, loop=True)
    speed = np.linalg.norm(moves(walk, True), axis=1)
    assert speed.min() > 0.6 * speed.max()


def test_a_loop_of_two_keys_goes_to_and_fro_without_a_jump_in_speed():
    keys = keys_of(2)
    walk = sphere_path(keys, 40, loop=True)
    np.testing.assert_allclose(walk[40], keys[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(walk[1:40], walk[:40:-1], rtol=1e-4, atol=1e-5)
    assert largest_change_of_speed(walk, True) < 0.15
    assert largest_change_of_speed(sphere_path(keys, 80, loop=True), True) < 0.08


def test_it_stays_on_the_sphere():
    keys = 5 * unit(keys_of(4))
    np.testing.assert_allclose(np.linalg.norm(sphere_path(keys, 20, loop=True), axis=1), 5, rtol=1e-5)


def test_keys_without_a_way_between_them_are_refused():
    keys = keys_of(2)
    with pytest.raises(UsageError, match="same latent"):
        sphere_path(np.stack([keys[0], keys[0]]), 5)
    with pytest.raises(UsageError, match="opposite"):
        sphere_path(np.stack([keys[0], -keys[0]]), 4)
    with pytest.raises(ValueError, match="two keys"):
        sphere_path(keys[:1], 5)


def test_a_straight_walk_is_even_and_meets_its_keys():
    keys = keys_of(2)
    walk = straight_path(keys, 10)
    np.testing.assert_allclose(walk, keys[:1] + np.linspace(0, 1, 11)[:, None] * (keys[1:] - keys[:1]), atol=1e-5)
    keys = 5 + 0.1 * keys_of(4)
    for loop in (False, True):
        largest = []
        for count in (30, 60):
            walk = straight_path(keys, count, loop)
            assert len(walk) == (4 * count if loop else 3 * count + 1)
            np.testing.assert_allclose(walk[::count], keys, atol=1e-5)
            steps = np.diff(np.concatenate([walk, walk[:2]]) if loop else walk, axis=0)
            lengths = np.linalg.norm(steps, axis=1)
            assert np.abs(np.diff(lengths)).max() < 0.1 * lengths.mean()
            turns = np.arccos(np.sum(unit(steps[1:]) * unit(steps[:-1]), axis=1).clip(-1, 1))
            largest.append(turns.max())
        assert largest[1] < 0.6 * largest[0]  # a corner would stay as sharp


def test_a_straight_walk_between_equal_points_is_refused():
    with pytest.raises(UsageError, match="the same latent"):
        straight_path(np.ones((2, 8)), 5)
