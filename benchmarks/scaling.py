"""Weak scaling of a training step: the same images for every worker, and more and more workers.

    python benchmarks/scaling.py --workers 1,2 --resolution 256 --precision bfloat16 --json

starts so many worker processes on this machine, one number after the other. Each gets the same share of the cores, that
of the largest number, or a GPU of its own. Where TF_CONFIG or SLURM gives this process a place among workers, it
measures as that worker, and the first one prints: the same command on every machine of a cluster.

A worker takes the step in three ways:

    alone       as one without others does; all workers at about the same time, so that they share what the machine has
    apart       the same in the form that several devices need, whose batch norm is no single kernel
    together    all workers, as in training

docs/scaling.md explains the model that is fitted: seconds together = seconds apart + seconds of the step's all-reduces,
which are timed without the step.
"""

import contextlib
import dataclasses
import gc
import os
import statistics
import sys
import threading
from typing import Literal

import hosts
from collectives import collectives_of, groups_of, largest, time_all_reduces
from frame import FAILED, MeasurementFailed, run
from jobs import image_at_level, make_job, settings, time_steps, widths

from gan_tf.cli.quiet import start_tensorflow, stderr_kept
from gan_tf.errors import UsageError

PROGRAM = "benchmarks/scaling.py"
ROUNDS = 10  # of the all-reduces
LATENCY_CHAIN = 50  # tiny all-reduces in a round
SUBJECT = ("model", "resolution", "level", "ngf", "ndf", "fmap_base", "fmap_max", "precision", "device")


@dataclasses.dataclass(frozen=True)
class ScalingOptions:
    """Measures a training step on random images with several workers."""

    workers: str = "1,2"  # numbers of worker processes on this machine; unused within a cluster
    model: Literal["fastgan", "pggan"] = "fastgan"  # the family of networks
    resolution: int = 256  # pixels; of a family that grows, at its last level
    level: int | None = None  # pggan: 0 is 4x4 pixels, 1 is 8x8, ...; default the last
    batch_size: int = 8  # images of each device in a step
    ngf: int = 64  # fastgan: width of the generator
    ndf: int = 64  # fastgan: width of the discriminator
    fmap_base: int = 8192  # pggan: width, an image of R pixels has 2 * fmap_base / R channels
    fmap_max: int = 512  # pggan: most channels
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # as in training
    micro_batch: int | None = None  # images at once
    steps: int = 5  # calls timed, after two that are not
    steps_per_call: int = 1  # steps in a call of the graph; more hide what Python takes
    limit_seconds: float = 1200.0  # for each number of workers; then it is given up
    json: bool = False  # print one JSON object

    def __post_init__(self):
        for name in ("batch_size", "steps", "steps_per_call", "limit_seconds"):
            if not getattr(self, name) > 0:
                raise UsageError(f"--{name.replace('_', '-')} is {getattr(self, name)}; give a positive number")


def prepare():
    """Before TensorFlow is imported. It is started later: by workers alone, since it takes GPUs."""
    hosts.keep_to_cores()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def measure(options):
    """Returns the figures as a dict; None on a worker that is not the first."""
    counts = hosts.worker_counts(options.workers)
    settings(options)  # finds mistakes before a process is started
    with stderr_kept():
        import tensorflow  # noqa: F401 it speaks when it is first imported
    from gan_tf.distributed.cluster_spec import cluster_of_environment

    if not cluster_of_environment() and counts != [1]:
        return measure_counts(options, counts)
    with watched(options.limit_seconds):
        return measure_in_cluster(options) if cluster_of_environment() else measure_by_itself(options)


def measure_counts(options, counts):
    """The figures of each number of workers on this machine, and how well the rate of one grows with them."""
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    shares = hosts.shares_of(max(counts), gpus)
    found = []
    for count in counts:
        environments = hosts.environments(count, shares, gpus)
        found.append(hosts.run_workers(command_of(options), environments, options.limit_seconds))
    one = next((each["images_per_second"] for each in found if each["workers"] == 1), None)
    measurements = []
    for each in found:
        own = {name: value for name, value in each.items() if name not in SUBJECT}
        if one:
            own["efficiency"] = efficiency(each["images_per_second"], each["devices"], one)
        measurements.append(own)
    subject = {name: found[0][name] for name in SUBJECT if name in found[0]}
    return {**subject, "cores_of_a_worker": len(shares[0]), "measurements": measurements}


def command_of(options):
    """The command of a worker, whose own limit lies behind that of the process that waits for it."""
    given = {**vars(options), "workers": 1, "limit_seconds": options.limit_seconds + 60, "json": None}
    flags = [(f"--{name.replace('_', '-')}", str(value)) for name, value in given.items() if value is not None]
    return [sys.executable, os.path.abspath(__file__), *(word for flag in flags for word in flag), "--json"]


def measure_in_cluster(options):
    """The figures of a cluster; None on a worker that is not the first.

    What a worker does by itself is measured first, in a process of its own that knows of no cluster: in one that does,
    the same step took a third longer.
    """
    itself = hosts.run_workers(command_of(options), [hosts.without_cluster()], options.limit_seconds)
    start_tensorflow()
    cluster = find_workers(options)  # first: before any other operation
    count = cluster.strategy.num_replicas_in_sync
    together = measure_together(options, cluster) if count > 1 else {}
    by_itself = [largest(cluster.strategy, itself[name]) for name in ("seconds_alone", "seconds_apart")]
    if cluster.index:
        return None
    return described(options, cluster.count, figures(options, count, together, together["seconds"], *by_itself))


