"""Smooth walks through latents.

Latents are normal draws: nearly all of them lie close to a sphere, and a generator knows little of what is inside. So a
walk stays on the sphere (slerp), while the length goes from one latent's to the next's. Great circles from key to key
at constant speed would turn sharply at every key, which is seen as a jerk. Here one cubic spline leads through all
keys and is projected to the sphere: its direction turns without a corner. Between two keys alone it is their circle.
A monotone curve of the length walked then gives every key its frame, with a speed that never jumps.

Behind a mapping network there is no sphere: there the spline itself is the way, between two keys alone a straight line.

Source: Shoemake 1985 (slerp); White 2016 (Sampling generative networks), section 2.1: why not in a straight line.
"""

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from gan_tf.errors import UsageError

FINE = 256  # points at which a stretch between two keys is measured
NEAR_CENTRE = 1e-3  # of the sphere's radius: a curve through there has no direction


def sphere_walk(keys, steps, loop=False):
    """Latents along a walk through keys.

    Args:
        keys: [K, Z], K >= 2.
        steps: frames from a key to the next, so that key i is frame i * steps.
        loop: come back to the first key. Through three keys or more the walk is then smooth there too; between two it
            goes to and fro, and rests for a moment where it turns.

    Returns:
        float32 [F, Z]: F = (K - 1) * steps + 1, or K * steps for a loop, whose last frame is one step before the first.

    Raises:
        UsageError: two keys that follow each other are equal, or opposite.
        ValueError: fewer than two keys, or no steps.
    """
    keys, stretches, at, loop = _frames(keys, steps, loop)
    lengths = np.linalg.norm(keys, axis=1)
    direction, length = _curve(keys / lengths[:, None], loop), _curve(lengths, loop)
    times = _even_times(lambda times: _on_sphere(direction, times), _angles, stretches, at, loop)
    return (_on_sphere(direction, times) * length(at)[:, None]).astype(np.float32)


def straight_walk(keys, steps, loop=False):
    """`sphere_walk` off the sphere: a straight line between two keys, one smooth curve through more.

    keys [K, W] -> float32 [F, W]; the same arguments, number of frames and errors.
    """
    keys, stretches, at, loop = _frames(keys, steps, loop)
    curve = _curve(keys, loop)
    unit = np.linalg.norm(np.diff(keys, axis=0), axis=1).mean() or 1.0  # of the length walked
    times = _even_times(curve, lambda parts: np.linalg.norm(parts, axis=1) / unit, stretches, at, loop)
    return curve(times).astype(np.float32)


def _frames(keys, steps, loop):
    """(keys float64, stretches between them, where every frame is, counted in keys, True if the curve is closed)."""
    keys = np.asarray(keys, np.float64)
    if len(keys) < 2 or steps < 1:
        raise ValueError(f"need two keys or more and a step, got {len(keys)} and {steps}")
    stretches = len(keys) if loop else len(keys) - 1
    at = np.arange(stretches * steps + (0 if loop else 1)) / steps
    if loop and len(keys) == 2:
        return keys, 1, (1 - np.cos(np.pi * at)) / 2, False  # 0 to 1 and back
    return keys, stretches, at, loop


def _curve(keys, loop):
    """Curve through keys [K, ...]: a function of the key's number."""
    closed = np.concatenate([keys, keys[:1]]) if loop else keys
    return CubicSpline(np.arange(len(closed)), closed, bc_type="periodic" if loop else "natural")


def _angles(parts):
    """Angles between points of the unit sphere whose differences are [n, Z]: [n]."""
    return 2 * np.arcsin(np.linalg.norm(parts, axis=1).clip(0, 2) / 2)


def _on_sphere(direction, times):
    points = direction(times)
    radii = np.linalg.norm(points, axis=1, keepdims=True)
    if radii.min() < NEAR_CENTRE:
        raise UsageError("--seeds: the latents of two seeds that follow each other are opposite; change one of them")
    return points / radii


def _even_times(curve, lengths_of, stretches, at, loop):
    """When a curve is where the walk should be at `at` [F], counted in keys: times [F].

    Walked is what `lengths_of` says of the differences of points. Within a stretch the speed is nearly constant; from a
    long one to a short one it changes gradually.
    """
    walked, times = [0.0], [0.0]
    for i in range(stretches):
        fine = i + np.linspace(0, 1, FINE + 1)
        lengths = lengths_of(np.diff(curve(fine), axis=0))
        if lengths.sum() < 1e-6:
            raise UsageError("--seeds: two seeds that follow each other have the same latent; change one of them")
        walked += list(walked[-1] + np.cumsum(lengths))
        times += list(fine[1:])
    walked = np.array(walked)
    knots, at_keys = np.arange(stretches + 1), walked[::FINE]
    if loop:  # the same again before and after, so that the speed fits where the ends meet
        knots = np.arange(-stretches, 2 * stretches + 1)
        at_keys = np.concatenate([at_keys[:-1] - walked[-1], at_keys, at_keys[1:] + walked[-1]])
    target = PchipInterpolator(knots, at_keys)(at) if stretches > 1 else at * walked[-1]
    return PchipInterpolator(walked, times)(target)
