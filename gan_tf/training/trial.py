"""Trial steps: `--micro-batch auto` measures their memory, `--dry-run` their memory and time."""

import tensorflow as tf

from gan_tf.config.settings import WIDTH_FLAGS, stored_settings
from gan_tf.distributed import devices
from gan_tf.errors import Diverged, UsageError
from gan_tf.training.log import duration
from gan_tf.training.recovery import find_divergence, remedy
from gan_tf.training.resume import open_run
from gan_tf.training.schedule import ends_of
from gan_tf.training.selection import expected_score_seconds, find_missing_score, reason_to_end
from gan_tf.training.state import state_bytes

DRY_STEPS = 3


def find_micro_batch(trainer):
    """Sets `trainer.micro_batch` to the largest one with which a step of the current stage fits into memory.

    Takes real steps with ever smaller micro-batches until one fits, and restores the state. A GPU raises an error if
    its memory is exhausted. On a CPU the system would kill the process, so sizes are left out that are too large when
    the memory of the two smallest is extrapolated. Writes no file.

    Raises:
        UsageError: not even the smallest micro-batch fits.
    """
    share = trainer.stage.batch_size // trainer.strategy.num_replicas_in_sync
    least = 2 if trainer.config.energy_weight else 1
    sizes = [size for size in range(share, least - 1, -1) if share % size == 0]
    variables = trainer.state.named_variables()
    before = {name: variable.numpy() for name, variable in variables.items()}
    for size in sizes if tf.config.list_logical_devices("GPU") else find_sizes_that_fit(trainer, sizes):
        try:
            take_trial_step(trainer, size)
        except tf.errors.ResourceExhaustedError:
            trainer.log.print(f"a micro-batch of {size} does not fit")
            continue
        for name, variable in variables.items():
            variable.assign(before[name])
        trainer.iterator = None
        trainer.log.print(f"micro-batch: {size} of the {share} images of each device (auto)")
        return
    is_float32 = trainer.state.g.dtype_policy.compute_dtype == "float32"
    raise UsageError(
        f"{trainer.config.size_flag}: not even a micro-batch of {least} fits into memory; "
        + "give --precision bfloat16 to continue this run, or " * is_float32
        + f"start another (--run NAME) with a smaller {trainer.config.size_flag.split()[0]}, "
        + f"or smaller {WIDTH_FLAGS[trainer.config.model]}"
    )


def find_sizes_that_fit(trainer, sizes):
    """Tries the smallest two of the descending micro-batch `sizes`, and returns those that should fit into memory."""
    if len(sizes) < 3:
        return sizes
    peaks = []
    larger, small = sizes[-2:]
    for size in (small, larger):
        take_trial_step(trainer, size)
        peaks.append(devices.peak_memory_gb())
    per_image = (peaks[1] - peaks[0]) / (larger - small)
    if per_image <= 0:  # the peak was earlier: the images need at most all of it
        per_image = peaks[1] / larger
    free = devices.free_memory_gb()
    return [size for size in sizes if peaks[1] + per_image * (size - larger) <= free] or sizes[-1:]


def take_trial_step(trainer, micro_batch):
    """Takes one step at the first image of the stage, where all phases are due."""
    trainer.micro_batch, trainer.iterator = micro_batch, None
    trainer.take_steps(trainer.stage.first_image, count=1)


def dry_run(trainer):
    """Takes a few real steps at every size, and logs the memory, disk space and time of the run. Writes no file.

    Raises:
        Diverged: a step is not finite.
        UsageError: as the start of the run would, see `open_run`.
    """
    config, log, recipe = trainer.config, trainer.log.print, trainer.recipe
    log("settings: " + ", ".join(f"{name} {value}" for name, value in stored_settings(config).items()))
    seen = open_run(trainer) or 0
    trainer.run.close()  # the run may be started meanwhile
    find_missing_score(trainer, seen, seen >= config.total_images)  # it may set the scores that --patience counts
    if end := reason_to_end(trainer, seen):
        log(f"nothing to train after {seen} images: {end}")
        return
    if seen:
        log(f"would continue {trainer.run.folder} from {seen} images ({seen / 1000:.1f} kimg)")
    stages = list({stage.resolution: stage for stage in trainer.stages}.values())
    steps = max(DRY_STEPS, *(phase.every for phase in recipe.phases))  # phases run with their frequencies
    sizes = f" at each of {len(stages)} sizes" if len(stages) > 1 else ""
    log(f"measuring {steps} steps{sizes}, and a score ...")
    image_seconds = {stage.resolution: seconds_per_image(trainer, stage, steps) for stage in stages}
    recipe.set_progress(trainer.state, trainer.stages, config.total_images)  # a score is slowest at full size
    score_seconds = expected_score_seconds(trainer) if trainer.workers.is_chief else 0.0
    [score_seconds] = trainer.workers.broadcast(score_seconds)
    training_seconds = sum(
        image_seconds[stage.resolution] * max(0, end - max(seen, stage.first_image))
        for stage, end in zip(trainer.stages, ends_of(trainer.stages, config.total_images), strict=True)
    )
    left = config.total_images - seen
    scoring_seconds = score_seconds * left / (trainer.epoch_images * config.eval_every)
    saved_bytes = state_bytes(trainer.state)
    log(f"memory: at most {devices.peak_memory_gb():.1f} GB")
    log(f"disk: {(config.keep + 1) * saved_bytes / 2**30:.1f} GB, for {config.keep} checkpoints and one being written")
    for stage in stages:
        seconds = image_seconds[stage.resolution]
        size = f" at {config.size_text_at(stage.resolution)}" if len(stages) > 1 else ""
        log(
            f"speed{size}: {seconds * stage.batch_size:.3f} s per step, {1 / seconds:.1f} images/s, "
            f"{1000 * seconds:.3g} s per kimg"
        )
    share = scoring_seconds / (scoring_seconds + training_seconds)
    log(f"{trainer.metric}: {duration(score_seconds)} every {config.eval_every} epochs, {share:.0%} of the time")
    log(f"time: about {duration(training_seconds + scoring_seconds)} for {left / 1000:g} kimg")


def seconds_per_image(trainer, stage, steps):
    """Returns the seconds per image of a stage, measured over `steps` steps. Raises Diverged if one is not finite."""
    trainer.enter(stage)
    if trainer.config.micro_batch == "auto":
        find_micro_batch(trainer)
    trainer.take_steps(stage.first_image, count=1)  # untimed: traces the step, and kernels choose their algorithms
    _, statistics, (images, seconds) = trainer.take_steps(stage.first_image, count=steps)
    if problem := find_divergence(trainer, statistics, stage.first_image, is_epoch=False):
        raise Diverged(f"{problem} in the first steps; {remedy(trainer, problem)}")
    return seconds / images
