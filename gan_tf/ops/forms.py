"""The one switch between the fast and the plain form of an operation.

Every fast form gives the numbers of its plain form within rounding. Which one is used is decided while a function is
traced, so a compiled step keeps the forms under which it was traced.
"""

import contextlib
import contextvars
import dataclasses


@dataclasses.dataclass(frozen=True)
class Forms:
    """Fast forms in use.

    transposed_up_conv: upsampling and the convolution after it as one transposed convolution on large maps.
    strided_down_conv: a convolution and the halving after it as one convolution of stride 2.
    lean_glu: GLU with its own gradient and a float32 sigmoid.
    fused_batch_norm: batch norm as one kernel; False takes the moments apart, as several replicas do.
    shared_modulation: modulated convolution with one kernel for all images, which scales the maps; False gives every
        image its own kernel.
    compiled_chains: what follows a convolution of a folded network compiled by XLA, on the CPU.
    compiled_resampling: reading a texture at the places of an affine map compiled by XLA, on the CPU.

    And one for converters to other formats, which is no faster here:
    resize_operation: nearest upsampling as one operation that every format has, and whose shape they can follow.
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
    """Returns the forms in use here."""
    return _current.get()


@contextlib.contextmanager
def use_forms(chosen: Forms):
    """Uses `chosen` for everything traced or run inside the `with` block, for tests, benchmarks and export."""
    token = _current.set(chosen)
    try:
        yield
    finally:
        _current.reset(token)
