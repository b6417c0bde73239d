"""What the building blocks of every family have in common."""

import keras

from gan_tf.rng import stream_key


class Seeded(keras.layers.Layer):
    """Layer whose parts take type and initial values from its own."""

    def __init__(self, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed

    def part(self, name):
        """Arguments that every part called `name` needs."""
        return {"seed": stream_key(self.seed, name), "dtype": self.dtype_policy}

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


class Block(Seeded):
    """Such a layer of `filters` output channels."""

    def __init__(self, filters, seed=0, **kwargs):
        super().__init__(seed, **kwargs)
        self.filters = filters

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


class ExactBlock(Block):
    """Block that computes in the type of its input."""

    def __init__(self, filters, seed=0, **kwargs):
        super().__init__(filters, seed, autocast=False, **kwargs)
