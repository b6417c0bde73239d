"""What the workers of a step tell each other: counted in the graph of the step, and timed without the step."""

import time
from typing import NamedTuple


class Collective(NamedTuple):
    """A collective operation, of which every device takes part once in a step.

    kind: of the operation, such as CollectiveReduceV2.
    elements: that a device hands in.
    dtype: their type's name.
    """

    kind: str
    elements: int
    dtype: str

    @property
    def bytes(self) -> int:
        import tensorflow as tf

        return self.elements * tf.as_dtype(self.dtype).size


def collectives_of(graph, local_devices) -> list[Collective]:
    """The collective operations in a graph and in all functions that it calls, the smallest first.

    In the graph of `job.steps` the loop's body holds those of one step. TensorFlow hands in all gradients of a player
    as one tensor. A worker of several devices has one operation for each of them, of one size.
    """
    found = []
    for op in operations(graph, set()):
        if op.type.startswith("Collective") and op.inputs:
            value = op.inputs[0]
            found.append(Collective(op.type, value.shape.num_elements(), value.dtype.name))
    return sorted(found, key=lambda one: (one.elements, one.kind))[::local_devices]


def operations(graph, visited):
    """Yields the operations of a graph, and of each function that it calls once."""
    for op in graph.get_operations():
        yield op
        for attribute in op.node_def.attr.values():
            for function in [attribute.func, *attribute.list.func]:
                if function.name and function.name not in visited:
                    visited.add(function.name)
                    inner = getattr(graph._get_function(function.name), "graph", None)
                    if inner is not None:  # a function of the input's, which no device takes part in
                        yield from operations(inner, visited)


def groups_of(collectives, statistics) -> dict[str, list[Collective]]:
    """Sorts a step's collectives by what they carry.

    gradients: all weights of a player as one tensor. statistics: what the step returns. input: whether each worker has
    a batch. batch_norm: the rest, the sums of each layer in each pass.

    Args:
        collectives: of `collectives_of`.
        statistics: number of values that the recipe's step returns: its STATISTICS and the mean sign of the logits.
    """
    inputs = [one for one in collectives if one.dtype == "int64"]
    rest = [one for one in collectives if one.dtype != "int64"]
    gradients = [rest.pop(), rest.pop()]  # the two largest
    own = next(one for one in rest if one.elements == statistics)
    rest.remove(own)
    return {"gradients": gradients, "batch_norm": rest, "statistics": [own], "input": inputs}


def time_all_reduces(strategy, collectives, rounds) -> list[float]:
    """Seconds in which vectors of such sizes and types are summed over all devices, one after the other.

    Args:
        strategy: tf.distribute.Strategy; all workers must call it together.
        collectives: list of Collective.
        rounds: timed, after one that is not.
    """
    import tensorflow as tf

    vectors = [tf.zeros([one.elements], one.dtype) for one in collectives]

    def share():
        replica, last = tf.distribute.get_replica_context(), tf.zeros([1])
        for vector in vectors:
            with tf.control_dependencies([last]):
                last = replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(vector))
        return tf.cast(last[0], tf.float32)

    together = tf.function(lambda: strategy.run(share), autograph=False)
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        [value, *_] = strategy.experimental_local_results(together())
        value.numpy()  # waits for the device
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


def largest(strategy, value) -> float:
    """The largest of the workers' values (floats); all must call it together."""
    import tensorflow as tf

    if strategy.num_replicas_in_sync == 1:
        return value

    def share():
        return tf.distribute.get_replica_context().all_gather(tf.constant([value], tf.float64), axis=0)

    gathered = tf.function(lambda: strategy.run(share), autograph=False)()
    return float(tf.reduce_max(strategy.experimental_local_results(gathered)[0]))
