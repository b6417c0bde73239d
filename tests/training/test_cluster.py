"""One worker alone is a cluster too; whose error it is when an operation of all fails."""

import pytest
import tensorflow as tf

from gan_tf.distributed import workers as cluster


def test_one_alone_agrees_with_itself():
    alone = cluster.Workers(tf.distribute.get_strategy(), "one device")
    assert alone.is_chief
    assert alone.broadcast(3, True) == [3.0, 1.0]
    assert alone.sync_flags(False) == (None, False)
    assert alone.sync_flags(True) == (None, True)
    alone.require_equal("--precision", "float32", "give another")


@pytest.mark.parametrize(
    "error, is_of_another",
    [
        (tf.errors.UnavailableError(None, None, "Socket closed"), True),
        (tf.errors.InternalError(None, None, "Collective ops is aborted by: peer ended"), True),
        (tf.errors.InvalidArgumentError(None, None, "Shape mismatch in the collective"), False),
        (tf.errors.InternalError(None, None, "cuDNN failed"), False),
    ],
)
def test_whose_error_it_is(error, is_of_another):
    assert cluster.is_lost_worker_error(error) == is_of_another
