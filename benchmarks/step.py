"""Measures the seconds of a training step, and the share of the machine's convolution speed that it reaches.

    python benchmarks/step.py --model fastgan --resolution 256 --batch-size 8 --precision bfloat16 --json
    python benchmarks/step.py --model pggan --resolution 256 --level 4 --precision bfloat16 --json
    python benchmarks/step.py --model stylegan2 --resolution 64 --channel-base 4096 --batch-size 16 --json
    python benchmarks/step.py --resolution 64 --ngf 32 --ndf 32 --images 60000 --json    # with a larger dataset

The step includes augmentation, EMA, reconstruction and penalties, as in training. FLOP are those of the convolutions
and matrix products of the compiled step, two for a multiply and add. The peak is the speed of one large 3x3
convolution, measured in the same process and precision.

A growing family is measured at one level (0 is 4x4 pixels, 1 is 8x8) or, without --level, at each, in the middle of the
level's fade; after the fade a step costs the same.

A step with lazy phases (stylegan2: penalties in some of the steps only) is measured phase by phase. The figures of the
step are the sums over phases, weighted by their frequency.
"""

import dataclasses
import statistics
import sys

from convolutions import convolution_peak, graph_flops
from frame import run
from trainers import TrainerOptions, image_at_level, make_trainer, time_steps, widths


@dataclasses.dataclass(frozen=True)
class StepOptions(TrainerOptions):
    """Measures a training step on random images."""

    steps: int = 5  # calls timed, after two that are not
    steps_per_call: int = 1  # steps in a call of the graph; more hide what Python takes


def measure(options):
    """Returns the figures as a dict."""
    from gan_tf.distributed import devices

    trainer = make_trainer(options)
    precision = devices.choose_precision(options.precision)[0]
    peak = convolution_peak(precision)
    grows = trainer.config.grows
    figures = measure_levels(trainer, options, peak) if grows else measure_stage(trainer, 0, options, peak)
    return {
        "model": options.model,
        "resolution": options.resolution,
        **widths(options),
        "precision": precision,
        "jit": options.jit,
        "images": options.images,
        "device": devices.describe(),
        "convolution_peak_gflops": round(peak / 1e9, 1),
        **figures,
        "peak_memory_gb": round(devices.peak_memory_gb(), 2),
    }


def measure_levels(trainer, options, peak):
    """Returns the figures of one level, or of all as {"levels": [...]}."""
    from gan_tf.models.pggan import level_of

    levels = []
    for level in range(level_of(options.resolution) + 1) if options.level is None else [options.level]:
        figures = measure_stage(trainer, image_at_level(trainer, level), options, peak)
        levels.append({"level": level, "pixels": trainer.stage.resolution, **figures})
    return levels[0] if options.level is not None else {"levels": levels}


def measure_stage(trainer, seen, options, peak):
    """Returns the figures of a step at `images_seen` = `seen`. `peak`: floating-point operations per second."""
    trainer.enter(trainer.stage_at(seen))
    if len(trainer.recipe.phases) > 1:
        return measure_phases(trainer, seen, options, peak)
    seconds = time_steps(trainer, seen, options)
    flops, batch = step_flops(trainer, seen), trainer.stage.batch_size
    return {
        "batch_size": batch,
        "seconds_per_step": round(statistics.median(seconds), 4),
        "seconds_per_step_min_max": [round(min(seconds), 4), round(max(seconds), 4)],
        "images_per_second": round(batch / statistics.median(seconds), 2),
        "gflop_per_image": round(flops / batch / 1e9, 3),
        "fraction_of_peak": round(flops / statistics.median(seconds) / peak, 3),
    }


def measure_phases(trainer, seen, options, peak):
    """Returns the figures of a step with lazy phases, and of each phase: {"phases": [...]}."""
    phases, mean, flops, batch = [], 0.0, 0.0, trainer.stage.batch_size
    for phase in trainer.recipe.phases:
        seconds = time_steps(only_phase(trainer, phase), seen, options)
        phase_flops, middle = step_flops(trainer, seen, phase.update), statistics.median(seconds)
        mean, flops = mean + middle / phase.every, flops + phase_flops / phase.every
        phases.append(
            {
                "phase": phase.update.__name__,
                "every": phase.every,
                "seconds": round(middle, 4),
                "seconds_min_max": [round(min(seconds), 4), round(max(seconds), 4)],
                "gflop_per_image": round(phase_flops / batch / 1e9, 3),
                "fraction_of_peak": round(phase_flops / middle / peak, 3),
            }
        )
    for figures in phases:
        figures["share_of_step"] = round(figures["seconds"] / figures["every"] / mean, 3)
    return {
        "batch_size": batch,
        "augment": trainer.config.augment,
        **({"p": options.p} if trainer.config.augment == "ada" else {}),
        "seconds_per_step": round(mean, 4),
        "images_per_second": round(batch / mean, 2),
        "gflop_per_image": round(flops / batch / 1e9, 3),
        "fraction_of_peak": round(flops / mean / peak, 3),
        "phases": phases,
    }


def only_phase(trainer, phase):
    """Returns a copy of the Trainer at the same stage, with one phase as its step."""
    recipe = dataclasses.replace(trainer.recipe, phases=(dataclasses.replace(phase, every=1),))
    statistics = {name: trainer.state.statistics[name] for name in recipe.statistics}
    return dataclasses.replace(
        trainer, recipe=recipe, state=dataclasses.replace(trainer.state, statistics=statistics), compiled={}
    )


def step_flops(trainer, seen, update=None):
    """Returns the floating-point operations of the convolutions and matrix products of a step, or of one of its phases.

    The step is traced again, without the loop over steps. `update`: the function of a phase; None: of the first.
    """
    import tensorflow as tf

    from gan_tf.rng import Draws

    stage, update = trainer.stage, update or trainer.recipe.phases[0].update

    @tf.function(autograph=False)
    def step(reals, labels, images_seen):
        draws = Draws(trainer.config.seed, images_seen, stage.batch_size)
        return update(trainer.state, reals, labels, draws, trainer.variant)

    size = stage.resolution
    graph = step.get_concrete_function(
        tf.TensorSpec((stage.batch_size, size, size, 3)),
        tf.TensorSpec((stage.batch_size,), tf.int32),
        tf.TensorSpec((), tf.int64),
    ).graph
    return graph_flops(graph)


if __name__ == "__main__":
    sys.exit(run(StepOptions, measure, sys.argv[1:], prog="benchmarks/step.py"))
