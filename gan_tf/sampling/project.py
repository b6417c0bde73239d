"""Projection: finds the latent whose image is nearest to a given image.

The distance between images is the mean squared difference of pixels, averaged over the levels of a pyramid, optionally
plus LPIPS. The search evaluates random latents and optimises the best few of them (the restarts) together with Adam.
Noise maps are optimised too, and kept like noise: correlation between neighbouring values is penalised on each scale,
and mean and deviation are reset to 0 and 1 after each step. Otherwise the noise maps would encode the image.

Three spaces can be searched:

* z: on the sphere of radius sqrt(Z) for networks that normalise latents; else with a penalty on unlikely lengths.
* w: one point for all layers. The first restart starts at the mean w, the others at the best random points. Decaying
  noise is added to w in the first three quarters of the search.
* w+: a point for each layer, which fits any image better, but is less likely under the generator.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), appendix D, for w, noise, step sizes
and LPIPS at 256 pixels; Abdal et al. 2019 (Image2StyleGAN) for w+ and the sum of distances.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.data.class_labels import UNCONDITIONAL
from gan_tf.io import image_files
from gan_tf.ops.forms import has_gpu
from gan_tf.ops.pixels import float_rgb
from gan_tf.sampling.generate import suitable_batch_size

WARM_UP, COOL_DOWN = 0.05, 0.4  # shares of the search in which the step size rises and falls
BETA1, BETA2, EPSILON = 0.9, 0.99, 1e-8  # of Adam
Z_STEP, W_STEP = 0.05, 0.1  # largest step sizes
LENGTH_WEIGHT = 0.1  # of (|z|^2 / Z - 1)^2, for networks that do not normalise latents
MIN_NOISE_MAP = 8  # pixels of a noise map's smallest scale
MIN_LEVEL = 4  # pixels of the pyramid's smallest level
LPIPS_PIXELS = 256  # larger images are reduced for LPIPS
DRAW_COUNT = 32  # random latents drawn together
W_SAMPLES, W_BATCH = 8192, 1024  # random latents for the mean and deviation of w
W_NOISE, W_NOISE_END = 0.05, 0.75  # initial noise in deviations of w; share of the search at which it reaches 0
FRAMES = 60  # images of the search that are kept, at most


class SearchPoint(NamedTuple):
    """Points of K restarts, float32."""

    latents: object  # z [K, Z], w [K, 1, W] or ws [K, S, W]
    noise: list  # noise maps [K, h, w, 1]


class ProjectionResult(NamedTuple):
    """Result of a search; the K restarts are sorted by distance."""

    latents: np.ndarray  # float32, as in SearchPoint
    noise: list  # float32, as in SearchPoint
    images: np.ndarray  # uint8 [K, H, W, C]
    distances: np.ndarray  # float64 [K]
    start: np.ndarray  # uint8 [H, W, C], the best image of the random latents
    path: list  # (number of steps, uint8 [H, W, C]) of the best restart, at most FRAMES
    length: float  # of the best latent, in w its distance from the mean w; about 1 for random latents
    labels: np.ndarray | None = None  # int32 [K], classes; None for unconditional networks, and in w


def distance_to(target, lpips=None):
    """Returns a function from images [N, H, W, C] to distances [N] from `target` [H, W, C], all in [-1, 1].

    lpips: pretrained.lpips.Lpips, or None for pixels only.
    """
    levels = pyramid(target[None])
    features = lpips.features(float_rgb(pyramid(target[None], LPIPS_PIXELS)[-1])) if lpips else None

    def distance(images):
        images = clip_like_target(images, target)
        parts = [tf.reduce_mean((a - b) ** 2, axis=[1, 2, 3]) for a, b in zip(pyramid(images), levels, strict=True)]
        total = tf.add_n(parts) / len(parts)
        if lpips:
            total += lpips.distance_of_features(lpips.features(float_rgb(pyramid(images, LPIPS_PIXELS)[-1])), features)
        return total

    return distance


def clip_like_target(images, target):
    """Clips values of images [N, H, W, C] beyond black or white where `target` is black or white.

    There the clipped values are equal to the target. Elsewhere values are not clipped, so that their gradient is not 0.
    """
    beyond = ((target >= 1.0) & (images > target)) | ((target <= -1.0) & (images < target))
    return tf.where(beyond, target, images)


def pyramid(images, smallest=MIN_LEVEL):
    """Returns images [N, H, W, C] and halves of them, by average pooling, until a side is at most `smallest`."""
    levels = [images]
    while min(levels[-1].shape[1:3]) > smallest:
        levels.append(tf.nn.avg_pool2d(levels[-1], 2, 2, "VALID"))
    return levels


def project(
    g, distance, *, seed, restarts, steps, samples, space, on_sphere, progress, classes=UNCONDITIONAL, class_number=None
):
    """Searches for the latent whose image is nearest to a target. Returns a ProjectionResult.

    Args:
        g: folded generator, float32.
        distance: of `distance_to`.
        seed: of the random latents and noise.
        restarts: K, number of random latents that are optimised.
        steps: of the optimisation; 0 returns the best random latents.
        samples: random latents evaluated first, at least `restarts`.
        space: "z"; with a mapping network also "w" or "w+".
        on_sphere: the network normalises latents, so z stays on the sphere of radius sqrt(Z).
        progress: called with (done, total, verb).
        classes: ClassLabels of the networks. Random latents have classes with the frequencies of the training images.
            A restart keeps its class in z; in w the class only sets the start.
        class_number: class of all restarts; None to draw them.
    """
    point, labels = best_random(g, distance, seed, restarts, samples, progress, classes, class_number)
    if in_w := space != "z":
        mean_w, deviation = w_statistics(g, classes, class_number)
        ws = g.mapping(point.latents, labels if classes else None)
        point = point._replace(latents=ws if space == "w+" else ws[:, :1])
    labels = labels if classes and not in_w else None
    generate = tf.function(lambda latents, noise: g(latents, labels, noise=noise, training=False), autograph=False)
    start = image_files.to_uint8(generate(*point))[0]
    if in_w and steps:
        mean = tf.broadcast_to(tf.constant(mean_w, tf.float32), (1, *point.latents.shape[1:]))
        point = point._replace(latents=tf.concat([mean, point.latents[:-1]], axis=0))
    path = [(0, image_files.to_uint8(generate(*point)))]
    step = _compiled_step(g, distance, seed, labels, on_sphere)
    moments = [tf.nest.map_structure(tf.zeros_like, point) for _ in range(2)]
    every = max(1, math.ceil(steps / (FRAMES - 1)))
    for i in range(steps):
        w_noise = W_NOISE * deviation * max(0.0, 1.0 - i / steps / W_NOISE_END) ** 2 if in_w else 0.0
        sizes = [(W_STEP if in_w else Z_STEP) * step_size(i / steps), w_noise]
        point, moments = step(point, moments, tf.constant(i + 1.0), tf.constant(sizes, tf.float32))
        if (i + 1) % every == 0 or i + 1 == steps:
            path.append((i + 1, image_files.to_uint8(generate(*point))))
        progress(i + 1, steps, "done")
    images = generate(*point)
    distances = distance(images).numpy().astype(np.float64)
    order = np.argsort(distances, kind="stable")
    nearest = point.latents.numpy()[order[0]]
    if in_w:  # RMS over layers
        length = np.sqrt(np.sum((nearest - mean_w) ** 2, axis=-1).mean()) / deviation
    else:
        length = np.sqrt(np.mean(nearest**2))
    return ProjectionResult(
        latents=point.latents.numpy()[order],
        noise=[maps.numpy()[order] for maps in point.noise],
        images=image_files.to_uint8(images)[order],
        distances=distances[order],
        start=start,
        path=[(number, shown[order[0]]) for number, shown in path],
        length=float(length),
        labels=None if labels is None else labels.numpy()[order],
    )


def best_random(g, distance, seed, restarts, samples, progress, classes=UNCONDITIONAL, class_number=None):
    """Returns the `restarts` best of `samples` random latents with their noise as a SearchPoint, and their classes."""
    batch_size = min(math.gcd(DRAW_COUNT, suitable_batch_size(g.image_shape, has_gpu())), samples)

    @tf.function(autograph=False)
    def measure(point, labels):
        return distance(g(point.latents, labels if classes else None, noise=point.noise, training=False))

    distances = []
    for first in range(0, samples, DRAW_COUNT):
        drawn = random_points(g, seed, first, classes, class_number)
        for i in range(0, min(DRAW_COUNT, samples - first), batch_size):
            batch = tf.nest.map_structure(lambda values, i=i: values[i : i + batch_size], drawn)
            distances.append(measure(*batch).numpy())
            progress(min(first + i + batch_size, samples), samples, "evaluated")
    best = []
    for number in np.argsort(np.concatenate(distances)[:samples], kind="stable")[:restarts].tolist():
        row = number % DRAW_COUNT
        drawn = random_points(g, seed, number - row, classes, class_number)
        best.append(tf.nest.map_structure(lambda values, row=row: values[row], drawn))
    return tf.nest.map_structure(lambda *rows: tf.stack(rows), *best)


def random_points(g, seed, first, classes=UNCONDITIONAL, class_number=None):
    """Returns random SearchPoints `first` to first + DRAW_COUNT - 1, and their classes (zeros without classes)."""
    draws = rng.Draws(seed, tf.constant(first, tf.int64), DRAW_COUNT, path="project/")
    labels = classes.sample(draws, class_number) if classes else tf.zeros([DRAW_COUNT], tf.int32)
    return SearchPoint(draws.normal("latents", (g.latent_size,)), draws.noise("noise", g.noise_shapes)), labels


def step_size(progress):
    """Returns the relative step size at a share of the search, 0 to 1: a linear rise to 1, later a cosine to 0."""
    rise = min(1.0, (progress + 1e-9) / WARM_UP)
    fall = min(1.0, (1.0 - progress) / COOL_DOWN)
    return rise * (0.5 - 0.5 * math.cos(math.pi * fall))


def noise_autocorrelation(maps):
    """Returns the squared autocorrelation of noise [N, h, w, 1] summed over all scales: [N], near 0 for noise."""
    total = 0.0
    while True:
        for axis in (1, 2):
            total += tf.reduce_mean(maps * tf.roll(maps, 1, axis), axis=[1, 2, 3]) ** 2
        if min(maps.shape[1:3]) <= MIN_NOISE_MAP:
            return total
        maps = 2.0 * tf.nn.avg_pool2d(maps, 2, 2, "VALID")  # the mean of four values has half their deviation


def _compiled_step(g, distance, seed, labels, on_sphere):
    """Returns a tf.function (SearchPoint, Adam moments, step number from 1, sizes) -> (SearchPoint, moments).

    moments: [first, second], structured like the SearchPoint. sizes: [step size, deviation of the noise added to w].
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def step(point, moments, number, sizes):
        size, w_noise = tf.unstack(sizes)
        in_w = point.latents.shape.rank == 3
        flat = tf.nest.flatten(point)
        with tf.GradientTape() as tape:
            tape.watch(flat)
            latents = point.latents
            if in_w:
                draws = rng.Draws(seed, tf.cast(number, tf.int64), latents.shape[0], path="project/shaken/")
                latents += w_noise * draws.normal("w", (1, latents.shape[2]))
            loss = distance(g(latents, labels, noise=point.noise, training=False))
            if not in_w and not on_sphere:
                loss += LENGTH_WEIGHT * (tf.reduce_mean(latents**2, axis=1) - 1.0) ** 2
            for maps in point.noise:
                loss += noise_autocorrelation(maps)
            total = tf.reduce_sum(loss)  # restarts do not share variables, so each gets its own gradient
        gradients = tape.gradient(total, flat, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        m, v = (tf.nest.flatten(moment) for moment in moments)
        m = [BETA1 * old + (1.0 - BETA1) * new for old, new in zip(m, gradients, strict=True)]
        v = [BETA2 * old + (1.0 - BETA2) * new**2 for old, new in zip(v, gradients, strict=True)]
        m_correction, v_correction = 1.0 - BETA1**number, 1.0 - BETA2**number
        moved = [
            x - size * (mean / m_correction) / (tf.sqrt(square / v_correction) + EPSILON)
            for x, mean, square in zip(flat, m, v, strict=True)
        ]
        latents, noise = tf.nest.pack_sequence_as(point, moved)
        if not in_w and on_sphere:
            latents *= tf.math.rsqrt(tf.reduce_mean(latents**2, axis=1, keepdims=True) + EPSILON)
        noise = [maps - tf.reduce_mean(maps, axis=[1, 2, 3], keepdims=True) for maps in noise]
        noise = [
            maps * tf.math.rsqrt(tf.reduce_mean(maps**2, axis=[1, 2, 3], keepdims=True) + EPSILON) for maps in noise
        ]
        return SearchPoint(latents, noise), [tf.nest.pack_sequence_as(point, moment) for moment in (m, v)]

    return step


def w_statistics(g, classes=UNCONDITIONAL, class_number=None):
    """Returns the mean w [W] and its deviation, the RMS distance from the mean, over W_SAMPLES random latents.

    They are those of class `class_number`, by default of all classes with the frequencies of the training images.
    """
    draws = rng.Draws(0, tf.constant(0, tf.int64), W_SAMPLES, path="project/")
    latents, labels = draws.normal("spread", (g.latent_size,)), classes.sample(draws, class_number)
    mapping = tf.function(lambda *inputs: g.mapping(*inputs)[:, 0], autograph=False)
    batches = (tf.split(values, W_SAMPLES // W_BATCH) for values in (latents, labels) if values is not None)
    w = np.concatenate([mapping(*batch).numpy() for batch in zip(*batches, strict=True)])
    mean = w.mean(axis=0)
    return mean, float(np.sqrt(np.sum(np.square(w - mean, dtype=np.float64)) / len(w)))
