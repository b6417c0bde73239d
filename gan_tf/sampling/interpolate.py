"""Interpolates smoothly between the latents of seeds, which are the keys of a path.

Latents are normal draws and nearly all are close to a sphere; a generator is not trained on its inside. So the path
follows the sphere, and its radius changes only from the length of one key to that of the next. Slerp from key to key
at constant speed would turn sharply at every key. Instead one cubic spline passes through all keys and is projected to
the sphere, so that the direction of the path is smooth; a path of two keys is a part of a great circle. A monotone
curve of the distance along the path assigns each key its frame and keeps the speed continuous. In w there is no sphere:
the spline itself is the path, for two keys a straight line.

Source: Shoemake 1985 (slerp); White 2016 (Sampling generative networks), section 2.1, on straight lines in z.
"""

import itertools

import numpy as np
import tensorflow as tf
from scipy.interpolate import CubicSpline, PchipInterpolator

from gan_tf import rng
from gan_tf.data.class_labels import UNCONDITIONAL
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.sampling.generate import images_of_latents, latents_of_seeds
from gan_tf.sampling.sheets import caption_height, text_line

RANDOM_SEEDS = 1_000_000  # random seeds are below this number
FINE = 256  # pieces in which the length of a segment between two keys is measured
MIN_RADIUS = 1e-3  # as a share of the sphere's: a curve through the centre has no direction
STRIP_PAIRS, STRIP_COLUMNS = ((0, 1), (2, 3), (4, 5), (6, 7)), 8  # of `interpolation_strip`


def random_seeds(count, seed):
    """Returns a list of `count` different seeds that depend on `seed` alone."""
    draws = rng.Draws(seed, tf.constant(0, tf.int64), 2 * count + 16, path="interpolate/")
    drawn = draws.integers("seeds", (), 0, RANDOM_SEEDS).numpy().tolist()
    return list(dict.fromkeys(drawn))[:count]


def interpolated_images(g, walks, steps, loop, batch_size, truncation=1.0, labels=None, space="z"):
    """Generates the images of several interpolations (walks), frame by frame.

    Each walk keeps the noise and the class of its first seed, so that details do not flicker.

    Args:
        walks: N lists of seeds, all of one length.
        steps, loop: see `sphere_path`.
        truncation: applied after interpolation: at 0 the keys would be equal, and have no path between them.
        labels: classes of the walks, int32 [N], None for unconditional networks.
        space: "z", or "w" for families with a mapping network.

    Yields:
        uint8 [N, H, W, C], an image of each walk, for each frame of `sphere_path`.
    """
    paths = []
    for i, seeds in enumerate(walks):
        keys = latents_of_seeds(g, tf.constant(seeds, tf.int64))
        if space == "w":
            key_labels = None if labels is None else tf.fill([len(seeds)], labels[i])
            paths.append(straight_path(g.mapping(keys, key_labels)[:, 0].numpy(), steps, loop)[:, None])
        else:
            paths.append(sphere_path(keys.numpy(), steps, loop))
    frames = len(paths[0])
    latents = np.stack(paths, axis=1)  # [F, W, Z], or [F, W, 1, size of w]
    latents = latents.reshape(frames * len(walks), *latents.shape[2:])
    labels = None if labels is None else np.tile(labels, frames)
    noise_seeds = [seeds[0] for seeds in walks] * frames
    batches = images_of_latents(g, latents, noise_seeds, batch_size, labels=labels, truncation=truncation)
    images = itertools.chain.from_iterable(batches)
    for _ in range(frames):
        yield np.stack(list(itertools.islice(images, len(walks))))


def interpolation_strip(g, pairs=STRIP_PAIRS, columns=STRIP_COLUMNS, classes=UNCONDITIONAL):
    """Draws interpolations between pairs of seeds, each a row below a caption: uint8 [H, W, 3].

    Args:
        pairs: (seed, seed) of each row. Noise and class of a row are those of its first seed.
        columns: images in a row, including both ends; at least 2.
        classes: ClassLabels of the networks.
    """
    labels = classes.of_seeds([first for first, _ in pairs])
    frames = interpolated_images(g, [list(pair) for pair in pairs], columns - 1, False, len(pairs), labels=labels)
    rows = []
    for i, images in enumerate(np.stack(list(frames), axis=1)):
        row = image_files.rgb_grid(images, columns)
        text = "seed {} to {}".format(*pairs[i])
        text += f", {classes.describe(labels[i : i + 1])}" if classes else ""
        rows += [text_line(text, row.shape[1], caption_height(images.shape[1] * 4)), row]
    return np.concatenate(rows)


