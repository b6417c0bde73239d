"""Stand-ins for the official weights of FID's Inception."""

from gan_tf.pretrained.inception import Inception
from tests.parity.inception import random_weights


def inception_arrays(salt=""):
    """{official name: float32 array}: random weights whose activations keep their size from layer to layer."""
    network = Inception()
    network.build()
    return random_weights(network.official_shapes, salt)
