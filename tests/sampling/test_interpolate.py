"""Paths through latents: keys, and continuity of speed and direction."""

import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.sampling.interpolate import sphere_path, straight_path


def keys_of(count, size=32, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def moves(path, loop):
    """Differences of consecutive points [F - 1, Z], with the step back to the first frame of a loop."""
    path = np.asarray(path, np.float64)
    return np.diff(np.concatenate([path, path[:2]]) if loop else path, axis=0)


def largest_turn(path, loop):
    """Largest angle between two consecutive moves, in degrees."""
    directions = unit(moves(path, loop))
    return np.degrees(np.arccos(np.sum(directions[1:] * directions[:-1], axis=1).clip(-1, 1))).max()


def largest_change_of_speed(path, loop):
    """Largest relative change of length from one move to the next."""
    speed = np.linalg.norm(moves(path, loop), axis=1)
    return np.abs(np.diff(speed)).max() / speed.mean()


def great_circles(keys, steps):
    """Slerp from key to key at constant speed, without the last key."""
    path = []
    for a, b in zip(unit(keys), unit(keys)[1:], strict=False):
        angle = np.arccos(a @ b)
        for t in np.arange(steps) / steps:
            path.append((np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle))
    return np.array(path)


@pytest.mark.parametrize("loop, frames", [(False, 31), (True, 40)])
def test_each_key_has_its_frame(loop, frames):
    keys = keys_of(4)
    path = sphere_path(keys, 10, loop)
    assert path.shape == (frames, 32) and path.dtype == np.float32
    np.testing.assert_allclose(path[::10][:4], keys, rtol=1e-4, atol=1e-5)


def test_two_keys_are_joined_by_slerp():
    keys = keys_of(2)
    path = sphere_path(keys, 12)
    np.testing.assert_allclose(unit(path), np.concatenate([great_circles(keys, 12), unit(keys[1:])]), atol=1e-4)
    lengths = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(lengths, np.linspace(*np.linalg.norm(keys, axis=1), 13), rtol=1e-3)
    path = sphere_path(np.array([[3.0, 0.0], [0.0, 3.0]]), 2)
    np.testing.assert_allclose(path, [[3, 0], [3 / 2**0.5, 3 / 2**0.5], [0, 3]], atol=1e-5)


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_direction_and_speed_are_continuous(loop, seed):
    """Doubling the frames halves both changes on a smooth curve, but not at a corner."""
    keys = keys_of(5, seed=seed)
    coarse, fine = (unit(sphere_path(keys, steps, loop)) for steps in (60, 120))
    assert largest_turn(coarse, loop) < 10
    assert 0.45 < largest_turn(fine, loop) / largest_turn(coarse, loop) < 0.55
    assert largest_change_of_speed(coarse, loop) < 0.05
    assert largest_change_of_speed(fine, loop) < 0.6 * largest_change_of_speed(coarse, loop)
    slerp = [largest_turn(great_circles(keys, steps), False) for steps in (60, 120)]
    assert slerp[0] > 60 and slerp[1] / slerp[0] > 0.95  # corners


def test_speed_is_nearly_constant():
    speed = np.linalg.norm(moves(unit(sphere_path(keys_of(6), 50, loop=True)), True), axis=1)
    assert speed.min() > 0.6 * speed.max()


def test_a_loop_of_two_keys_goes_back_and_forth_smoothly():
    keys = keys_of(2)
    path = sphere_path(keys, 40, loop=True)
    np.testing.assert_allclose(path[40], keys[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(path[1:40], path[:40:-1], rtol=1e-4, atol=1e-5)
    assert largest_change_of_speed(unit(path), True) < 0.15
    assert largest_change_of_speed(unit(sphere_path(keys, 80, loop=True)), True) < 0.08


def test_keys_on_a_sphere_give_a_path_on_it():
    keys = 5 * unit(keys_of(4))
    np.testing.assert_allclose(np.linalg.norm(sphere_path(keys, 20, loop=True), axis=1), 5, rtol=1e-5)


def test_straight_paths_pass_through_their_keys_smoothly():
    keys = keys_of(2)
    line = keys[:1] + np.linspace(0, 1, 11)[:, None] * (keys[1:] - keys[:1])
    np.testing.assert_allclose(straight_path(keys, 10), line, atol=1e-5)
    keys = 5 + 0.1 * keys_of(4)
    for loop in (False, True):
        turns = []
        for count in (30, 60):
            path = straight_path(keys, count, loop)
            assert len(path) == (4 * count if loop else 3 * count + 1)
            np.testing.assert_allclose(path[::count], keys, atol=1e-5)
            assert largest_change_of_speed(path, loop) < 0.1
            turns.append(largest_turn(path, loop))
        assert turns[1] < 0.6 * turns[0]


def test_keys_without_a_path_are_rejected():
    key = keys_of(1)[0]
    for path in (sphere_path, straight_path):
        with pytest.raises(UsageError, match="same latent"):
            path(np.stack([key, key]), 5)
    with pytest.raises(UsageError, match="opposite"):
        sphere_path(np.stack([key, -key]), 4)
