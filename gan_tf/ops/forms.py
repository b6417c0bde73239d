"""Selects the fast or the plain form of each operation; both give the same numbers within rounding.

The choice is made while a function is traced, so a compiled step keeps the forms that it was traced with.
"""

import contextlib
import contextvars
import dataclasses
import functools

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Forms:
    """The forms in use: True selects the fast one."""

    transposed_up_conv: bool = True  # upsampling, then a convolution: one transposed convolution, on large maps
    strided_down_conv: bool = True  # a convolution, then average pooling: one convolution of stride 2
    lean_glu: bool = True  # GLU with a custom gradient and a sigmoid in float32
    fused_batch_norm: bool = True  # one kernel; False computes the moments separately, as several replicas do
    shared_modulation: bool = True  # modulated convolution as one convolution; False uses one kernel per image
    compiled_chains: bool = True  # XLA compiles folded GLUs and ADA's bilinear interpolation, on the CPU
    # Nearest upsampling as a single operation: not faster, but converters to other formats infer its shape
    resize_operation: bool = False
    # The same as shared_modulation for 1x1 kernels: for runtimes on GPUs, which lack tensors of five dimensions
    shared_small_modulation: bool = False


FAST = Forms()
PLAIN = Forms(**{field.name: False for field in dataclasses.fields(Forms)})

_current = contextvars.ContextVar("gan_tf_forms", default=FAST)


def forms() -> Forms:
    """Returns the forms in use."""
    return _current.get()


@contextlib.contextmanager
def use_forms(chosen: Forms):
    """Uses `chosen` for everything that is traced or run in this block: for tests, benchmarks and export."""
    token = _current.set(chosen)
    try:
        yield
    finally:
        _current.reset(token)


def compiles_chains() -> bool:
    """True if XLA compiles single functions: not on a GPU, where it needs a complete CUDA toolkit."""
    return forms().compiled_chains and not has_gpu()


@functools.cache
def has_gpu() -> bool:
    """True if TensorFlow uses a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))
