"""StyleGAN2's mapping network, and the layers that all its networks are made of.

Source: Karras et al. 2019 (A Style-Based Generator Architecture for Generative Adversarial Networks), section 2 and
appendix B, with the details of the official StyleGAN2-ADA program.
"""

import math

import keras
import tensorflow as tf

from gan_tf.models.block import Seeded
from gan_tf.models.conditioning import weights_of_classes
from gan_tf.ops.bias_act import ACTIVATIONS, bias_act
from gan_tf.ops.equalised import pixel_norm
from gan_tf.ops.initial import normal_initializer

MAPPING_LR = 0.01  # how much slower than the others the layers of a mapping network learn
AVERAGE_DECAY = 0.995  # of the average w, for each batch


class StyleLayer(Seeded):
    """Layer that computes in the type of its input, with weights in the type of the policy's variables."""

    def __init__(self, seed=0, **kwargs):
        super().__init__(seed, autocast=False, **kwargs)

    def weight(self, name, shape, initializer="zeros", **more):
        """Creates a variable."""
        return self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False, **more)

    def normal(self, name, shape, stddev=1.0, **more):
        """Creates a variable of normally distributed initial values."""
        return self.weight(name, shape, normal_initializer(self.seed, name, stddev=stddev), **more)


@keras.saving.register_keras_serializable("gan_tf")
class StyleDense(StyleLayer):
    """Matrix product with equalised learning rate, bias and activation.

    Call: x [N, I] -> [N, units].

    Args:
        units: of the output.
        activation: "linear" or "lrelu".
        lr_multiplier: weights are kept divided by it, so that Adam turns the layer slower by this factor.
        first_bias: initial value of the bias.
    """

    def __init__(self, units, activation="linear", lr_multiplier=1.0, first_bias=0.0, seed=0, **kwargs):
        super().__init__(seed, **kwargs)
        self.units = units
        self.activation = activation
        self.lr_multiplier = lr_multiplier
        self.first_bias = first_bias

    def build(self, shape):
        self.gain = ACTIVATIONS[self.activation][1] * self.lr_multiplier
        self.scale = self.gain / math.sqrt(shape[-1])
        self.kernel = self.normal("kernel", (shape[-1], self.units), 1 / self.lr_multiplier)
        self.bias = self.weight("bias", (self.units,), keras.initializers.Constant(self.first_bias))

    def call(self, x):
        kernel, bias = self.ready()
        return bias_act(x @ tf.cast(kernel, x.dtype), bias, self.activation, gain=1)

    def ready(self):
        """Kernel and bias as they are applied, gains included."""
        return self.kernel.value * self.scale, self.bias.value * self.gain

    def get_config(self):
        own = {"units": self.units, "activation": self.activation}
        own |= {"lr_multiplier": self.lr_multiplier, "first_bias": self.first_bias}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("gan_tf")
class Mapping(StyleLayer):
    """Turns latents, labels or both into points w, and keeps their running mean `average` [W] if it has latents.

    Call: z [N, Z] or None, labels -> ws [N, copies, W], or w [N, W] if `copies` is None.
        labels: [N] integers, or [N, classes] weights of the classes; not read if there are no classes.
        truncation: ws are drawn towards the average: average + truncation * (w - average).
        cutoff: only the first so many of the copies are, None for all.
        update_average: move the average towards the mean w of this (global) batch; None: in training calls.

    Args:
        layers: how many.
        w_size: W.
        latent_size: Z, 0 for labels alone.
        classes: number of classes, 0 for latents alone.
        copies: how many times w is repeated.
    """

    dense_class = StyleDense

    def __init__(self, layers, w_size, latent_size, classes=0, copies=None, seed=0, **kwargs):
        super().__init__(seed, **kwargs)
        self.w_size = w_size
        self.latent_size = latent_size
        self.classes = classes
        self.copies = copies
        self.embed = self.embedding() if classes else None
        self.layers = [
            self.dense_class(w_size, "lrelu", MAPPING_LR, **self.part(f"layers/{index}")) for index in range(layers)
        ]

    def embedding(self):
        """The layer that learns a vector for each class."""
        return self.dense_class(self.w_size, **self.part("embed"))

    def embedded(self, labels):
        """The vectors of classes, of mean square 1: labels as for `call` -> [N, W]."""
        return pixel_norm(self.embed(weights_of_classes(labels, self.classes, self.variable_dtype)))

    def table(self):
        """The vectors of all classes as they are applied, [classes, W]."""
        return self.embedded(tf.range(self.classes))

    def build(self, shape=None):
        if self.classes:
            self.embed.build((None, self.classes))
        inputs = self.latent_size + (self.w_size if self.classes else 0)
        for layer in self.layers:
            layer.build((None, inputs))
            inputs = self.w_size
        self.average = None
        if self.latent_size:
            self.average = self.weight("average", (self.w_size,), trainable=False, aggregation="only_first_replica")

    def call(self, z, labels=None, truncation=1.0, cutoff=None, update_average=None, training=False):
        parts = [pixel_norm(tf.cast(z, self.variable_dtype))] if self.latent_size else []
        if self.classes:
            parts.append(self.embedded(labels))
        w = tf.concat(parts, axis=1)
        for layer in self.layers:
            w = layer(w)
        if self.average is not None and (training if update_average is None else update_average):
            self._move_average(w)
        if self.copies is None:
            return w
        ws = tf.tile(w[:, None], (1, self.copies, 1))
        return ws if _is_one(truncation) else self.truncated(ws, truncation, cutoff)

    def truncated(self, ws, truncation, cutoff=None):
        """ws [N, S, W] drawn towards the average: Karras et al. 2019 (StyleGAN), appendix B."""
        average = self.average.value
        near = average + tf.cast(truncation, ws.dtype) * (ws - average)
        return near if cutoff is None else tf.concat([near[:, :cutoff], ws[:, cutoff:]], axis=1)

    def get_config(self):
        own = {"layers": len(self.layers), "w_size": self.w_size, "latent_size": self.latent_size}
        return {**super().get_config(), **own, "classes": self.classes, "copies": self.copies}

    def _move_average(self, w):
        mean = tf.stop_gradient(tf.reduce_mean(w, axis=0))
        replica = tf.distribute.get_replica_context()
        if replica is None:
            raise RuntimeError("the average w moves in replica context: call the network in strategy.run")
        if replica.num_replicas_in_sync > 1:
            mean = replica.all_reduce(tf.distribute.ReduceOp.MEAN, mean)
        self.average.assign(mean + AVERAGE_DECAY * (self.average.value - mean))


def _is_one(truncation):
    return isinstance(truncation, int | float) and truncation == 1
