"""Networks of the families: architecture only."""

from gan_tf.models import fastgan

FAMILIES = {"fastgan": fastgan}  # each module defines `Generator` and `Discriminator`
