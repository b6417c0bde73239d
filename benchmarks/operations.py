"""Where the time of a training step goes: the share of each kind of operation, as TensorFlow's profiler counts it.

    python benchmarks/operations.py --model stylegan2 --resolution 64 --channel-base 4096 --batch-size 16 --json

On a CPU alone. Seconds are those of the threads that run operations, summed; a convolution is any of them, and a matrix
product, forwards or backwards. What the profiler adds to each operation makes small ones look dearer than they are.
"""

import collections
import dataclasses
import sys
import tempfile
from pathlib import Path

from frame import MeasurementFailed, run
from jobs import image_at_level, make_job
from step import JobOptions

CALLS = {"While", "StatelessWhile", "If", "StatelessIf", "PartitionedCall", "StatefulPartitionedCall"}  # hold others


@dataclasses.dataclass(frozen=True)
class OperationsOptions(JobOptions):
    """Counts where a training step's time goes."""

    steps: int = 16  # in the profile; in 16, each phase of every recipe is as often as in any others
    most: int = 15  # kinds shown


def measure(options):
    """Returns the shares as a dict."""
    import tensorflow as tf

    job = make_job(options)
    seen = image_at_level(job, options.level) if options.level is not None else 0
    job.enter(job.stage_at(seen))
    (steps, _), iterator = job.compile(), job.batches(seen)
    at = tf.constant(seen, tf.int64)
    steps(iterator, tf.constant(1), at)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        steps(iterator, tf.constant(options.steps), at)
        job.state.read_statistics()
        tf.profiler.experimental.stop()
        seconds = seconds_of_kinds(folder)
    total = sum(seconds.values())
    if not total:
        raise MeasurementFailed("the profiler saw no operation")
    convolutions = sum(value for kind, value in seconds.items() if is_convolution(kind))
    shown = sorted(seconds.items(), key=lambda pair: -pair[1])[: options.most]
    return {
        "model": options.model,
        "steps": options.steps,
        "thread_seconds_per_step": round(total / options.steps, 4),
        "convolutions": round(convolutions / total, 3),
        "kinds": [{"kind": kind, "share": round(value / total, 3)} for kind, value in shown],
    }


def is_convolution(kind):
    """True of convolutions and matrix products, forwards and backwards."""
    return "Conv" in kind or "MatMul" in kind


def seconds_of_kinds(folder):
    """{kind of operation: seconds} of the profile in a folder."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    found = collections.Counter()
    for path in Path(folder).rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace()
        space.ParseFromString(path.read_bytes())
        for plane in space.planes:
            if plane.name.startswith("/host:CPU"):
                for event in (event for line in plane.lines for event in line.events):
                    kind = kind_of(plane.event_metadata[event.metadata_id].name)
                    found[kind] += event.duration_ps / 1e12
    return {kind: seconds for kind, seconds in found.items() if kind}


def kind_of(event):
    """The operation that an event such as "place/in/the/graph:Conv2D" is of; None where it only holds others."""
    name, colon, kind = event.rpartition(":")
    kind = kind.strip()
    known = colon and not name.endswith(":") and kind not in CALLS and not kind.startswith("__")  # a graph as a whole
    return kind if known else None


if __name__ == "__main__":
    sys.exit(run(OperationsOptions, measure, sys.argv[1:], prog="benchmarks/operations.py"))
