"""Measures the images per second of a generator in three forms: as published, as in training, and folded.

    python benchmarks/inference.py --resolution 256 --batch-size 16 --precision bfloat16 --json

The time includes drawing latents and noise, as in `gan-tf generate`, but not writing files. On a machine with other
load, use the ratios, which are medians over rounds, and the images per second of CPU time, the rate of one core.
"""

import dataclasses
import statistics
import sys
import time
from typing import Literal

from frame import run
from trainers import WIDTHS


@dataclasses.dataclass(frozen=True)
class InferenceOptions:
    """Measures the speed of a generator with initial weights."""

    model: Literal["fastgan", "pggan", "stylegan2"] = "fastgan"  # family of the networks
    resolution: int = 256  # pixels
    ngf: int | None = None  # fastgan: width of the generator; default as in training
    fmap_base: int | None = None  # pggan: width of the generator; default as in training
    channel_base: int | None = None  # stylegan2: width of the generator; default as in training
    batch_size: int | None = None  # default as in `gan-tf generate`
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # as in `gan-tf generate`
    rounds: int = 7  # timed batches of each form
    json: bool = False  # print one JSON object


def measure(options):
    """Returns the measurements as a dict."""
    from gan_tf.config.presets import PRESETS
    from gan_tf.distributed import devices
    from gan_tf.models import FAMILIES
    from gan_tf.ops.forms import FAST, PLAIN, has_gpu
    from gan_tf.sampling.generate import suitable_batch_size

    precision = devices.choose_precision(options.precision)[0]
    batch_size = options.batch_size or suitable_batch_size((options.resolution, options.resolution, 3), has_gpu())
    name = WIDTHS[options.model][0]  # of the generator
    widths = {name: value} if (value := getattr(options, name)) is not None else {}
    preset = next(iter(PRESETS[options.model].values()))
    config = dataclasses.replace(preset, resolution=options.resolution, **widths)
    family = FAMILIES[options.model]
    generator = family.generator(config, devices.KERAS_POLICIES[precision])
    if config.grows:
        generator.growth.assign(generator.levels)
    started = time.perf_counter()
    folded = family.fold(generator)
    fold_seconds = time.perf_counter() - started
    images_only = ImagesOnly(generator)
    variants = {"published": (images_only, PLAIN), "training": (images_only, FAST), "folded": (folded, FAST)}
    first, seconds, cpu_seconds = time_alternately(variants, batch_size, options.rounds)
    return {
        "model": options.model,
        "resolution": options.resolution,
        **widths,
        "batch_size": batch_size,
        "precision": precision,
        "device": devices.describe(),
        **{f"{name}_images_per_second": speed(batch_size, s) for name, s in seconds.items()},
        **{f"{name}_images_per_cpu_second": speed(batch_size, s) for name, s in cpu_seconds.items()},
        "folded_to_published": median_ratio(seconds["published"], seconds["folded"]),
        "folded_to_training": median_ratio(seconds["training"], seconds["folded"]),
        "fold_seconds": round(fold_seconds, 3),
        **{f"{name}_first_batch_seconds": round(s, 2) for name, s in first.items()},
        "peak_memory_gb": round(devices.peak_memory_gb(), 2),
    }


@dataclasses.dataclass(frozen=True)
class ImagesOnly:
    """A generator that returns images only, as a folded one does. FastGAN's generator also returns smaller images."""

    generator: object

    def __getattr__(self, name):
        return getattr(self.generator, name)

    def __call__(self, latents, labels=None, noise=None, training=False):
        images = self.generator(latents, labels, noise=noise, training=training)
        return images[0] if isinstance(images, tuple) else images


def time_alternately(variants, batch_size, rounds):
    """Times a batch of every variant in turn.

    Args:
        variants: {name: (generator, ops.forms.Forms)}.

    Returns:
        ({name: seconds of the first batch, with tracing}, {name: list of the seconds of `rounds` batches}, the same in
        CPU seconds).
    """
    import tensorflow as tf

    from gan_tf.ops.forms import use_forms
    from gan_tf.sampling.generate import compiled

    seeds = tf.range(batch_size, dtype=tf.int64)
    functions = {name: compiled(network) for name, (network, _) in variants.items()}
    first = {}
    for name, generate in functions.items():
        with use_forms(variants[name][1]):  # the forms are chosen when the function is traced
            first[name], _ = seconds_of(generate, seeds)
    seconds, cpu_seconds = ({name: [] for name in functions} for _ in range(2))
    for _ in range(rounds):
        for name, generate in functions.items():
            wall, cpu = seconds_of(generate, seeds)
            seconds[name].append(wall)
            cpu_seconds[name].append(cpu)
    return first, seconds, cpu_seconds


def speed(batch_size, seconds):
    """Returns images per second, from the median of the seconds of a batch."""
    return round(batch_size / statistics.median(seconds), 2)


def median_ratio(slow, fast):
    """Returns the median over rounds of the ratio of times."""
    return round(statistics.median(a / b for a, b in zip(slow, fast, strict=True)), 2)


def seconds_of(generate, seeds):
    """Returns (seconds until the images are in host memory, CPU seconds of all threads)."""
    started, cpu_started = time.perf_counter(), time.process_time()
    generate(seeds).numpy()
    return time.perf_counter() - started, time.process_time() - cpu_started


if __name__ == "__main__":
    sys.exit(run(InferenceOptions, measure, sys.argv[1:], prog="benchmarks/inference.py"))
