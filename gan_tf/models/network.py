"""Base class of all networks: configuration, construction from settings, and folding for inference."""

import keras
import tensorflow as tf

from gan_tf.models.variables import named_variables
from gan_tf.ops.layers import Seeded


class SeededNetwork(Seeded, keras.Model):
    """Keras model with reproducible initial values; architecture only, without loss, optimiser or file access.

    Sub-classes list their constructor arguments, which are also attributes: `SETTINGS` has those that are settings of a
    run, `OPTIONS` the others. Generators can be folded, see `fold`.
    """

    SETTINGS, OPTIONS = (), ()

    def __init__(self, seed=0, folded=False, **kwargs):
        super().__init__(seed, folded, trainable=not folded, **kwargs)

    def arguments(self):
        """{name: value} of the constructor's arguments."""
        return {name: getattr(self, name) for name in (*self.SETTINGS, *self.OPTIONS)}

    def get_config(self):
        config = super().get_config()
        del config["trainable"]
        return {**config, **self.arguments(), "folded": self.folded}

    def check_training(self, training):
        """Raises ValueError for a training call of a folded network."""
        if training and self.folded:
            raise ValueError("a folded generator cannot be trained; train the original and refresh this one from it")

    def refresh(self, source):
        """Folds other weights into this folded network. Functions that were traced before use them.

        Args:
            source: the trainable generator, or its weights {attribute path: array or variable}, as `named_variables`
                gives and run folders store them. Of any precision: variables are float32 in each.
        """
        weights = named_variables(source) if isinstance(source, keras.Model) else source
        self.fold_weights({path: tf.convert_to_tensor(value) for path, value in weights.items()})


def build(network_class, settings, policy, **changes):
    """Builds a network with initial values.

    Args:
        network_class: sub-class of SeededNetwork.
        settings: object with the attributes of TrainConfig that `network_class.SETTINGS` names.
        policy: Keras dtype policy.
        changes: arguments that replace settings.
    """
    arguments = {name: getattr(settings, name) for name in network_class.SETTINGS} | changes
    network = network_class(**arguments, dtype=policy)
    network.build()
    return network


def fold(generator, policy=None):
    """Returns a copy of a built generator for inference: the same images within rounding, in less time.

    Kernels are normalised, scaled, arranged and cast once, and batch norm is contained in kernels and biases. The copy
    gives images alone: (latents [N, Z], labels, noise) -> [N, R, R, 3]. `refresh` brings newer weights into it.

    Args:
        generator: of any precision.
        policy: Keras dtype policy of the copy, None for the generator's.
    """
    folded = type(generator)(**generator.arguments(), folded=True, dtype=policy or generator.dtype_policy)
    folded.build()
    folded.refresh(generator)
    return folded
