"""gan_tf trains, measures and ships generative adversarial networks on small image sets."""

import importlib
import os

__version__ = "0.1.0"

os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever ~/.keras/keras.json says; must be set before Keras is imported


def load(run, which="best", precision="float32"):
    """Loads the trained generator of a run: `gan_tf.load("checkpoints/panda").sample(range(64))`.

    Arguments and errors are those of `gan_tf.sampling.api.load`. TensorFlow is imported by the first call.
    """
    with importlib.import_module("gan_tf.io.packages").requiring_tensorflow():
        return importlib.import_module("gan_tf.sampling.api").load(run, which, precision)