def find_workers(options):
    """The cluster that this process has a place in.

    Raises:
        MeasurementFailed: some worker is missing.
    """
    from gan_tf.distributed.cluster_spec import place_of_environment
    from gan_tf.distributed.rendezvous import Missing, meet
    from gan_tf.distributed.workers import Workers, connected

    place = place_of_environment()
    if place is None:
        return Workers(*connected("multi_worker"))
    try:
        meet(place, {}, options.limit_seconds)
    except Missing as missing:
        raise MeasurementFailed(str(missing)) from missing
    return Workers(*connected("multi_worker"), place.index, len(place.addresses))


def measure_by_itself(options):
    """The figures of this process without others."""
    start_tensorflow()
    alone = time_by_itself(options, fused=True)
    apart = time_by_itself(options, fused=False) if options.model == "fastgan" else alone
    middles = (statistics.median(seconds) for seconds in (alone, apart))
    return described(options, 1, figures(options, 1, {}, alone, *middles))


def described(options, workers, found):
    """Figures between what was measured and how much memory it took."""
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
        **found,
        "peak_memory_gb": round(devices.peak_memory_gb(), 2),
    }


def measure_together(options, cluster):
    """Seconds of the steps of all workers, and what they tell each other in one."""
    strategy = cluster.strategy
    count = strategy.num_replicas_in_sync
    job = make_job(dataclasses.replace(options, batch_size=options.batch_size * count), cluster)
    seen = enter(job, options)
    seconds = time_steps(job, seen, options, ready=cluster.broadcast)
    graph = step_graph(job, seen)
    groups = groups_of(collectives_of(graph, count // cluster.count), len(job.recipe.phases[0].statistics))
    everything = [one for group in groups.values() for one in group]
    big, tiny = groups["gradients"][0], groups["statistics"][0]

    def middle(collectives):
        return statistics.median(time_all_reduces(strategy, collectives, ROUNDS))

    return {
        "seconds": seconds,
        "groups": groups,
        "seconds_of_all_reduces": middle(everything),
        "latency": middle([tiny] * LATENCY_CHAIN) / LATENCY_CHAIN,
        "bandwidth": big.bytes / middle([big]),
    }


def time_by_itself(options, fused):
    """Seconds of the step of one device.

    Args:
        fused: batch norm is one kernel, as where there are no others; False: as where there are.
    """
    import tensorflow as tf

    from gan_tf.distributed.workers import Workers
    from gan_tf.ops.forms import FAST, use_forms

    gc.collect()  # an earlier job and its step
    job = make_job(options, Workers(tf.distribute.get_strategy(), "one device"))
    seen = enter(job, options)
    with use_forms(dataclasses.replace(FAST, fused_batch_norm=fused)):
        return time_steps(job, seen, options)


def enter(job, options):
    """Makes a job ready for the steps that are measured: the images seen before the first of them."""
    seen = 0
    if job.config.grows:
        seen = image_at_level(job, len(job.config.resolutions) - 1 if options.level is None else options.level)
        job.enter(job.stage_at(seen))
    return seen


def step_graph(job, seen):
    """The graph of the compiled steps from image `seen` on."""
    import tensorflow as tf

    steps, _ = job.compile()
    return steps.get_concrete_function(job.batches(seen), tf.constant(1), tf.constant(seen, tf.int64)).graph


def figures(options, devices, together, seconds, seconds_alone, seconds_apart):
    """The figures of one number of workers.

    Args:
        devices: of all workers together.
        together: of `measure_together`, empty where there is one device.
        seconds: of each step of all devices.
        seconds_alone, seconds_apart: of a step of the slowest worker by itself.
    """
    middle, batch = statistics.median(seconds), devices * options.batch_size
    pixels = options.resolution if options.level is None else 4 * 2**options.level
    found = {
        "devices": devices,
        "batch_size": batch,
        "seconds_per_step": round(middle, 4),
        "seconds_per_step_min_max": [round(min(seconds), 4), round(max(seconds), 4)],
        "images_per_second": round(batch / middle, 3),
        "efficiency": efficiency(batch / middle, devices, options.batch_size / seconds_alone),
        "seconds_alone": round(seconds_alone, 4),
        "seconds_apart": round(seconds_apart, 4),
        "input_bytes_per_second": round(3 * pixels**2 * batch / middle),
    }
    if not together:
        return found
    groups, all_reduces = together["groups"], together["seconds_of_all_reduces"]
    return found | {
        "seconds_of_model": round(seconds_apart + all_reduces, 4),
        "all_reduces": {name: len(group) for name, group in groups.items()},
        "all_reduce_bytes": {name: sum(one.bytes for one in group) for name, group in groups.items()},
        "gradient_dtype": groups["gradients"][0].dtype,
        "seconds_of_all_reduces": round(all_reduces, 5),
        "latency_seconds": round(together["latency"], 6),
        # A ring sends 2 (N - 1) / N of the bytes from each device to the next.
        "ring_bytes_per_second": round(2 * (devices - 1) / devices * together["bandwidth"]),
    }


def efficiency(rate, devices, rate_of_one):
    """Images/s of all devices, as a share of what so many would make that wait for nothing."""
    return round(rate / (devices * rate_of_one), 3)


@contextlib.contextmanager
def watched(limit_seconds):
    """Within, this process ends with one line if another worker is gone, or after so many seconds.

    At once and not by an exception: it may wait in a collective for ever.
    """

    def end(why):
        print(f"{PROGRAM}: {why}", file=sys.stderr, flush=True)
        os._exit(FAILED)

    timer = threading.Timer(limit_seconds, end, [f"had not ended after --limit-seconds {limit_seconds:g}"])
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        from gan_tf.distributed.workers import is_of_another

        if is_of_another(error):
            end("another worker ended or fell silent")
        raise
    finally:
        timer.cancel()


if __name__ == "__main__":
    sys.exit(run(ScalingOptions, measure, sys.argv[1:], prog=PROGRAM, start=prepare))
