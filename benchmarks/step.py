"""Seconds of one training step, and how much of the machine's convolution speed it uses.

    python benchmarks/step.py --model fastgan --resolution 256 --batch-size 8 --precision bfloat16 --json
    python benchmarks/step.py --model pggan --resolution 256 --level 4 --precision bfloat16 --json
    python benchmarks/step.py --model stylegan2 --resolution 64 --channel-base 4096 --batch-size 16 --json

Augmentation, averaging, reconstruction and penalties are in the step, as in training. FLOP are those of the
convolutions and matrix products that the compiled step executes, two for a multiply and add. The peak is that of one
large 3x3 convolution, measured in the same process and precision.

A family that grows is measured at one level (0 is 4x4 pixels, 1 is 8x8) or, without --level, at all of them, in the
middle of the level's fade: behind it a step costs the same.

A family whose step has phases (stylegan2) is measured phase by phase; the step is their sum, each phase counted as
often as it comes: its regularisers, which are in some steps only, are then in the mean in their share.
"""

import dataclasses
import statistics
import sys
from typing import Literal

from convolutions import convolution_peak, graph_flops
from frame import run
from jobs import image_at_level, make_job, time_steps, widths


@dataclasses.dataclass(frozen=True)
class JobOptions:
    """What is trained on random images."""

    model: Literal["fastgan", "pggan", "stylegan2"] = "fastgan"  # the family of networks
    resolution: int = 256  # pixels; of a family that grows, at its last level
    level: int | None = None  # pggan: 0 is 4x4 pixels, 1 is 8x8, ...; default all
    batch_size: int | None = None  # images in a step; default 8, for the others the official numbers for one GPU
    ngf: int = 64  # fastgan: width of the generator
    ndf: int = 64  # fastgan: width of the discriminator
    fmap_base: int = 8192  # pggan: width, an image of R pixels has 2 * fmap_base / R channels
    fmap_max: int = 512  # pggan: most channels
    channel_base: int = 16384  # stylegan2: width, maps of R pixels have channel_base / R channels
    channel_max: int = 512  # stylegan2: most channels
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # as in training
    augment: Literal["default", "none"] = "default"  # none: without what the family's default has
    p: float = 0.5  # ada: probability of each transform, 0 to 1; at 0 no image is touched, and that costs little
    micro_batch: int | None = None  # images at once
    json: bool = False  # print one JSON object


@dataclasses.dataclass(frozen=True)
class StepOptions(JobOptions):
    """Measures a training step on random images."""

    steps: int = 5  # calls timed, after two that are not
    steps_per_call: int = 1  # steps in a call of the graph; more hide what Python takes


def measure(options):
    """Returns the figures as a dict."""
    from gan_tf.distributed import devices

    job = make_job(options)
    precision = devices.choose_precision(options.precision)[0]
    peak = convolution_peak(precision)
    return {
        "model": options.model,
        "resolution": options.resolution,
        **widths(options),
        "precision": precision,
        "device": devices.describe(),
        "convolution_peak_gflops": round(peak / 1e9, 1),
        **(measure_levels(job, options, peak) if job.config.grows else measure_stage(job, 0, options, peak)),
        "peak_memory_gb": round(devices.peak_memory_gb(), 2),
    }


def measure_levels(job, options, peak):
    """The figures of one level, or of all: {"levels": [...]}."""
    from gan_tf.models.pggan import level_of

    found = []
    for level in range(level_of(options.resolution) + 1) if options.level is None else [options.level]:
        figures = measure_stage(job, image_at_level(job, level), options, peak)
        found.append({"level": level, "pixels": job.stage.resolution, **figures})
    return found[0] if options.level is not None else {"levels": found}


def measure_stage(job, seen, options, peak):
    """The figures of the steps at image `seen`."""
    job.enter(job.stage_at(seen))
    if len(job.recipe.phases) > 1:
        return measure_phases(job, seen, options, peak)
    seconds = time_steps(job, seen, options)
    flops, batch = step_flops(job, seen), job.stage.batch_size
    return {
        "batch_size": batch,
        "seconds_per_step": round(statistics.median(seconds), 4),
        "seconds_per_step_min_max": [round(min(seconds), 4), round(max(seconds), 4)],
        "images_per_second": round(batch / statistics.median(seconds), 2),
        "gflop_per_image": round(flops / batch / 1e9, 3),
        "fraction_of_peak": round(flops / statistics.median(seconds) / peak, 3),
    }


def measure_phases(job, seen, options, peak):
    """The figures of a step whose phases come more or less often, and of each phase: {"phases": [...]}."""
    found, mean, flops, batch = [], 0.0, 0.0, job.stage.batch_size
    for phase in job.recipe.phases:
        seconds = time_steps(alone(job, phase), seen, options)
        own, middle = step_flops(job, seen, phase.update), statistics.median(seconds)
        mean, flops = mean + middle / phase.every, flops + own / phase.every
        found.append(
            {
                "phase": phase.update.__name__,
                "every": phase.every,
                "seconds": round(middle, 4),
                "seconds_min_max": [round(min(seconds), 4), round(max(seconds), 4)],
                "gflop_per_image": round(own / batch / 1e9, 3),
                "fraction_of_peak": round(own / middle / peak, 3),
            }
        )
    for figures in found:
        figures["share_of_step"] = round(figures["seconds"] / figures["every"] / mean, 3)
    return {
        "batch_size": batch,
        "augment": job.config.augment,
        **({"p": options.p} if job.config.augment == "ada" else {}),
        "seconds_per_step": round(mean, 4),
        "images_per_second": round(batch / mean, 2),
        "gflop_per_image": round(flops / batch / 1e9, 3),
        "fraction_of_peak": round(flops / mean / peak, 3),
        "phases": found,
    }


def alone(job, phase):
    """The job, at the same stage, with one phase of its step and nothing else."""
    recipe = dataclasses.replace(job.recipe, phases=(dataclasses.replace(phase, every=1),))
    statistics = {name: job.state.statistics[name] for name in recipe.statistics}
    return dataclasses.replace(
        job, recipe=recipe, state=dataclasses.replace(job.state, statistics=statistics), compiled={}
    )


def step_flops(job, seen, update=None):
    """Floating-point operations of the convolutions and matrix products of one step, or of a phase of it.

    The step is traced once more without the loop around it.
    """
    import tensorflow as tf

    from gan_tf.rng import Draws

    stage = job.stage
    variant = job.recipe.variant(job.config, stage, job.parts)
    update = update or job.recipe.phases[0].update

    @tf.function(autograph=False)
    def step(reals, labels, clock):
        draws = Draws(job.config.seed, clock, stage.batch_size)
        return update(job.state, reals, labels, draws, variant)

    size = stage.resolution
    graph = step.get_concrete_function(
        tf.TensorSpec((stage.batch_size, size, size, 3)),
        tf.TensorSpec((stage.batch_size,), tf.int32),
        tf.TensorSpec((), tf.int64),
    ).graph
    return graph_flops(graph)


if __name__ == "__main__":
    sys.exit(run(StepOptions, measure, sys.argv[1:], prog="benchmarks/step.py"))
