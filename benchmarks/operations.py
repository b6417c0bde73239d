"""Measures the time of a training step by kind of operation, with TensorFlow's profiler.

    python benchmarks/operations.py --model stylegan2 --resolution 64 --channel-base 4096 --batch-size 16 --json

For CPUs. Seconds are summed over the threads that run operations. Convolutions include their gradients and matrix
products. The profiler's overhead makes small operations look more expensive than they are.
"""

import collections
import dataclasses
import sys
import tempfile
from pathlib import Path

from frame import MeasurementFailed, run
from trainers import TrainerOptions, image_at_level, make_trainer

CALLS = {"While", "StatelessWhile", "If", "StatelessIf", "PartitionedCall", "StatefulPartitionedCall"}  # contain others


@dataclasses.dataclass(frozen=True)
class OperationsOptions(TrainerOptions):
    """Measures the time of a training step by kind of operation."""

    steps: int = 16  # steps in the profile; any 16 have each phase of every recipe equally often
    most: int = 15  # kinds of operations shown


def measure(options):
    """Returns the shares as a dict."""
    import tensorflow as tf

    trainer = make_trainer(options)
    seen = image_at_level(trainer, options.level) if options.level is not None else 0
    trainer.enter(trainer.stage_at(seen))
    (steps, _), iterator = trainer.compile(), trainer.batches(seen)
    at = tf.constant(seen, tf.int64)
    steps(iterator, tf.constant(1), at)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        steps(iterator, tf.constant(options.steps), at)
        trainer.state.read_statistics()
        tf.profiler.experimental.stop()
        seconds = seconds_of_kinds(folder)
    total = sum(seconds.values())
    if not total:
        raise MeasurementFailed("the profile has no operations")
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
    """Returns True for convolutions and matrix products, and their gradients."""
    return "Conv" in kind or "MatMul" in kind


def seconds_of_kinds(folder):
    """Returns {kind of operation: seconds} of the profile in a folder."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    seconds = collections.Counter()
    for path in Path(folder).rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace()
        space.ParseFromString(path.read_bytes())
        for plane in space.planes:
            if plane.name.startswith("/host:CPU"):
                for event in (event for line in plane.lines for event in line.events):
                    kind = kind_of(plane.event_metadata[event.metadata_id].name)
                    seconds[kind] += event.duration_ps / 1e12
    seconds.pop(None, None)
    return dict(seconds)


def kind_of(event):
    """Returns the type of operation of an event such as "name/in/graph:Conv2D"; None if it contains other events."""
    name, colon, kind = event.rpartition(":")
    kind = kind.strip()
    is_operation = colon and not name.endswith(":") and kind not in CALLS and not kind.startswith("__")  # a whole graph
    return kind if is_operation else None


if __name__ == "__main__":
    sys.exit(run(OperationsOptions, measure, sys.argv[1:], prog="benchmarks/operations.py"))
