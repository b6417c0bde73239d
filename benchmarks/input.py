"""Measures the images per second of decoding and of the input pipeline.

    python benchmarks/input.py --json
    python benchmarks/input.py --dataset panda --resolution 256 --batch-size 8

`decode`: from encoded files to squares of the training resolution. `resident`, `host`, `mapped`: float32 batches of a
set on the device, in host memory, or in the cache on the disk. `order`: indices only. The input does not slow training
down if these figures are well above the images per second of a training step.

`resident_4`, `mapped_4` and so on: the same images at the smallest sizes of a growing network, in batches of
`--low-batch-size`. `reduce`: making all smaller sizes from the full size on the disk.
"""

import dataclasses
import io
import os
import sys
import tempfile
import time
from typing import Literal

from frame import run

LOW_SIZES = (4, 8, 16)  # pixels; steps at these sizes are so short that the input may limit them


@dataclasses.dataclass(frozen=True)
class InputOptions:
    """Measures the speed of decoding and of batches."""

    dataset: str | None = None  # as in training; default: random smooth JPEG files of --source-size
    source_size: int = 512  # pixels, side of the default files
    images: int = 200  # number of images
    resolution: int = 256  # pixels
    fit: Literal["crop", "pad", "stretch"] = "crop"  # how an image becomes square
    batch_size: int = 8  # images in a batch
    low_batch_size: int = 128  # images in a batch of 4, 8 or 16 pixels
    seconds: float = 3.0  # duration of each measurement
    json: bool = False  # print one JSON object


def measure(options):
    """Returns the figures as a dict; speeds in images per second."""
    from gan_tf.data.prepare import prepare
    from gan_tf.distributed import devices

    source = open_images(options)
    settings = {"size": (options.resolution, options.resolution), "fit": options.fit, "limit": options.images}
    with tempfile.TemporaryDirectory() as folder:  # without cached sets
        source.digests  # noqa: B018  hashed first, so that only decoding is timed
        start = time.perf_counter()
        memory = prepare(source, cache_dir=folder, **settings)
        decode = len(memory) / (time.perf_counter() - start)
        mapped = prepare(source, cache_dir=folder, memory_gb=0, log=lambda line: None, **settings)
        return {
            "images": len(memory),
            "resolution": options.resolution,
            "batch_size": options.batch_size,
            "device": devices.describe(),
            "cores": os.cpu_count(),
            "decode": round(decode),
            "order": round(rate(memory, options, resident=True, load=False)),
            "resident": round(rate(memory, options, resident=True)),
            "host": round(rate(memory, options, resident=False)),
            "mapped": round(rate(mapped, options, resident=False)),
            **low(memory, mapped, options),
            "peak_memory_gb": round(devices.peak_memory_gb(), 2),
        }


def low(memory, mapped, options):
    """Returns the figures of the smaller sizes, {name: images per second}."""
    sizes = [size for size in LOW_SIZES if size < options.resolution and options.resolution % size == 0]
    if not sizes:
        return {}
    start = time.perf_counter()
    mapped.at(sizes[0])  # makes all sizes
    figures = {"reduce": round(len(mapped) / (time.perf_counter() - start))}
    options = dataclasses.replace(options, batch_size=options.low_batch_size)
    for size in sizes:
        figures[f"resident_{size}"] = round(rate(memory.at(size), options, resident=True))
        figures[f"mapped_{size}"] = round(rate(mapped.at(size), options, resident=False))
    return figures


def rate(image_set, options, resident, load=True):
    """Returns the images per second of the input pipeline, in batches as a training step uses them."""
    import tensorflow as tf

    from gan_tf.data.pipeline import InputPipeline

    pipeline = InputPipeline(image_set, options.batch_size, seed=0, resident=resident)
    pipeline.place()
    batches = iter(pipeline.dataset(0))

    @tf.function
    def step(element):
        return tf.reduce_sum(pipeline.load(element)[0]) if load else element["index"][0]

    step(next(batches))
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < options.seconds:
        result = step(next(batches))
        done += options.batch_size
    result.numpy()  # waits for the device
    return done / (time.perf_counter() - start)


def open_images(options):
    """Returns the source of --dataset, or JPEG files in memory."""
    if options.dataset:
        from gan_tf.cli.datasets import resolve

        return resolve(options.dataset, size=(options.resolution, options.resolution))
    from gan_tf.data.sources import ArraySource

    return ArraySource("random", [random_jpeg(i, options.source_size) for i in range(options.images)])


def random_jpeg(seed, size):
    """Returns a smooth image with some detail, as the bytes of a JPEG file."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(seed)
    smooth = Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).resize((size, size), Image.BICUBIC)
    detail = generator.normal(0, 8, (size, size, 3))
    file = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(smooth) + detail, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(run(InputOptions, measure, sys.argv[1:], prog="benchmarks/input.py"))
