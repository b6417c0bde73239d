"""Real steps taken on trial: what a run will cost (`--dry-run`), and what fits into memory (`--micro-batch auto`)."""

import time

import numpy as np
import tensorflow as tf

from gan_tf.config.settings import WIDTH_FLAGS, stored_settings
from gan_tf.distributed import devices
from gan_tf.errors import UsageError
from gan_tf.training import state as states
from gan_tf.training.monitor import check_finite, duration
from gan_tf.training.step import phases_of

DRY_STEPS = 3


def dry_run(job):
    """Takes a few real steps, says what a run will need, and writes nothing into the run folder.

    Memory and time are measured on this machine, not looked up.
    """
    config, log = job.config, job.cluster.log
    log("settings: " + ", ".join(f"{name} {value}" for name, value in stored_settings(config).items()))
    stages = list({stage.resolution: stage for stage in job.stages}.values())
    at_sizes = f" at each of {len(stages)} sizes" if len(stages) > 1 else ""
    log(f"measuring {steps_tried(job.recipe)} steps{at_sizes}, and a score ...")
    image_seconds = {stage.resolution: step_seconds(job, stage) / stage.batch_size for stage in stages}
    job.recipe.arrive(job.state, job.stages, config.total_images)  # a score costs most at the size of the end
    job.sampler.refresh()
    chief_seconds = job.evaluator.expected_seconds(job.sampler, job.metric) if job.cluster.is_chief else 0.0
    [score_seconds] = job.cluster.broadcast(chief_seconds)
    training = sum(
        image_seconds[stage.resolution] * (end - min(stage.first_image, end))
        for stage, end in zip(job.stages, ends_of(job), strict=True)
    )
    scores = score_seconds * config.total_images / (job.epoch_images * config.eval_every)
    saved = 4 * sum(int(np.prod(variable.shape)) for variable in job.state.named_variables().values()) / 2**30
    log(f"memory: {devices.peak_memory_gb():.1f} GB at most")
    log(f"disk: {(config.keep + 1) * saved:.1f} GB, for {config.keep} checkpoints and one being written")
    for stage in stages:
        seconds = image_seconds[stage.resolution]
        at_size = f" at {stage.resolution}x{stage.resolution}" if len(stages) > 1 else ""
        log(f"speed{at_size}: {seconds * stage.batch_size:.3f} s for a step, {1 / seconds:.1f} images/s")
    share = scores / (scores + training)
    log(f"{job.metric}: {duration(score_seconds)} every {config.eval_every} epochs, {share:.0%} of the time")
    log(f"time: about {duration(training + scores)} for {config.total_images / 1000:g} kimg")


def find_micro_batch(job, log=print):
    """Sets `job.micro_batch` so that a step of this stage fits into memory: tries real steps with ever smaller
    micro-batches, then undoes them.

    On a GPU the allocator's refusal decides. On a CPU, where the system would kill the process instead, a smaller
    micro-batch is measured first and the growth with its size tells which size fits.

    Raises:
        UsageError: not even one image at a time fits.
    """
    share = job.stage.batch_size // job.strategy.num_replicas_in_sync
    sizes = [size for size in range(share, 0, -1) if share % size == 0]
    seen = int(job.state.images_seen.numpy())
    states.save(job.state, job.run, job.config.keep)
    for size in sizes if tf.config.list_logical_devices("GPU") else sizes_by_measure(job, sizes):
        job.micro_batch = size
        try:
            take_steps(job, 1, job.stage.first_image)  # all phases are in that step
        except tf.errors.ResourceExhaustedError:
            log(f"a micro-batch of {size} does not fit")
            continue
        if states.restore_newest(job.state, job.run, log) != seen:
            raise RuntimeError("the checkpoint written before the trial is gone")
        log(f"micro-batch: {size} of the {share} images of each device (auto)")
        return
    widths = WIDTH_FLAGS[job.config.model]
    raise UsageError(
        f"--resolution is {job.config.resolution}: not even one image at a time fits; give a smaller --resolution, "
        f"{widths}, or --precision bfloat16"
    )


def sizes_by_measure(job, sizes):
    """Those of the micro-batch `sizes` (descending) that the free memory should hold, from two small trials."""
    if len(sizes) < 3:
        return sizes
    peaks = {}
    for size in sizes[-2:][::-1]:  # the two smallest
        job.micro_batch = size
        take_steps(job, 1, job.stage.first_image)
        peaks[size] = devices.peak_memory_gb()
    small, larger = sorted(peaks)
    per_image = (peaks[larger] - peaks[small]) / (larger - small)
    if per_image <= 0:  # the process held more before: a size takes at most what all of it would be for these images
        per_image = peaks[larger] / larger
    free = devices.free_memory_gb()
    return [size for size in sizes if peaks[larger] + per_image * (size - larger) <= free] or sizes[-1:]


def ends_of(job):
    """Images seen at the end of each stage, none past the end of the run."""
    total = job.config.total_images
    return [min(total, stage.first_image) for stage in job.stages[1:]] + [total]


def step_seconds(job, stage):
    """Seconds of a step of a stage, without counting its images."""
    job.enter(stage)
    return take_steps(job, steps_tried(job.recipe), stage.first_image)


def steps_tried(recipe):
    """Steps that a dry run takes: each phase is in them as often as in any others."""
    return max(DRY_STEPS, *(phase.every for phase in phases_of(recipe)))


def take_steps(job, count, seen):
    """Takes `count` steps from image `seen` on, without counting them.

    Returns:
        seconds a step.
    """
    steps, _ = job.steps(seen)
    iterator = job.batches(seen)
    at = tf.constant(seen, tf.int64)
    steps(iterator, tf.constant(1), at)  # traces, and lets the kernels choose their plans
    started = time.monotonic()
    steps(iterator, tf.constant(count), at)
    check_finite(job, job.state.tally.numpy())  # waits for the devices
    return (time.monotonic() - started) / count
