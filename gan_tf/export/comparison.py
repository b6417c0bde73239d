"""Compares an exported file with Keras over 64 seeds: differences of the images, and time."""

import dataclasses
import statistics
import time
from pathlib import Path

import numpy as np

from gan_tf.export import network

SEEDS = 64
LARGEST_BATCH = SEEDS
SINGLE, BATCH = 32, 4  # a file of dynamic batch size runs 32 seeds one by one, the others in batches of 4


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Measurements of one file. Differences are absolute, over all values of all images, in [-1, 1]."""

    bytes: int  # of the file, or of all files in the folder
    seeds: int  # number of images
    largest: float  # difference from Keras
    mean: float  # difference from Keras
    finite: bool  # False if a value of the file is not finite; the differences are then NaN
    ms_per_image: float  # median over all runs of `timed_batch` images, after a warm-up
    timed_batch: int
    threads: int


def compare_with_keras(trained, settings, path, run, advance=lambda count: None) -> Comparison:
    """Compares the images of a file with those of Keras for the seeds 0 to 63.

    Args:
        trained, settings: TrainedGenerator and ExportSettings of the file.
        path: of the file, for its size.
        run: result of the format's `open`.
        advance: called with the number of images after each batch.
    """
    generator = network.folded(trained, network.FAST)
    reference = network.keras_reference(generator, settings)
    sizes = batch_sizes(settings.batch)
    run(network.inputs_of_seeds(generator, settings, [0] * sizes[0]))  # warm-up
    largest, total, values, times, first = 0.0, 0.0, 0, [], 0
    for size in sizes:
        seeds = list(range(first, min(first + size, SEEDS)))
        inputs = network.inputs_of_seeds(generator, settings, seeds + seeds[-1:] * (size - len(seeds)))
        started = time.perf_counter()
        images = run(inputs)
        times.append(time.perf_counter() - started)
        error = np.abs(images.astype(np.float64) - reference(inputs))[: len(seeds)]
        largest, total, values = np.maximum(largest, error.max()), total + error.sum(), values + error.size
        first += len(seeds)
        advance(len(seeds))
    timed_batch = sizes[0]
    seconds = statistics.median(time for time, size in zip(times, sizes, strict=True) if size == timed_batch)
    return Comparison(
        bytes=size_of(path),
        seeds=SEEDS,
        largest=float(largest),
        mean=float(total / values),
        finite=bool(np.isfinite(total)),
        ms_per_image=1000 * seconds / timed_batch,
        timed_batch=timed_batch,
        threads=network.usable_cores(),
    )


def batch_sizes(batch) -> list[int]:
    """Returns the batch sizes of the comparison: those of the file, or two sizes if it takes any."""
    if batch is not None:
        return [batch] * -(-SEEDS // batch)
    return [1] * SINGLE + [BATCH] * ((SEEDS - SINGLE) // BATCH)


def size_of(path) -> int:
    """Returns the bytes of a file, or of all files in a folder."""
    path = Path(path)
    return sum(part.stat().st_size for part in ([path] if path.is_file() else path.rglob("*")) if part.is_file())
