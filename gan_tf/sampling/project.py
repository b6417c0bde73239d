"""Projection: the latent whose image is nearest to a given picture, found by descent from the best of many random ones.

The distance is the squared difference of pixels on every level of a pyramid, with LPIPS added where it is given. The
search goes on in several places at once, each with a latent and noise maps of its own:

* a latent of Progressive GAN stays on the sphere of radius sqrt(Z), where the network puts it anyway; one of a network
  that takes latents as they are pays for a length that random latents do not have;
* noise maps are fitted too, since an image depends on them, but must go on to look like noise: what neighbouring
  values share is punished on each scale, and mean and deviation are set to 0 and 1 after each step. Otherwise the
  picture would be drawn into the noise.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), appendix D, for the noise, the
schedule of the step size and LPIPS at 256 pixels; Abdal et al. 2019 (Image2StyleGAN) for the sum of distances.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gan_tf import pictures, rng
from gan_tf.sampling.generate import suitable_batch_size

STEP_SIZE = 0.05  # of Adam, at its largest
WARM_UP, COOL_DOWN = 0.05, 0.4  # shares of the search in which the step size rises, and falls
BETA1, BETA2, EPSILON = 0.9, 0.99, 1e-8
LENGTH_WEIGHT = 0.1  # of (|z|^2 / Z - 1)^2
NOISE_WEIGHT = 1.0  # of the squared autocorrelations
LEAST_NOISE_MAP = 8  # pixels of the smallest scale of a noise map
LEAST_LEVEL = 4  # pixels of the pyramid's top
LPIPS_PIXELS = 256  # larger images are made smaller for LPIPS
DRAWN = 32  # random latents that share a stream of draws


class Place(NamedTuple):
    """Latents [K, Z] and a list of noise maps [K, h, w, 1], float32."""

    latents: object
    noise: list


class Found(NamedTuple):
    """Outcome of a search.

    latents: float32 [K, Z], best first, and `noise` of each. images: uint8 [K, R, R, 3]. distances: float64 [K].
    start: uint8 [R, R, 3], the best image of the random latents. path: list of (step, uint8 [R, R, 3]) of the best
    place.
    """

    latents: np.ndarray
    noise: list
    images: np.ndarray
    distances: np.ndarray
    start: np.ndarray
    path: list


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
    g, target, distance, *, seed=0, restarts=4, steps=500, samples=1000, on_sphere=False, frames=60, watch=None
):
    """Searches the latent whose image is nearest to a target.

    Args:
        g: folded generator, float32.
        target: float32 [R, R, 3] in [-1, 1].
        distance: of `distance_to`.
        seed: of the random latents and noise.
        restarts: K, places in which the search goes on: the best of the random ones.
        steps: of descent. 0: the best random ones are the result.
        samples: random latents tried first, at least `restarts`.
        on_sphere: the network takes only the direction of a latent.
        frames: images of the search that are kept, at most.
        watch: called with (done, total, what is done).

    Returns:
        Found.
    """
    watch = watch or (lambda done, total, what: None)
    place = best_random(g, distance, seed, restarts, samples, watch)
    make = tf.function(lambda z, noise: g(z, noise=noise, training=False), autograph=False)
    first = pictures.to_uint8(make(*place))
    step = _compiled_step(g, distance, on_sphere)
    moments = [tf.nest.map_structure(tf.zeros_like, place) for _ in range(2)]
    every, path = max(1, math.ceil(steps / max(1, frames - 1))), [(0, first)]
    for i in range(steps):
        place, moments = step(place, moments, tf.constant(i + 1.0), tf.constant(step_size(i / steps), tf.float32))
        if (i + 1) % every == 0 or i + 1 == steps:
            path.append((i + 1, pictures.to_uint8(make(*place))))
        watch(i + 1, steps, "searched")
    images = make(*place)
    distances = distance(images).numpy().astype(np.float64)
    order = np.argsort(distances, kind="stable")
    return Found(
        latents=place.latents.numpy()[order],
        noise=[maps.numpy()[order] for maps in place.noise],
        images=pictures.to_uint8(images)[order],
        distances=distances[order],
        start=first[0],
        path=[(number, shown[order[0]]) for number, shown in path],
    )


def best_random(g, distance, seed, restarts, samples, watch):
    """The Place of the `restarts` best of random latents, each with the noise that it was tried with, best first."""
    suitable = suitable_batch_size(g.resolution, bool(tf.config.list_logical_devices("GPU")))
    at_once = min(math.gcd(DRAWN, suitable), samples)

    @tf.function(reduce_retracing=True, autograph=False)
    def measured(place):
        return distance(g(place.latents, noise=place.noise, training=False))

    kept, scores = None, np.zeros(0)
    for first in range(0, samples, at_once):
        count = min(at_once, samples - first)
        if first % DRAWN == 0:
            drawn = random_places(g, seed, first)
        rows = [first % DRAWN + min(i, count - 1) for i in range(at_once)]  # filled up, as another size would be traced
        tried = tf.nest.map_structure(lambda values, rows=rows: tf.gather(values, rows), drawn)
        found = measured(tried).numpy()[:count]
        tried = tf.nest.map_structure(lambda values, count=count: values.numpy()[:count], tried)
        scores = np.concatenate([scores, found])
        kept = tried if kept is None else tf.nest.map_structure(lambda *two: np.concatenate(two), kept, tried)
        order = np.argsort(scores, kind="stable")[:restarts]
        scores, kept = scores[order], tf.nest.map_structure(lambda rows, order=order: rows[order], kept)
        watch(first + count, samples, "random ones tried")
    return tf.nest.map_structure(tf.constant, kept)


def random_places(g, seed, first):
    """The random Places number first .. first + DRAWN - 1 of a search, `first` a multiple of DRAWN."""
    draws = rng.Draws(seed, tf.constant(first, tf.int64), DRAWN, path="project/")
    return Place(draws.normal("latents", (g.latent_size,)), draws.noise("noise", g.noise_shapes))


def step_size(share):
    """The step size after a share of the search: it rises, stays, and falls along a cosine to 0."""
    rise = min(1.0, (share + 1e-9) / WARM_UP)
    fall = min(1.0, (1.0 - share) / COOL_DOWN)
    return STEP_SIZE * rise * (0.5 - 0.5 * math.cos(math.pi * fall))


def noise_likeness(maps):
    """How much neighbouring values of noise [N, h, w, 1] have in common, on each scale: [N], near 0 for noise."""
    total = 0.0
    while True:
        for axis in (1, 2):
            total += tf.reduce_mean(maps * tf.roll(maps, 1, axis), axis=[1, 2, 3]) ** 2
        if maps.shape[1] <= LEAST_NOISE_MAP:
            return total
        maps = 2.0 * tf.nn.avg_pool2d(maps, 2, 2, "VALID")  # the mean of four values has half their deviation


def length_penalty(latents):
    """How far latents [N, Z] are from the length that random ones have: [N]."""
    return (tf.reduce_mean(latents**2, axis=1) - 1.0) ** 2


def _compiled_step(g, distance, on_sphere):
    """A tf.function of (Place, its two moments, number of the step from 1 on, step size) -> (Place, moments)."""

    @tf.function(autograph=False, reduce_retracing=True)
    def step(place, moments, number, size):
        flat = tf.nest.flatten(place)
        with tf.GradientTape() as tape:
            tape.watch(flat)
            loss = distance(g(place.latents, noise=place.noise, training=False))
            if not on_sphere:
                loss += LENGTH_WEIGHT * length_penalty(place.latents)
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
        latents = _on_sphere(moved.latents) if on_sphere else moved.latents
        place = Place(latents, [_standard(maps) for maps in moved.noise])
        return place, [tf.nest.pack_sequence_as(place, m), tf.nest.pack_sequence_as(place, v)]

    return step


def _on_sphere(latents):
    return latents * tf.math.rsqrt(tf.reduce_mean(latents**2, axis=1, keepdims=True) + EPSILON)


def _standard(maps):
    maps -= tf.reduce_mean(maps, axis=[1, 2, 3], keepdims=True)
    return maps * tf.math.rsqrt(tf.reduce_mean(maps**2, axis=[1, 2, 3], keepdims=True) + EPSILON)


def _seen_by_lpips(images):
    while images.shape[1] > LPIPS_PIXELS:
        images = tf.nn.avg_pool2d(images, 2, 2, "VALID")
    return images
