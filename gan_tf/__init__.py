"""gan_tf trains, measures and ships generative adversarial networks on small image sets."""

import os

__version__ = "0.1.0"

os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever ~/.keras/keras.json says; must be set before Keras is imported
