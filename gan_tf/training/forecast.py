"""How long a run will take: what its stages cost, compared with each other and with this machine's speed."""

import math
import time

import tensorflow as tf

from gan_tf.training.monitor import duration
from gan_tf.training.recipes import growth

PROBE_SHAPE = (32, 32, 32, 256)  # input of the convolution that tells the machine's speed
PROBE_RUNS = 3
LONG_PROBE_SECONDS = 0.5  # such a probe is not repeated


class Workload:
    """The work of a run's images, which differs from stage to stage; its unit is the recipe's own.

    Args:
        job: Job.
    """

    def __init__(self, job):
        self.total_images = job.config.total_images
        self.stages = job.stages
        self.costs = [job.recipe.work(job.config, stage) for stage in job.stages]

    def between(self, first, last):
        """Work of the images after `first` up to `last`."""
        ends = [stage.first_image for stage in self.stages[1:]] + [max(last, self.stages[-1].first_image)]
        spans = (min(last, end) - max(first, stage.first_image) for stage, end in zip(self.stages, ends, strict=True))
        return sum(cost * max(0, span) for cost, span in zip(self.costs, spans, strict=True))

    def average_images(self, first, last):
        """As many images of the run's average cost as take the work of those after `first` up to `last`."""
        return self.between(first, last) * self.total_images / self.between(0, self.total_images)

    def left(self, seen):
        """Work from `seen` images to the end of the run."""
        return self.between(seen, self.total_images)


def schedule_text(job):
    """What will happen, in a few lines; a table of the phases of a run that grows."""
    config = job.config
    kimg = f"{config.total_images / 1000:g} kimg"
    length = f"{math.ceil(config.total_images / job.epoch_images)} epochs of {job.epoch_images} images"
    scores = f"{job.metric} every {config.eval_every} epochs"
    if not config.grows:
        return f"schedule: {kimg} in {length}, {config.batch} to a step; {scores}"
    lines = [f"schedule: {kimg} in {length}; {scores}"]
    lines += phase_table(job)
    warning = growth.too_short(config)
    return "\n".join([*lines, *([f"warning: {warning}"] if warning else [])])


def phase_table(job):
    """A line for each phase of a run that grows: name, batch, length, when it ends, how long it may take.

    The recipe's unit of work must be a convolution's floating-point operation.
    """
    workload = Workload(job)
    speed = convolution_speed(job.state.g.compute_dtype) * job.strategy.num_replicas_in_sync
    lines, total = [f"  {'phase':<19} batch      kimg    until  about"], 0.0
    for row in growth.rows(job.config):
        end = row.end_image or job.config.total_images
        seconds = workload.between(row.first_image, end) / speed
        total += seconds
        lines.append(f"  {row.name:<19} {row.batch_size:>5} {row.kimg:>9g} {end / 1000:>8g}  {duration(seconds)}")
    return [*lines, f"  {duration(total)} in all, by the speed of this machine's convolutions; --dry-run measures it"]


def convolution_speed(dtype):
    """Floating-point operations a second of one large 3x3 convolution on this machine, two for a multiply and add.

    Takes a second or two where it is slow.
    """
    channels = PROBE_SHAPE[-1]
    x = tf.zeros(PROBE_SHAPE, dtype)
    kernel = tf.zeros((3, 3, channels, channels), dtype)
    seconds = []
    for _ in range(PROBE_RUNS):
        started = time.perf_counter()
        tf.reduce_sum(tf.nn.conv2d(x, kernel, 1, "SAME")[0, 0, 0]).numpy()  # waits for the device
        seconds.append(time.perf_counter() - started)
        if seconds[-1] > LONG_PROBE_SECONDS:
            break
    return 2 * x.shape.num_elements() * 9 * channels / min(seconds)
