"""Runs an exported file beside Keras: how far its images are off, and how long it takes."""

import dataclasses
import statistics
import time
from pathlib import Path

import numpy as np

from gan_tf.export import network

SEEDS = 64
LARGEST_BATCH = 64  # that a file is made for: all seeds at once
TIMED, TOGETHER = 32, 4  # of a file of any batch: so many images one by one, the others so many at once
STEPS = 127.5  # of a byte, from 0 to 1


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What was measured of one file.

    bytes: its size, or that of all files of a folder.
    largest, mean: differences from Keras over all values of all images, in the unit of images: [-1, 1] is 2 wide.
    finite: False if the file gave a number that is none; the differences are then NaN.
    ms_per_image: median, in batches of `timed_batch` images, of all runs but the first.
    """

    bytes: int
    seeds: int
    largest: float
    mean: float
    finite: bool
    ms_per_image: float
    timed_batch: int
    threads: int


def compare(trained, settings, path, run, advance=lambda count: None) -> Comparison:
    """Compares a file's images with Keras's over the seeds 0 to 63.

    Args:
        trained, settings: as the file was written from.
        path: of the file, for its size.
        run: what the format's `open` returned.
        advance: told how many images are done.
    """
    generator = network.folded(trained, network.FAST)
    wanted_of = network.reference(generator, settings)
    largest, total, values, times = 0.0, 0.0, 0, []
    first = 0
    sizes = batch_sizes(settings.batch)
    run(network.inputs_of_seeds(generator, settings, [0] * sizes[0]))  # it prepares what later ones find ready
    for size in sizes:
        seeds = list(range(first, min(first + size, SEEDS)))
        filled = seeds + seeds[-1:] * (size - len(seeds))
        inputs = network.inputs_of_seeds(generator, settings, filled)
        started = time.perf_counter()
        got = run(inputs)
        times.append((time.perf_counter() - started, size))
        error = np.abs(got.astype(np.float64) - wanted_of(inputs))[: len(seeds)]
        largest, total, values = np.maximum(largest, error.max()), total + error.sum(), values + error.size
        first += len(seeds)
        advance(len(seeds))
    timed = times[0][1]
    seconds = statistics.median(seconds for seconds, size in times if size == timed)
    return Comparison(
        bytes=size_of(path),
        seeds=SEEDS,
        largest=float(largest),
        mean=float(total / values),
        finite=bool(np.isfinite(total)),
        ms_per_image=1000 * seconds / timed,
        timed_batch=timed,
        threads=network.usable_cores(),
    )


def batch_sizes(batch) -> list[int]:
    """How the seeds are shared out: by the file's batch, or in two sizes where it takes any."""
    if batch is not None:
        return [batch] * -(-SEEDS // batch)
    return [1] * TIMED + [TOGETHER] * ((SEEDS - TIMED) // TOGETHER)


def size_of(path) -> int:
    """Bytes of a file, or of all files in a folder."""
    path = Path(path)
    return (
        sum(part.stat().st_size for part in path.rglob("*") if part.is_file()) if path.is_dir() else path.stat().st_size
    )
