"""Networks of the families: architecture only."""

import dataclasses
from collections.abc import Callable

from gan_tf.models import fastgan, fastgan_inference, pggan, pggan_inference


@dataclasses.dataclass(frozen=True)
class Family:
    """How the networks of one family are built.

    generator, discriminator: (settings, Keras dtype policy) -> built network with initial values. `settings` is any
    object with the attributes of TrainConfig that the network needs.
    fold: (built generator, dtype policy or None) -> the same generator for inference, with `refresh(generator)`.
    """

    generator: Callable
    discriminator: Callable
    fold: Callable


FAMILIES = {
    "fastgan": Family(fastgan.build_generator, fastgan.build_discriminator, fastgan_inference.fold),
    "pggan": Family(pggan.build_generator, pggan.build_discriminator, pggan_inference.fold),
}
