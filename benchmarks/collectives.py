"""Counts the collective operations of a training step in its graph, and times them without the step."""

import time
from typing import NamedTuple


class Collective(NamedTuple):
    """A collective operation, which every device executes once in a step.

    Attributes:
        kind: type of the operation, such as CollectiveReduceV2.
        elements: number of values of each device.
        dtype: name of their type.
    """

    kind: str
    elements: int
    dtype: str

    @property
    def bytes(self) -> int:
        import tensorflow as tf

        return self.elements * tf.as_dtype(self.dtype).size


def collectives_of(graph, local_devices) -> list[Collective]:
    """Returns the collective operations of a step, the smallest first, from a graph and all functions that it calls.

    The graph of several steps has one step in the body of its loop. TensorFlow sums all gradients of a network as one
    tensor. A worker has the same operation for each of its `local_devices`, of which one is returned.
    """
    collectives = []
    for op in operations(graph, set()):
        if op.type.startswith("Collective") and op.inputs:
            value = op.inputs[0]
            collectives.append(Collective(op.type, value.shape.num_elements(), value.dtype.name))
    return sorted(collectives, key=lambda each: (each.elements, each.kind))[::local_devices]


def operations(graph, visited):
    """Yields the operations of a graph and of each function that it calls, once. Adds the functions to `visited`."""
    for op in graph.get_operations():
        yield op
        for attribute in op.node_def.attr.values():
            for function in [attribute.func, *attribute.list.func]:
                if function.name and function.name not in visited:
                    visited.add(function.name)
                    inner = getattr(graph._get_function(function.name), "graph", None)
                    if inner is not None:  # functions of tf.data have none
                        yield from operations(inner, visited)


def group_by_content(collectives, statistics) -> dict[str, list[Collective]]:
    """Returns the collectives of a step by content.

    gradients: all weights of a network as one tensor, for two networks. statistics: those of the step. input: whether
    each worker has a batch. batch_norm: all others, the sums of each layer in each pass.

    Args:
        statistics: number of statistics that the step sums.
    """
    inputs = [each for each in collectives if each.dtype == "int64"]
    others = [each for each in collectives if each.dtype != "int64"]
    gradients = [others.pop(), others.pop()]  # the two largest
    step_values = next(each for each in others if each.elements == statistics)
    others.remove(step_values)
    return {"gradients": gradients, "batch_norm": others, "statistics": [step_values], "input": inputs}


def time_all_reduces(strategy, collectives, rounds) -> list[float]:
    """Returns the seconds of each round, which sums vectors of these sizes and types over all devices in sequence.

    Args:
        strategy: tf.distribute.Strategy; all workers must call this together.
        collectives: list of Collective.
        rounds: number of timed rounds, after a first one that is not timed.
    """
    import tensorflow as tf

    vectors = [tf.zeros([each.elements], each.dtype) for each in collectives]

    def share():
        replica, last = tf.distribute.get_replica_context(), tf.zeros([1])
        for vector in vectors:
            with tf.control_dependencies([last]):
                last = replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(vector))
        return tf.cast(last[0], tf.float32)

    all_reduce = tf.function(lambda: strategy.run(share), autograph=False)
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        [value, *_] = strategy.experimental_local_results(all_reduce())
        value.numpy()  # waits for the device
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


def largest(strategy, value) -> float:
    """Returns the largest of the workers' values (floats). All workers must call this together."""
    import tensorflow as tf

    if strategy.num_replicas_in_sync == 1:
        return value

    def share():
        return tf.distribute.get_replica_context().all_gather(tf.constant([value], tf.float64), axis=0)

    gathered = tf.function(lambda: strategy.run(share), autograph=False)()
    return float(tf.reduce_max(strategy.experimental_local_results(gathered)[0]))
