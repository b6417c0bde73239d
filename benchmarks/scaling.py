"""Measures the weak scaling of a training step: more and more workers, each with the same number of images.

    python benchmarks/scaling.py --workers 1,2 --resolution 256 --precision bfloat16 --json

This command runs 1 worker process and then 2 on this machine. Each gets one GPU, or the share of the cores that it has
with the largest number of workers. With TF_CONFIG or in a SLURM step, the process is one worker of the cluster, and
worker 0 prints the result: start the same command on every machine.

A step is measured in three ways:

    alone       one worker without communication; workers measure at about the same time, since they share the machine
    apart       the same with the batch norm that several devices need, which has no fused kernel
    together    all workers, as in training

The model of docs/scaling.md is: seconds together = seconds apart + seconds of the step's all-reduces, which are timed
without the step.
"""

import dataclasses
import faulthandler
import gc
import os
import statistics
import sys
from typing import Literal

import hosts
from collectives import collectives_of, group_by_content, largest, time_all_reduces
from frame import run
from trainers import image_at_level, make_trainer, settings, time_steps, widths

from gan_tf.cli.quiet import start_tensorflow, stderr_buffered
from gan_tf.errors import UsageError

PROGRAM = "benchmarks/scaling.py"
ROUNDS = 10  # of the all-reduces
LATENCY_CHAIN = 50  # tiny all-reduces in a round
SUBJECT = ("model", "resolution", "level", "ngf", "ndf", "fmap_base", "fmap_max", "precision", "device")


@dataclasses.dataclass(frozen=True)
class ScalingOptions:
    """Measures a training step on random images with several workers."""

    workers: str = "1,2"  # numbers of worker processes on this machine; not used in a cluster
    model: Literal["fastgan", "pggan"] = "fastgan"  # the family of networks
    resolution: int = 256  # pixels; of the last level of pggan
    level: int | None = None  # pggan: 0 is 4x4 pixels, 1 is 8x8, ...; default the last
    batch_size: int = 8  # images of each device in a step
    ngf: int = 64  # fastgan: width of the generator
    ndf: int = 64  # fastgan: width of the discriminator
    fmap_base: int = 8192  # pggan: width, an image of R pixels has 2 * fmap_base / R channels
    fmap_max: int = 512  # pggan: most channels
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # as in training
    micro_batch: int | None = None  # images that are computed together
    steps: int = 5  # timed calls, after two that are not timed
    steps_per_call: int = 1  # steps in a call of the graph; more reduce the share of Python
    limit_seconds: float = 1200.0  # for each number of workers
    json: bool = False  # print one JSON object

    def __post_init__(self):
        for name in ("batch_size", "steps", "steps_per_call", "limit_seconds"):
            if not getattr(self, name) > 0:
                raise UsageError(f"--{name.replace('_', '-')} is {getattr(self, name)}; give a positive number")


def prepare():
    """Prepares the process. Only workers start TensorFlow, later, since it allocates GPUs."""
    hosts.set_affinity()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def measure(options):
    """Returns the figures as a dict; None on a worker other than the first."""
    counts = hosts.worker_counts(options.workers)
    settings(options)  # finds wrong options before a process is started
    with stderr_buffered():
        import tensorflow  # noqa: F401 its first import prints messages
    from gan_tf.distributed.cluster_spec import read_cluster_spec

    spec = read_cluster_spec()
    if spec is None and counts != [1]:
        return measure_counts(options, counts)
    faulthandler.dump_traceback_later(options.limit_seconds, exit=True)
    return measure_alone(options) if spec is None else measure_in_cluster(options, spec)


def measure_counts(options, counts):
    """Returns the figures of each number of workers on this machine, and their efficiency relative to one worker."""
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    cores = hosts.divide_cores(max(counts), gpus)
    results = []
    for count in counts:
        environments = hosts.environments(count, cores, gpus)
        results.append(hosts.run_workers(command_of(options), environments, options.limit_seconds))
    single = next((each["images_per_second"] for each in results if each["workers"] == 1), None)
    measurements = [{name: value for name, value in each.items() if name not in SUBJECT} for each in results]
    for each in measurements:
        if single:
            each["efficiency"] = efficiency(each["images_per_second"], each["devices"], single)
    subject = {name: results[0][name] for name in SUBJECT if name in results[0]}
    return {**subject, "cores_of_a_worker": len(cores[0]), "measurements": measurements}


def command_of(options):
    """Returns the command of a worker. Its time limit is longer than that of the process that waits for it."""
    values = {**vars(options), "workers": 1, "limit_seconds": options.limit_seconds + 60, "json": None}
    flags = [(f"--{name.replace('_', '-')}", str(value)) for name, value in values.items() if value is not None]
    return [sys.executable, os.path.abspath(__file__), *(word for flag in flags for word in flag), "--json"]


def measure_in_cluster(options, spec):
    """Returns the figures of a cluster; None on a worker other than the first.

    The worker alone is measured first, in another process without TF_CONFIG: in a process of a cluster the same step
    took a third longer.
    """
    alone = hosts.run_workers(command_of(options), [hosts.without_cluster()], options.limit_seconds)
    start_tensorflow()
    from gan_tf.distributed.workers import Workers, connect

    strategy = connect(spec, options.limit_seconds)  # before any other operation
    workers = Workers(strategy, "cluster", spec=spec)
    devices = strategy.num_replicas_in_sync
    together = measure_together(options, workers)
    seconds_alone, seconds_apart = (largest(strategy, alone[name]) for name in ("seconds_alone", "seconds_apart"))
    workers.end()
    if not workers.is_chief:
        return None
    timings = figures(options, devices, together, together["seconds"], seconds_alone, seconds_apart)
    return describe(options, workers.count, timings)


