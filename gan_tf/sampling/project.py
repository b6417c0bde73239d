"""Projection: the latent whose image is nearest to a given picture, found by descent from the best of many random ones.

The distance is the squared difference of pixels on every level of a pyramid, with LPIPS added where it is given. The
search goes on in several places at once, each with a latent (or what a mapping network makes of it; see
`search_space`) and noise maps of its own. Noise maps are fitted too, since an image depends on them, but must go on to
look like noise: what neighbouring values share is punished on each scale, and mean and deviation are set to 0 and 1
after each step. Otherwise the picture would be drawn into the noise.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), appendix D, for the noise, the
schedule of the step size and LPIPS at 256 pixels; Abdal et al. 2019 (Image2StyleGAN) for the sum of distances.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.data.class_labels import UNCONDITIONAL
from gan_tf.io import image_files
from gan_tf.sampling.generate import suitable_batch_size
from gan_tf.sampling.search_space import space_of

WARM_UP, COOL_DOWN = 0.05, 0.4  # shares of the search in which the step size rises, and falls
BETA1, BETA2, EPSILON = 0.9, 0.99, 1e-8
NOISE_WEIGHT = 1.0  # of the squared autocorrelations
LEAST_NOISE_MAP = 8  # pixels of the smallest scale of a noise map
LEAST_LEVEL = 4  # pixels of the pyramid's top
LPIPS_PIXELS = 256  # larger images are made smaller for LPIPS
DRAWN = 32  # random latents that share a stream of draws


class Place(NamedTuple):
    """Latents [K, Z], or w [K, 1, W], or ws [K, S, W], and a list of noise maps [K, h, w, 1], float32."""

    latents: object
    noise: list


class Found(NamedTuple):
    """Outcome of a search.

    latents: float32 as in a Place, best first, and `noise` of each. images: uint8 [K, R, R, 3]. distances: float64 [K].
    start: uint8 [R, R, 3], the best image of the random latents. path: list of (step, uint8 [R, R, 3]) of the best
    place. length: of the best latent, or how far its w is from their mean, as a multiple of a random one's. labels:
    int32 [K], classes of the places; None of unconditional networks, and of w, which is bound to no class.
    """

    latents: np.ndarray
    noise: list
    images: np.ndarray
    distances: np.ndarray
    start: np.ndarray
    path: list
    length: float
    labels: np.ndarray | None = None


def distance_to(target, lpips=None):
    """Returns a function from images [N, R, R, 3] to their distances [N] from a target [R, R, 3], all in [-1, 1].

    Args:
        lpips: pretrained.lpips.Lpips, or None: pixels alone.
    """
    levels = pyramid(target[None])
    features = lpips.features(_seen_by_lpips(target[None])) if lpips else None

    def distance(images):
        images = as_seen(images, target)
        parts = [tf.reduce_mean((a - b) ** 2, axis=[1, 2, 3]) for a, b in zip(pyramid(images), levels, strict=True)]
        found = tf.add_n(parts) / len(parts)
        if lpips:
            found += lpips.distance_of_features(lpips.features(_seen_by_lpips(images)), features)
        return found

    return distance


def as_seen(images, target):
    """Images [N, R, R, 3] with what lies beyond black or white made equal to a target [R, R, 3] that is black or white
    there: in a file they are equal. Elsewhere such values stay, so that there is a slope that leads back.
    """
    beyond = ((target >= 1.0) & (images > target)) | ((target <= -1.0) & (images < target))
    return tf.where(beyond, target, images)


def pyramid(images):
    """[N, R, R, 3] at R, R / 2, ... and 4 pixels, by means over squares."""
    levels = [images]
    while levels[-1].shape[1] > LEAST_LEVEL:
        levels.append(tf.nn.avg_pool2d(levels[-1], 2, 2, "VALID"))
    return levels


def project(
    g,
    distance,
    *,
    seed=0,
    restarts=4,
    steps=500,
    samples=1000,
    space="z",
    on_sphere=False,
    frames=60,
    watch=None,
    classes=UNCONDITIONAL,
    wanted=None,
):
    """Searches the latent whose image is nearest to a target.

    Args:
        g: folded generator, float32.
        distance: of `distance_to`.
        seed: of the random latents and noise.
        restarts: K, places in which the search goes on: the best of the random ones.
        steps: of descent. 0: the best random ones are the result.
        samples: random latents tried first, at least `restarts`.
        space: "z"; with a mapping network also "w" or "w+".
        on_sphere: the network takes only the direction of a latent.
        frames: images of the search that are kept, at most.
        watch: called with (done, total, what is done).
        classes: ClassLabels of the networks. The random latents are tried with classes as often as the training
            images have them; a place keeps its own, which in w is where it starts from, but no bound.
        wanted: number of the class that all have instead.

    Returns:
        Found.
    """
    watch = watch or (lambda done, total, what: None)
    best, labels = best_random(g, distance, seed, restarts, samples, watch, classes, wanted)
    space = space_of(g, space, on_sphere, classes, wanted)
    best = best._replace(latents=space.points_of(best.latents, labels))
    labels = labels if classes and space.name == "z" else None
    make = tf.function(lambda latents, noise: g(latents, labels, noise=noise, training=False), autograph=False)
    start = image_files.to_uint8(make(*best))[0]
    place = best._replace(latents=space.starts(best.latents)) if steps else best
    first = image_files.to_uint8(make(*place))
    step = _compiled_step(g, distance, space, seed, labels)
    moments = [tf.nest.map_structure(tf.zeros_like, place) for _ in range(2)]
    every, path = max(1, math.ceil(steps / max(1, frames - 1))), [(0, first)]
    for i in range(steps):
        sizes = [space.largest_step * step_size(i / steps), space.shake(i / steps)]
        place, moments = step(place, moments, tf.constant(i + 1.0), tf.constant(sizes, tf.float32))
        if (i + 1) % every == 0 or i + 1 == steps:
            path.append((i + 1, image_files.to_uint8(make(*place))))
        watch(i + 1, steps, "searched")
    images = make(*place)
    distances = distance(images).numpy().astype(np.float64)
    order = np.argsort(distances, kind="stable")
    return Found(
        latents=place.latents.numpy()[order],
        noise=[maps.numpy()[order] for maps in place.noise],
        images=image_files.to_uint8(images)[order],
        distances=distances[order],
        start=start,
        path=[(number, shown[order[0]]) for number, shown in path],
        length=space.length(place.latents.numpy()[order[0]]),
        labels=None if labels is None else labels.numpy()[order],
    )


def best_random(g, distance, seed, restarts, samples, watch, classes=UNCONDITIONAL, wanted=None):
    """The Place of the `restarts` best of random latents, each with the noise that it was tried with, and the classes
    of these, best first.
    """
    suitable = suitable_batch_size(g.resolution, bool(tf.config.list_logical_devices("GPU")))
    at_once = min(math.gcd(DRAWN, suitable), samples)

    @tf.function(reduce_retracing=True, autograph=False)
    def measured(place, labels):
        return distance(g(place.latents, labels if classes else None, noise=place.noise, training=False))

    kept, scores = None, np.zeros(0)
    for first in range(0, samples, at_once):
        count = min(at_once, samples - first)
        if first % DRAWN == 0:
            drawn = random_places(g, seed, first, classes, wanted)
        rows = [first % DRAWN + min(i, count - 1) for i in range(at_once)]  # filled up, as another size would be traced
        tried = tf.nest.map_structure(lambda values, rows=rows: tf.gather(values, rows), drawn)
        found = measured(*tried).numpy()[:count]
        tried = tf.nest.map_structure(lambda values, count=count: values.numpy()[:count], tried)
        scores = np.concatenate([scores, found])
        kept = tried if kept is None else tf.nest.map_structure(lambda *two: np.concatenate(two), kept, tried)
        order = np.argsort(scores, kind="stable")[:restarts]
        scores, kept = scores[order], tf.nest.map_structure(lambda rows, order=order: rows[order], kept)
        watch(first + count, samples, "random ones tried")
    return tf.nest.map_structure(tf.constant, kept)


def random_places(g, seed, first, classes=UNCONDITIONAL, wanted=None):
    """The random Places number first .. first + DRAWN - 1 of a search, `first` a multiple of DRAWN, and their classes.

    The classes are zeros, which nothing reads, where there are none.
    """
    draws = rng.Draws(seed, tf.constant(first, tf.int64), DRAWN, path="project/")
    labels = classes.sample(draws, wanted) if classes else tf.zeros([DRAWN], tf.int32)
    return Place(draws.normal("latents", (g.latent_size,)), draws.noise("noise", g.noise_shapes)), labels


def step_size(share):
    """The step size after a share of the search: it rises to 1, stays, and falls along a cosine to 0."""
    rise = min(1.0, (share + 1e-9) / WARM_UP)
    fall = min(1.0, (1.0 - share) / COOL_DOWN)
    return rise * (0.5 - 0.5 * math.cos(math.pi * fall))


def noise_likeness(maps):
    """How much neighbouring values of noise [N, h, w, 1] have in common, on each scale: [N], near 0 for noise."""
    total = 0.0
    while True:
        for axis in (1, 2):
            total += tf.reduce_mean(maps * tf.roll(maps, 1, axis), axis=[1, 2, 3]) ** 2
        if maps.shape[1] <= LEAST_NOISE_MAP:
            return total
        maps = 2.0 * tf.nn.avg_pool2d(maps, 2, 2, "VALID")  # the mean of four values has half their deviation


def _compiled_step(g, distance, space, seed, labels):
    """A tf.function of (Place, its two moments, number of the step from 1 on, sizes) -> (Place, moments).

    sizes: of the step, and the deviation by which points are shaken.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def step(place, moments, number, sizes):
        size, shake = tf.unstack(sizes)
        flat = tf.nest.flatten(place)
        with tf.GradientTape() as tape:
            tape.watch(flat)
            points = place.latents
            if points.shape.rank == 3:
                points += shake * _shaking(seed, number, points)
            loss = distance(g(points, labels, noise=place.noise, training=False)) + space.penalty(place.latents)
            for maps in place.noise:
                loss += NOISE_WEIGHT * noise_likeness(maps)
            # Each place has its own sum, so the gradient of all of them is each one's own.
            total = tf.reduce_sum(loss)
        slopes = tape.gradient(total, flat, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        m, v = (tf.nest.flatten(moment) for moment in moments)
        m = [BETA1 * old + (1.0 - BETA1) * new for old, new in zip(m, slopes, strict=True)]
        v = [BETA2 * old + (1.0 - BETA2) * new**2 for old, new in zip(v, slopes, strict=True)]
        m_share, v_share = 1.0 - BETA1**number, 1.0 - BETA2**number
        moved = [
            x - size * (mean / m_share) / (tf.sqrt(square / v_share) + EPSILON)
            for x, mean, square in zip(flat, m, v, strict=True)
        ]
        moved = tf.nest.pack_sequence_as(place, moved)
        place = Place(space.settled(moved.latents), [_standard(maps) for maps in moved.noise])
        return place, [tf.nest.pack_sequence_as(place, m), tf.nest.pack_sequence_as(place, v)]

    return step


def _shaking(seed, number, points):
    """Standard normal numbers [K, 1, W] of a step."""
    draws = rng.Draws(seed, tf.cast(number, tf.int64), points.shape[0], path="project/shaken/")
    return draws.normal("w", (1, points.shape[2]))


def _standard(maps):
    maps -= tf.reduce_mean(maps, axis=[1, 2, 3], keepdims=True)
    return maps * tf.math.rsqrt(tf.reduce_mean(maps**2, axis=[1, 2, 3], keepdims=True) + EPSILON)


def _seen_by_lpips(images):
    while images.shape[1] > LPIPS_PIXELS:
        images = tf.nn.avg_pool2d(images, 2, 2, "VALID")
    return images
