"""Switches between the fast and the plain implementation of each operation.

A fast form gives the numbers of its plain form within rounding. The choice is made while a function is traced, so a
compiled step keeps the forms that it was traced with.
"""

import contextlib
import contextvars
import dataclasses
import functools

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Forms:
    """The fast forms in use.

    transposed_up_conv: upsampling and the convolution after it as one transposed convolution, on large maps.
    strided_down_conv: a convolution and the average pooling after it as one convolution of stride 2.
    lean_glu: GLU with a custom gradient and a float32 sigmoid.
    fused_batch_norm: batch norm as one kernel; False computes the moments separately, as several replicas do.
    shared_modulation: modulated convolution as one convolution for the whole batch, with scaled inputs and outputs;
        False uses one kernel per image.
    compiled_chains: the element-wise operations after a folded convolution compiled by XLA, on the CPU.
    compiled_resampling: ADA's bilinear interpolation compiled by XLA, on the CPU.

    One switch is not faster, but needed by converters to other formats:
    resize_operation: nearest upsampling as a single operation, whose shape inference all formats support.
    """

    transposed_up_conv: bool = True
    strided_down_conv: bool = True
    lean_glu: bool = True
    fused_batch_norm: bool = True
    shared_modulation: bool = True
    compiled_chains: bool = True
    compiled_resampling: bool = True
    resize_operation: bool = False


FAST = Forms()
PLAIN = Forms(
    transposed_up_conv=False,
    strided_down_conv=False,
    lean_glu=False,
    fused_batch_norm=False,
    shared_modulation=False,
    compiled_chains=False,
    compiled_resampling=False,
)

_current = contextvars.ContextVar("gan_tf_forms", default=FAST)


def forms() -> Forms:
    """Returns the forms in use."""
    return _current.get()


@contextlib.contextmanager
def use_forms(chosen: Forms):
    """Uses `chosen` for everything traced or run inside the `with` block: for tests, benchmarks and export."""
    token = _current.set(chosen)
    try:
        yield
    finally:
        _current.reset(token)


@functools.cache
def has_gpu() -> bool:
    """True if TensorFlow uses a GPU. XLA is then not used for single functions: it needs a complete CUDA toolkit."""
    return bool(tf.config.list_logical_devices("GPU"))
