"""Starts TensorFlow without its chatter."""

import contextlib
import os
import sys
import tempfile


def start_tensorflow(verbose=False):
    """Imports TensorFlow and sets up the devices: GPU memory grows as needed, and start-up noise is swallowed.

    TensorFlow's C++ part writes to file descriptor 2 before any log level applies, so the descriptor itself is turned
    away until the devices are up. If that fails, what was written is shown.
    """
    if verbose:
        _start()
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with stderr_kept():
        _start()
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # a network that grows is traced once for each size, which is no mistake


def _start():
    import tensorflow as tf

    from gan_tf.distributed.cluster_spec import cluster_of_environment
    from gan_tf.distributed.devices import let_gpu_memory_grow

    let_gpu_memory_grow()
    if not cluster_of_environment():  # whose devices are set up with the strategy
        tf.config.list_logical_devices()


@contextlib.contextmanager
def stderr_kept():
    """Within, what is written to file descriptor 2 is kept back; it is shown if an exception ends the block."""
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(before, kept.read())
            raise
        finally:
            os.dup2(before, 2)
            os.close(before)
