"""gan_tf trains, measures and ships generative adversarial networks on small image sets."""

__version__ = "0.1.0"
