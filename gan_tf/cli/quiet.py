"""Starts TensorFlow without its start-up messages."""

import contextlib
import os
import sys
import tempfile

from gan_tf.errors import UsageError


def start_tensorflow(verbose=False):
    """Imports TensorFlow and initialises the devices, with GPU memory that grows as needed.

    Raises UsageError for a GPU that this TensorFlow has no code for.

    The C++ part of TensorFlow writes to file descriptor 2 before any log level applies, so the descriptor is
    redirected to a file, whose content is printed only after an exception.
    """
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with contextlib.nullcontext() if verbose else stderr_buffered():
        import tensorflow as tf

        from gan_tf.distributed.cluster_spec import cluster_source
        from gan_tf.distributed.devices import check_gpus

        check_gpus()
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        if not cluster_source():  # else the multi-worker strategy must initialise the devices
            tf.config.list_logical_devices()
    if not verbose:
        tf.get_logger().setLevel("ERROR")  # no warnings of retracing: growing networks are traced once per resolution


@contextlib.contextmanager
def stderr_buffered():
    """Redirects file descriptor 2 to a temporary file within the block.

    An exception writes the file's content to stderr, except a UsageError, which is one line.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as buffer:
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        except BaseException as error:
            if not isinstance(error, UsageError):
                buffer.seek(0)
                os.write(stderr, buffer.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
