"""Begins a stage, and searches the micro-batch that fits into memory (`--micro-batch auto`)."""

import tensorflow as tf

from gan_tf.config.settings import WIDTH_FLAGS
from gan_tf.distributed import devices
from gan_tf.errors import UsageError
from gan_tf.training.resume import restore, save_checkpoint


def begin_stage(trainer, stage, seen):
    """Prepares the images of a stage, at its beginning or in the middle of it.

    Both optimisers are reset at the beginning of a stage that asks for it.
    """
    trainer.enter(stage)
    if stage.resets_optimizers and seen == stage.first_image:
        trainer.state.g_optimizer.reset()
        trainer.state.d_optimizer.reset()
    if trainer.config.micro_batch == "auto":
        find_micro_batch(trainer)


def find_micro_batch(trainer):
    """Sets `trainer.micro_batch` to the largest one with which a step of this stage fits into memory.

    Takes real steps with smaller and smaller micro-batches, and restores the state. On a GPU the allocator decides. On
    a CPU the system would kill the process instead, so the two smallest micro-batches are measured, and the memory of
    the others is extrapolated.

    Raises:
        UsageError: not even one image at a time fits.
    """
    share = trainer.stage.batch_size // trainer.strategy.num_replicas_in_sync
    sizes = [size for size in range(share, 0, -1) if share % size == 0]
    save_checkpoint(trainer)
    for size in sizes if tf.config.list_logical_devices("GPU") else sizes_that_fit(trainer, sizes):
        trainer.micro_batch = size
        try:
            take_trial_step(trainer)
        except tf.errors.ResourceExhaustedError:
            trainer.log.print(f"a micro-batch of {size} does not fit")
            continue
        restore(trainer)
        trainer.iterator = None
        trainer.log.print(f"micro-batch: {size} of the {share} images of each device (auto)")
        return
    widths = WIDTH_FLAGS[trainer.config.model]
    raise UsageError(
        f"--resolution {trainer.config.resolution}: not even one image at a time fits into memory; give a smaller "
        f"--resolution, {widths}, or --precision bfloat16"
    )


def sizes_that_fit(trainer, sizes):
    """Those of the micro-batch `sizes` (descending) that should fit into free memory, from two small trials."""
    if len(sizes) < 3:
        return sizes
    peaks = {}
    for size in sizes[-2:][::-1]:  # the two smallest
        trainer.micro_batch = size
        take_trial_step(trainer)
        peaks[size] = devices.peak_memory_gb()
    small, larger = sorted(peaks)
    per_image = (peaks[larger] - peaks[small]) / (larger - small)
    if per_image <= 0:  # the process needed more before: then at most the whole peak is due to these images
        per_image = peaks[larger] / larger
    free = devices.free_memory_gb()
    return [size for size in sizes if peaks[larger] + per_image * (size - larger) <= free] or sizes[-1:]


def take_trial_step(trainer):
    """Takes the step at the stage's first image, which includes all phases."""
    trainer.iterator = None
    trainer.take_steps(trainer.stage.first_image, count=1)