def measure_alone(options):
    """Returns the figures of a single process."""
    start_tensorflow()
    alone = time_single_device(options, fused=True)
    apart = time_single_device(options, fused=False) if options.model == "fastgan" else alone
    return describe(options, 1, figures(options, 1, {}, alone, statistics.median(alone), statistics.median(apart)))


def describe(options, workers, timings):
    """Returns the timings with the options, the device and the memory."""
    from gan_tf.distributed import devices

    level = {} if options.level is None else {"level": options.level}
    return {
        "model": options.model,
        "resolution": options.resolution,
        **level,
        **widths(options),
        "precision": devices.choose_precision(options.precision)[0],
        "device": devices.describe(),
        "workers": workers,
        **timings,
        "peak_memory_gb": round(devices.peak_memory_gb(), 2),
    }


def measure_together(options, workers):
    """Measures all workers. Returns the seconds of each step, and the collectives of a step with their timings."""
    import tensorflow as tf

    strategy = workers.strategy
    count = strategy.num_replicas_in_sync
    trainer = make_trainer(dataclasses.replace(options, batch_size=options.batch_size * count), workers)
    seen = enter(trainer, options)
    seconds = time_steps(trainer, seen, options, ready=workers.broadcast)
    steps, _ = trainer.compile()
    graph = steps.get_concrete_function(trainer.batches(seen), tf.constant(1), tf.constant(seen, tf.int64)).graph
    groups = group_by_content(collectives_of(graph, count // workers.count), len(trainer.recipe.phases[0].statistics))
    largest_gradients, statistics_sum = groups["gradients"][0], groups["statistics"][0]

    def median_seconds(collectives):
        return statistics.median(time_all_reduces(strategy, collectives, ROUNDS))

    return {
        "seconds": seconds,
        "groups": groups,
        "seconds_of_all_reduces": median_seconds([each for group in groups.values() for each in group]),
        "latency": median_seconds([statistics_sum] * LATENCY_CHAIN) / LATENCY_CHAIN,
        "bandwidth": largest_gradients.bytes / median_seconds([largest_gradients]),
    }


def time_single_device(options, fused):
    """Returns the seconds of each step of one device, with the fused batch norm or with that of several devices."""
    import tensorflow as tf

    from gan_tf.distributed.workers import Workers
    from gan_tf.ops.forms import FAST, use_forms

    gc.collect()  # the previous Trainer and its step
    trainer = make_trainer(options, Workers(tf.distribute.get_strategy(), "one device"))
    seen = enter(trainer, options)
    with use_forms(dataclasses.replace(FAST, fused_batch_norm=fused)):
        return time_steps(trainer, seen, options)


def enter(trainer, options):
    """Sets the stage of the measured steps. Returns the number of images seen before the first of them."""
    seen = 0
    if trainer.config.grows:
        seen = image_at_level(trainer, len(trainer.config.resolutions) - 1 if options.level is None else options.level)
        trainer.enter(trainer.stage_at(seen))
    return seen


def figures(options, devices, together, seconds, seconds_alone, seconds_apart):
    """Returns the figures of one number of workers.

    Args:
        devices: number of devices of all workers.
        together: result of `measure_together`; empty for one device.
        seconds: list, of each step of all devices.
        seconds_alone, seconds_apart: of a step of the slowest worker.
    """
    median, batch = statistics.median(seconds), devices * options.batch_size
    pixels = options.resolution if options.level is None else 4 * 2**options.level
    result = {
        "devices": devices,
        "batch_size": batch,
        "seconds_per_step": round(median, 4),
        "seconds_per_step_min_max": [round(min(seconds), 4), round(max(seconds), 4)],
        "images_per_second": round(batch / median, 3),
        "efficiency": efficiency(batch / median, devices, options.batch_size / seconds_alone),
        "seconds_alone": round(seconds_alone, 4),
        "seconds_apart": round(seconds_apart, 4),
        "input_bytes_per_second": round(3 * pixels**2 * batch / median),
    }
    if not together:
        return result
    groups, all_reduces = together["groups"], together["seconds_of_all_reduces"]
    return result | {
        "seconds_of_model": round(seconds_apart + all_reduces, 4),
        "all_reduces": {name: len(group) for name, group in groups.items()},
        "all_reduce_bytes": {name: sum(each.bytes for each in group) for name, group in groups.items()},
        "gradient_dtype": groups["gradients"][0].dtype,
        "seconds_of_all_reduces": round(all_reduces, 5),
        "latency_seconds": round(together["latency"], 6),
        # A ring sends 2 (N - 1) / N of the bytes from each device to the next.
        "ring_bytes_per_second": round(2 * (devices - 1) / devices * together["bandwidth"]),
    }


def efficiency(rate, devices, single_rate):
    """Returns `rate` (images/s of all devices) relative to that of the same devices without communication."""
    return round(rate / (devices * single_rate), 3)


if __name__ == "__main__":
    sys.exit(run(ScalingOptions, measure, sys.argv[1:], prog=PROGRAM, start=prepare))
