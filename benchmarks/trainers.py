"""Builds a Trainer on random images without a run folder, and times its steps."""

import dataclasses
import time
from typing import Literal

from gan_tf.config.presets import PRESETS
from gan_tf.config.settings import TrainConfig
from gan_tf.config.validation import SIZES
from gan_tf.errors import UsageError

WIDTHS = {
    "fastgan": ("ngf", "ndf"),
    "pggan": ("fmap_base", "fmap_max"),
    "stylegan2": ("channel_base", "channel_max"),
}


@dataclasses.dataclass(frozen=True)
class TrainerOptions:
    """Settings of training on random images."""

    model: Literal["fastgan", "pggan", "stylegan2"] = "fastgan"  # the family of networks
    resolution: int = 256  # pixels; for a growing family that of its last level
    level: int | None = None  # pggan: 0 is 4x4 pixels, 1 is 8x8, ...; default all
    batch_size: int | None = None  # images per step; default 8, otherwise the official numbers for one GPU
    ngf: int = 64  # fastgan: width of the generator
    ndf: int = 64  # fastgan: width of the discriminator
    fmap_base: int = 8192  # pggan: width, an image of R pixels has 2 * fmap_base / R channels
    fmap_max: int = 512  # pggan: most channels
    channel_base: int = 16384  # stylegan2: width, maps of R pixels have channel_base / R channels
    channel_max: int = 512  # stylegan2: most channels
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # as in training
    augment: Literal["default", "none"] = "default"  # none: without the family's default augmentation
    p: float = 0.5  # ada: probability of each transform, 0 to 1; at 0 no image is changed, which costs little
    micro_batch: int | None = None  # images that are computed together
    images: int = 32  # number of images of the dataset
    jit: bool = False  # as in training
    json: bool = False  # print one JSON object


def make_trainer(options, cluster=None):
    """Returns a Trainer on random images.

    Args:
        options: see `settings`; a field `p` sets ADA's probability, and `images` the number of images.
        cluster: Workers; None: as `build_trainer` chooses.
    """
    import numpy as np

    from gan_tf.augment.choice import ADA_P
    from gan_tf.data.prepare import prepare
    from gan_tf.data.sources import ArraySource
    from gan_tf.training.trainer import build_trainer

    size = options.resolution
    noise = np.random.default_rng(0).integers(0, 256, (getattr(options, "images", 32), size, size, 3), np.uint8)
    images = prepare(ArraySource("random", noise), size=(size, size), log=lambda text: None)
    trainer = build_trainer(settings(options), images, None, cluster, log=lambda text: None)
    if ADA_P in trainer.state.extra:
        trainer.state.extra[ADA_P].assign(getattr(options, "p", 0.0))
    return trainer


def settings(options):
    """Returns the TrainConfig of a benchmark's options.

    Args:
        options: has the attributes model, resolution, level, precision, micro_batch, batch_size (of all devices
            together; None for the family's default), the family's WIDTHS and optionally augment, jit and p.

    Raises:
        UsageError: a wrong option.
    """
    check_level(options)
    if not 0 <= getattr(options, "p", 0.0) <= 1:
        raise UsageError(f"--p is {options.p}; give a number from 0 to 1")
    given = {"resolution": options.resolution, "precision": options.precision, "micro_batch": options.micro_batch}
    if options.batch_size is not None:
        batch = options.batch_size
        given |= {"phase_batch": str(batch)} if options.model == "pggan" else {"batch_size": batch}
    defaults = next(iter(PRESETS[options.model].values()))
    if getattr(options, "augment", "default") != "default":
        given["augment"] = options.augment
    given["jit"] = getattr(options, "jit", False)
    # swd2k needs no downloaded network.
    changes = {"dataset": "random", "metric": "swd2k", **given, **widths(options)}
    return TrainConfig(**{**vars(defaults), **changes})


def widths(options):
    """Returns the settings for the width of the networks."""
    return {name: getattr(options, name) for name in WIDTHS[options.model]}


def check_level(options):
    """Raises UsageError for a --level that networks of --resolution do not have."""
    if options.level is None:
        return
    if options.model != "pggan":
        raise UsageError(f"--level is for --model pggan; leave it out with --model {options.model}")
    last = sum(size <= options.resolution for size in SIZES) - 1
    if not 0 <= options.level <= last:
        raise UsageError(f"--level is {options.level}; give 0 to {last} at --resolution {options.resolution}")


def image_at_level(trainer, level):
    """Returns `images_seen` in the middle of the fade of `level`."""
    from gan_tf.training.schedule import fade_of

    first, images = fade_of(trainer.stages, level)
    return first + images // 2


def time_steps(trainer, seen, options, ready=lambda: None):
    """Returns the seconds of a step in each of several calls, after two untimed ones, which choose kernels.

    Args:
        trainer: Trainer that has entered the stage of image `seen`.
        options: has steps (timed calls) and steps_per_call.
        ready: called before the first timed call.
    """
    seconds = []
    trainer.iterator = None
    for i in range(options.steps + 2):
        if i == 2:
            ready()
        started = time.perf_counter()
        seen, _, _ = trainer.take_steps(seen, options.steps_per_call)
        seconds.append((time.perf_counter() - started) / options.steps_per_call)
    return seconds[2:]
