"""What the building blocks of every family have in common."""

import keras

from gan_tf.rng import stream_key


class Block(keras.layers.Layer):
    """Layer of `filters` output channels whose parts take type and initial values from its own."""

    def __init__(self, filters, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.seed = seed

    def part(self, name):
        """Arguments that every part called `name` needs."""
        return {"seed": stream_key(self.seed, name), "dtype": self.dtype_policy}

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "seed": self.seed}