def sphere_path(keys, steps, loop=False):
    """Returns latents on a smooth path through keys (latents), near their sphere.

    Args:
        keys: [K, Z], K >= 2.
        steps: frames from a key to the next, at least 1: key i is frame i * steps.
        loop: return to the first key. With three keys or more the path is smooth there too; with two it goes back and
            forth, and slows down at both.

    Returns:
        float32 [F, Z]: F = (K - 1) * steps + 1, or K * steps for a loop, which omits the first frame's repetition.

    Raises:
        UsageError: consecutive keys are equal or opposite.
    """
    keys = np.asarray(keys, np.float64)
    lengths = np.linalg.norm(keys, axis=1)
    direction, length = _spline(keys / lengths[:, None], loop), _spline(lengths, loop)

    def on_sphere(times):
        points = direction(times)
        radii = np.linalg.norm(points, axis=1, keepdims=True)
        if radii.min() < MIN_RADIUS:
            raise UsageError("--seeds: the latents of two consecutive seeds are opposite; change one of them")
        return points / radii

    def angles(differences):
        return 2 * np.arcsin(np.linalg.norm(differences, axis=1).clip(0, 2) / 2)

    positions, times = _frame_times(on_sphere, angles, len(keys), steps, loop)
    return (on_sphere(times) * length(positions)[:, None]).astype(np.float32)


def straight_path(keys, steps, loop=False):
    """Returns points on a straight line between two keys, on one smooth curve through more.

    keys [K, W] -> float32 [F, W]; arguments, number of frames and errors as in `sphere_path`.
    """
    keys = np.asarray(keys, np.float64)
    curve = _spline(keys, loop)
    unit = np.linalg.norm(np.diff(keys, axis=0), axis=1).mean() or 1.0

    def lengths(differences):
        return np.linalg.norm(differences, axis=1) / unit

    return curve(_frame_times(curve, lengths, len(keys), steps, loop)[1]).astype(np.float32)


def _spline(keys, loop):
    """Returns the cubic spline that passes through key i at parameter i; a loop of three or more is closed."""
    closed = loop and len(keys) > 2
    points = np.concatenate([keys, keys[:1]]) if closed else keys
    return CubicSpline(np.arange(len(points)), points, bc_type="periodic" if closed else "natural")


def _frame_times(curve, lengths, count, steps, loop):
    """Returns (positions of the F frames in units of keys [F], curve parameters at which the speed is even [F]).

    Within a segment the speed is nearly constant; it changes gradually from a long segment to a short one.

    Args:
        curve: function from parameters [n], i at key i, to points [n, Z].
        lengths: function from differences of points [n, Z] to distances [n].
        count: number of keys.
        steps, loop: see `sphere_path`.
    """
    segments = count if loop else count - 1
    positions = np.arange(segments * steps + (0 if loop else 1)) / steps
    if loop and count == 2:
        segments, positions = 1, (1 - np.cos(np.pi * positions)) / 2  # 0 to 1 and back
    covered, times = [0.0], [0.0]
    for i in range(segments):
        fine = i + np.linspace(0, 1, FINE + 1)
        distances = lengths(np.diff(curve(fine), axis=0))
        if distances.sum() < 1e-6:
            raise UsageError("--seeds: two consecutive seeds have the same latent; change one of them")
        covered += list(covered[-1] + np.cumsum(distances))
        times += list(fine[1:])
    covered = np.array(covered)
    knots, at_keys = np.arange(segments + 1), covered[::FINE]
    if loop:  # repeated before and after, so that the speed is continuous where the ends meet
        knots = np.arange(-segments, 2 * segments + 1)
        at_keys = np.concatenate([at_keys[:-1] - covered[-1], at_keys, at_keys[1:] + covered[-1]])
    target = positions * covered[-1] if count == 2 else PchipInterpolator(knots, at_keys)(positions)
    return positions, PchipInterpolator(covered, times)(target)
