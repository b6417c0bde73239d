"""Compares an exported file with Keras over 64 seeds: differences of the images, and speed of the file."""

import dataclasses
import statistics
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.export import network

SEEDS = 64


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Measurements of one file. Differences are absolute, over all values of all images, which are in [-1, 1]."""

    bytes: int  # of the file, or of all files in the folder
    seeds: int  # number of images
    largest: float  # largest difference from Keras
    mean: float  # mean difference from Keras
    finite: bool  # False if a value of an image is not finite; then the differences are not finite either
    ms_per_image: float  # milliseconds: median over all runs of `timed_batch` images, after a warm-up
    timed_batch: int  # images in a timed run
    threads: int  # CPU cores that this process may use


def compare_with_keras(trained, settings, path, run, advance=lambda count: None) -> Comparison:
    """Compares the images of a file with those of Keras for the seeds 0 to 63.

    Args:
        trained, settings: TrainedGenerator and ExportSettings of the file.
        path: of the file, for its size.
        run: function from the list of input arrays to images, returned by `Format.open`.
        advance: called with the number of images after each batch.
    """
    generator = network.folded(trained, network.FAST)
    reference = keras_reference(generator, settings)
    # A file of dynamic batch size runs 32 seeds one by one, the others in batches of 4.
    sizes = [1] * 32 + [4] * 8 if settings.batch is None else [settings.batch] * -(-SEEDS // settings.batch)
    timed_batch, times, first = sizes[0], [], 0
    largest, total, values = 0.0, 0.0, 0
    run(inputs_of_seeds(generator, settings, [0] * timed_batch))  # warm-up
    for size in sizes:
        seeds = list(range(first, min(first + size, SEEDS)))
        inputs = inputs_of_seeds(generator, settings, seeds + seeds[-1:] * (size - len(seeds)))
        started = time.perf_counter()
        images = run(inputs)
        times += [time.perf_counter() - started] if size == timed_batch else []
        error = np.abs(images.astype(np.float64) - reference(inputs))[: len(seeds)]
        largest, total, values = np.maximum(largest, error.max()), total + error.sum(), values + error.size
        first += len(seeds)
        advance(len(seeds))
    return Comparison(
        bytes=size_of(path),
        seeds=SEEDS,
        largest=float(largest),
        mean=float(total / values),
        finite=bool(np.isfinite(total)),
        ms_per_image=1000 * statistics.median(times) / timed_batch,
        timed_batch=timed_batch,
        threads=network.usable_cores(),
    )


def keras_reference(generator, settings):
    """Returns a function from the inputs of a file to images, which runs the folded Keras generator."""
    constants = rng.noise_of_seeds([settings.noise_seed], generator.noise_shapes)
    generate = tf.function(generator, autograph=False)

    def run(inputs):
        latents, labels, noise = network.split_inputs(generator, settings, [tf.constant(array) for array in inputs])
        if settings.noise == "constant":
            noise = [tf.repeat(constant, len(latents), axis=0) for constant in constants]
        return tf.clip_by_value(generate(latents, labels, noise=noise or None, training=False), -1.0, 1.0).numpy()

    return run


def inputs_of_seeds(generator, settings, seeds):
    """Returns the list of input arrays for `seeds`; the class label of a seed is seed modulo number of classes."""
    inputs = [rng.latents_of_seeds(seeds, generator.latent_size)]
    if generator.classes and settings.label is None:
        inputs.append(tf.constant([seed % generator.classes for seed in seeds], tf.int32))
    if settings.noise == "input":
        inputs += rng.noise_of_seeds(seeds, generator.noise_shapes)
    return [tensor.numpy() for tensor in inputs]


def size_of(path) -> int:
    """Returns the bytes of a file, or of all files in a folder."""
    path = Path(path)
    return sum(part.stat().st_size for part in ([path] if path.is_file() else path.rglob("*")) if part.is_file())
