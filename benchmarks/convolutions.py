"""Floating-point operations of convolutions and matrix products in a graph, and their peak rate on this machine."""

import time

PEAK_SHAPE = (8, 64, 64, 256)  # input of the convolution that measures the peak
GPU_FACTOR = 32  # multiplies the images on a GPU, which convolves these 8 in less time than a call takes
PEAK_RUNS = 8


def graph_flops(graph):
    """Returns the floating-point operations of the convolutions and matrix products of a graph.

    Leaves out operations without effect on its outputs, which TensorFlow removes before it runs a graph.
    """
    return sum(map(operation_flops, reachable_operations(graph)))


def reachable_operations(graph):
    """Returns the set of operations that the outputs and side effects of a graph depend on."""
    pending = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    reached = set()
    while pending:
        op = pending.pop()
        if op not in reached:
            reached.add(op)
            pending += [tensor.op for tensor in op.inputs] + list(op.control_inputs)
    return reached


def operation_flops(op):
    """Returns the floating-point operations of a convolution, its gradients, or a matrix product; 0 for all others."""
    if op.type == "Conv2D":
        kernel, output = op.inputs[1].shape, op.outputs[0].shape
        return 2 * output.num_elements() * kernel[0] * kernel[1] * kernel[2]
    if op.type == "Conv2DBackpropInput":  # also every transposed convolution
        kernel, output = op.inputs[1].shape, op.inputs[2].shape
        return 2 * output.num_elements() * kernel[0] * kernel[1] * kernel[2]
    if op.type == "Conv2DBackpropFilter":
        kernel, output = op.outputs[0].shape, op.inputs[2].shape
        if not kernel.is_fully_defined():
            raise ValueError(f"{op.name}: the shape of the kernel is not known before the graph runs")
        return 2 * output.num_elements() * kernel[0] * kernel[1] * kernel[2]
    if op.type == "MatMul":
        left, right = op.inputs[0].shape, op.outputs[0].shape
        depth = left[0] if op.get_attr("transpose_a") else left[1]
        return 2 * right.num_elements() * depth
    return 0


def convolution_peak(precision, clock=time.perf_counter):
    """Returns the highest rate of a large 3x3 convolution in `precision`, in floating-point operations per second.

    clock: with time.process_time, the rate is per second of CPU time, which depends less on other programs.
    """
    import tensorflow as tf

    from gan_tf.ops.forms import has_gpu

    dtype = tf.as_dtype(precision)
    images, *shape, channels = PEAK_SHAPE
    images *= GPU_FACTOR if has_gpu() else 1
    x = tf.cast(tf.random.stateless_normal((images, *shape, channels), (0, 1)), dtype)
    kernel = tf.cast(tf.random.stateless_normal((3, 3, channels, channels), (0, 2)), dtype)

    @tf.function
    def convolve():
        return tf.reduce_sum(tf.nn.conv2d(x, kernel, 1, "SAME")[0, 0, 0])

    best = float("inf")
    for _ in range(PEAK_RUNS):
        started = clock()
        convolve().numpy()
        best = min(best, clock() - started)
    return 2 * x.shape.num_elements() * 9 * channels / best
