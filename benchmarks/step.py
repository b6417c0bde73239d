"""Seconds of one training step, and how much of the machine's convolution speed it uses.

    python benchmarks/step.py --model fastgan --resolution 256 --batch-size 8 --precision bfloat16 --json

Augmentation, averaging and reconstruction are in the step, as in training. FLOP are those of the convolutions and
matrix products that the compiled step executes, two for a multiply and add. The peak is that of one large 3x3
convolution, measured in the same process and precision.
"""

import dataclasses
import statistics
import sys
import time
from typing import Literal

from convolutions import convolution_peak, graph_flops
from frame import run

from gan_tf.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class StepOptions:
    """Measures a training step on random images."""

    model: Literal["fastgan"] = "fastgan"  # the family of networks
    resolution: int = 256  # pixels
    batch_size: int = 8  # images in a step
    ngf: int = 64  # width of the generator
    ndf: int = 64  # width of the discriminator
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # as in training
    micro_batch: int | None = None  # images at once
    steps: int = 5  # steps timed, after two that are not
    json: bool = False  # print one JSON object


def measure(options):
    """Returns the figures as a dict."""
    from gan_tf.training import devices

    job = make_job(options)
    precision = devices.choose_precision(options.precision)[0]
    seconds = time_steps(job, options.steps)
    flops = step_flops(job)
    peak = convolution_peak(precision)
    return {
        "model": options.model,
        "resolution": options.resolution,
        "batch_size": options.batch_size,
        "ngf": options.ngf,
        "ndf": options.ndf,
        "precision": precision,
        "device": devices.describe(),
        "seconds_per_step": round(statistics.median(seconds), 4),
        "seconds_per_step_min_max": [round(min(seconds), 4), round(max(seconds), 4)],
        "images_per_second": round(options.batch_size / statistics.median(seconds), 2),
        "gflop_per_image": round(flops / options.batch_size / 1e9, 2),
        "convolution_peak_gflops": round(peak / 1e9, 1),
        "fraction_of_peak": round(flops / statistics.median(seconds) / peak, 3),
        "peak_memory_gb": round(devices.peak_memory_gb(), 2),
    }


def make_job(options):
    """A job on random images, without a run folder."""
    import numpy as np

    from gan_tf.data.prepare import prepare
    from gan_tf.data.sources import ArraySource
    from gan_tf.training.setup import build_job

    names = [field.name for field in dataclasses.fields(options) if field.name not in ("steps", "json")]
    given = {name: getattr(options, name) for name in names}
    config = TrainConfig(dataset="random", metric="swd2k", **given)  # a score that needs no file
    noise = np.random.default_rng(0).integers(0, 256, (32, options.resolution, options.resolution, 3), np.uint8)
    images = prepare(ArraySource("random", noise), resolution=options.resolution, say=_nothing)
    return build_job(config, images, run=None, say=_nothing)


def time_steps(job, count):
    """Seconds of `count` steps, each by itself, after two that choose the kernels' plans."""
    import tensorflow as tf

    from gan_tf.training import loop

    steps, iterator = loop.compiled_steps(job, 0), loop.batches(job, 0)
    seconds = []
    for i in range(count + 2):
        started = time.perf_counter()
        steps(iterator, tf.constant(1), tf.constant(i * job.config.batch_size, tf.int64))
        job.state.tally.numpy()  # waits for the device
        seconds.append(time.perf_counter() - started)
    return seconds[2:]


def step_flops(job):
    """Floating-point operations of the convolutions and matrix products of one step.

    The step is traced once more without the loop around it.
    """
    import tensorflow as tf

    from gan_tf.rng import Draws
    from gan_tf.training import loop

    config = job.config
    stage = loop.stage_at(job.recipe.schedule(config), 0)
    variant = job.recipe.variant(config, stage, 0, job.parts)

    @tf.function(autograph=False)
    def step(reals, labels, clock):
        draws = Draws(config.seed, clock, config.batch_size)
        return job.recipe.train_step(job.state, reals, labels, draws, variant)

    size = config.resolution
    graph = step.get_concrete_function(
        tf.TensorSpec((config.batch_size, size, size, 3)),
        tf.TensorSpec((config.batch_size,), tf.int32),
        tf.TensorSpec((), tf.int64),
    ).graph
    return graph_flops(graph)


def _nothing(text):
    pass


if __name__ == "__main__":
    sys.exit(run(StepOptions, measure, sys.argv[1:], prog="benchmarks/step.py"))
