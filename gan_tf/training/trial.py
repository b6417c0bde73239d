"""Real steps taken on trial: what a run will cost (`--dry-run`), and what fits into memory (`--micro-batch auto`)."""

import time

import numpy as np
import tensorflow as tf

from gan_tf.config import stored_settings
from gan_tf.errors import UsageError
from gan_tf.training import devices, loop
from gan_tf.training import state as states
from gan_tf.training.clock import share_of_scores
from gan_tf.training.monitor import duration

DRY_STEPS = 3


def dry_run(job, say=print):
    """Takes a few real steps, says what a run will need, and writes nothing.

    Memory and time are measured on this machine, not looked up.
    """
    config = job.config
    say("settings: " + ", ".join(f"{name} {value}" for name, value in stored_settings(config).items()))
    say(f"measuring {DRY_STEPS} steps and a score ...")
    step_seconds = take_steps(job, DRY_STEPS)
    score_seconds = job.evaluator.expected_seconds(job.sampler, job.metric)
    epoch_seconds = step_seconds * job.epoch_images / config.batch_size
    share = share_of_scores(score_seconds, epoch_seconds, config.eval_every)
    total_seconds = step_seconds * config.total_images / config.batch_size / (1 - share)
    saved = 4 * sum(int(np.prod(variable.shape)) for variable in job.state.named_variables().values()) / 2**30
    say(f"memory: {devices.peak_memory_gb():.1f} GB at most")
    say(f"disk: {(config.keep + 1) * saved:.1f} GB, for {config.keep} checkpoints and one being written")
    say(f"speed: {step_seconds:.3f} s for a step, {config.batch_size / step_seconds:.1f} images/s")
    say(f"{job.metric}: {duration(score_seconds)} every {config.eval_every} epochs, {share:.0%} of the time")
    say(f"time: about {duration(total_seconds)} for {config.total_images / 1000:g} kimg")


def find_micro_batch(job, say=print):
    """Sets `job.parts` so that a step fits into memory: tries real steps with ever smaller micro-batches, then undoes
    them.

    On a GPU the allocator's refusal decides. On a CPU, where the system would kill the process instead, a smaller
    micro-batch is measured first and the growth with its size tells which size fits.

    Raises:
        UsageError: not even one image at a time fits.
    """
    share = job.config.batch_size // job.strategy.num_replicas_in_sync
    sizes = [size for size in range(share, 0, -1) if share % size == 0]
    seen = int(job.state.images_seen.numpy())
    states.save(job.state, job.run, job.config.keep)
    for size in sizes if tf.config.list_logical_devices("GPU") else sizes_by_measure(job, sizes):
        job.parts = share // size
        try:
            take_steps(job, 1)
        except tf.errors.ResourceExhaustedError:
            say(f"a micro-batch of {size} does not fit")
            continue
        if states.restore_newest(job.state, job.run, say) != seen:
            raise RuntimeError("the checkpoint written before the trial is gone")
        say(f"micro-batch: {size} of the {share} images of each device (auto)")
        return
    raise UsageError(
        f"--resolution is {job.config.resolution}: not even one image at a time fits; give a smaller --resolution, "
        "--ngf or --ndf, or --precision bfloat16"
    )


def sizes_by_measure(job, sizes):
    """Those of the micro-batch `sizes` (descending) that the free memory should hold, from two small trials."""
    if len(sizes) < 3:
        return sizes
    share, peaks = sizes[0], {}
    for size in sizes[-2:][::-1]:  # the two smallest
        job.parts = share // size
        take_steps(job, 1)
        peaks[size] = devices.peak_memory_gb()
    small, larger = sorted(peaks)
    per_image = (peaks[larger] - peaks[small]) / (larger - small)
    free = devices.free_memory_gb()
    return [size for size in sizes if peaks[larger] + per_image * (size - larger) <= free] or sizes[-1:]


def take_steps(job, count):
    """Takes `count` steps from where the state stands, without counting them; returns seconds a step."""
    seen = int(job.state.images_seen.numpy())
    steps = loop.compiled_steps(job, seen)
    iterator = loop.batches(job, seen)
    at = tf.constant(seen, tf.int64)
    steps(iterator, tf.constant(1), at)  # traces, and lets the kernels choose their plans
    started = time.monotonic()
    steps(iterator, tf.constant(count), at)
    loop.check_finite(job, job.state.tally.numpy())  # waits for the devices
    return (time.monotonic() - started) / count
