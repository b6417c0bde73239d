"""Images per second through FID's Inception, resizing included, and its share of the machine's convolution speed.

    python benchmarks/evaluate.py --resolution 256 --precision float32 --json

The network has random weights, which do not change its speed, and the images are random. On a machine with other load,
use the figures by CPU time, which are rates of one core. Rounds of Inception and of the convolution alternate; all
figures are medians.
"""

import dataclasses
import statistics
import sys
import time
from typing import Literal

from convolutions import convolution_peak, graph_flops
from frame import run

SCORED = 5000  # images of a fid5k


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Measures the speed of Inception with preprocessing."""

    resolution: int = 256  # pixels of the images before they are resized
    resize: Literal["pytorch", "clean", "tf1"] = "pytorch"  # as in `gan-tf evaluate`
    precision: Literal["float32", "bfloat16"] = "float32"  # of the network
    batch_size: int | None = None  # images per batch; default as `gan-tf evaluate`
    images: int = 128  # in a round
    rounds: int = 5  # timed, after a batch of warm-up
    json: bool = False  # print one JSON object


def measure(options):
    """Returns the results as a dict."""
    import tensorflow as tf

    from gan_tf.distributed import devices
    from gan_tf.metrics.features import Extractor

    started = time.perf_counter()
    extractor = Extractor(random_network(), options.resize, options.precision, options.batch_size)
    batch_size = extractor.batch_size
    pass_through(extractor, batch_size, options.resolution)
    start_seconds = time.perf_counter() - started
    seconds, cpu_seconds, peaks, cpu_peaks = [], [], [], []
    for _ in range(options.rounds):
        wall, cpu = pass_through(extractor, options.images, options.resolution)
        seconds.append(wall / options.images)
        cpu_seconds.append(cpu / options.images)
        peaks.append(convolution_peak(options.precision))
        cpu_peaks.append(convolution_peak(options.precision, time.process_time))
    inputs = tf.TensorSpec((batch_size, 299, 299, 3))
    flops = graph_flops(extractor.compiled.get_concrete_function(inputs).graph) / batch_size
    return {
        "resolution": options.resolution,
        "resize": options.resize,
        "precision": options.precision,
        "batch_size": batch_size,
        "device": devices.describe(),
        "images_per_second": round(1 / statistics.median(seconds), 2),
        "images_per_cpu_second": round(1 / statistics.median(cpu_seconds), 2),
        f"seconds_for_{SCORED}": round(SCORED * statistics.median(seconds), 1),
        "first_batch_seconds": round(start_seconds, 1),
        "gflop_per_image": round(flops / 1e9, 2),
        "convolution_peak_gflops": round(statistics.median(peaks) / 1e9, 1),
        "fraction_of_peak": share(flops, seconds, peaks),
        "fraction_of_peak_by_cpu_time": share(flops, cpu_seconds, cpu_peaks),
        "peak_memory_gb": round(devices.peak_memory_gb(), 2),
    }


def share(flops, seconds, peaks):
    """Returns the median over rounds of the share of the peak.

    Args:
        flops: floating-point operations of an image.
        seconds: for each round, seconds of an image.
        peaks: for each round, floating-point operations per second.
    """
    return round(statistics.median(flops / s / p for s, p in zip(seconds, peaks, strict=True)), 3)


def random_network():
    """Returns Inception with random kernels that keep the scale of the activations."""
    import numpy as np

    from gan_tf.pretrained.inception import Inception

    network = Inception()
    random = np.random.default_rng(0)
    for variable in network.variables:
        if len(variable.shape) > 1:
            values = random.standard_normal(variable.shape, np.float32)
            variable.assign(values * np.float32(2 / np.prod(variable.shape[:-1])) ** 0.5)
    return network


def pass_through(extractor, count, resolution):
    """Returns (seconds for `count` random images, CPU seconds of all threads)."""
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (count, resolution, resolution, 3), np.uint8)
    started, cpu_started = time.perf_counter(), time.process_time()
    for _ in extractor.stream([images]):
        pass
    return time.perf_counter() - started, time.process_time() - cpu_started


if __name__ == "__main__":
    sys.exit(run(EvaluateOptions, measure, sys.argv[1:], prog="benchmarks/evaluate.py"))
