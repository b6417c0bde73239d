"""What makes networks conditional: embeddings of classes that join the latents of a generator and that a discriminator
compares with what it sees.

In a generator a class is a learned vector of mean square 1. In Progressive GAN it stands beside the latent, and the
first layer takes both, as in StyleGAN2-ADA. In FastGAN it is added to the first map behind batch norm, which is
conditional batch norm without a factor: beside the latent, in front of it, two classes took three quarters of the
variance that batch norm leaves within 500 steps, and all images of a class were nearly the same.

In a discriminator a class is a learned direction of its last features, on which they are projected:

    logit(x, y) = logit(x) + e(y) . features(x)

Source: Miyato and Koyama 2018 (cGANs with Projection Discriminator), equation 5; the normalised embedding beside the
latent as in the official program of Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data).
"""

import math

import keras
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.ops.equalised import at_least_float32, pixel_norm
from gan_tf.ops.initial import normal_initializer
from gan_tf.ops.layers import SpectralLayer

LEAST_CLASSES = 2


def check_classes(classes):
    """Raises UsageError if networks cannot have so many classes; 0 is none."""
    if classes < 0 or 0 < classes < LEAST_CLASSES:
        raise UsageError(f"classes must be 0 or at least {LEAST_CLASSES}, got {classes}")


def weights_of_classes(labels, classes, dtype="float32"):
    """Labels as weights of the classes: [N] integers or [N, classes] weights -> [N, classes] of `dtype`.

    Raises:
        ValueError: there are none, and the network needs them.
    """
    if labels is None:
        raise ValueError(f"a network of {classes} classes needs labels")
    labels = tf.convert_to_tensor(labels)
    return tf.one_hot(labels, classes, dtype=dtype) if labels.dtype.is_integer else tf.cast(labels, dtype)


def joined(z, embed, labels):
    """Latents [N, Z] with the embeddings of their classes behind them, [N, 2Z]; as they are where `embed` is None."""
    return z if embed is None else tf.concat([z, tf.cast(embed(labels), z.dtype)], axis=1)


def shifted(x, vectors):
    """Maps [N, H, W, C] plus the vector of each one's class, [N, C]; as they are where `vectors` is None."""
    return x if vectors is None else x + tf.cast(vectors, x.dtype)[:, None, None]


@keras.saving.register_keras_serializable("gan_tf")
class ClassEmbedding(keras.layers.Layer):
    """A learned vector for each class.

    Call: labels, [N] integers or [N, classes] weights -> [N, units] float32.

    Args:
        units: length of a vector.
        classes: how many.
        normalised: every vector is brought to a mean square of 1, that of a random latent, so that neither of the two
            drowns the other.
    """

    def __init__(self, units, classes, normalised=True, seed=0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.units, self.classes, self.normalised, self.seed = units, classes, normalised, seed

    def build(self, shape=None):
        normal = normal_initializer(self.seed, "kernel")
        self.kernel = self.add_weight(
            name="kernel", shape=(self.classes, self.units), initializer=normal, autocast=False
        )

    def call(self, labels):
        vectors = weights_of_classes(labels, self.classes, self.variable_dtype) @ self.kernel.value
        return pixel_norm(vectors) if self.normalised else vectors

    def table(self):
        """The vectors of all classes as they are applied, [classes, units]."""
        return pixel_norm(self.kernel.value) if self.normalised else self.kernel.value

    def get_config(self):
        own = {"units": self.units, "classes": self.classes, "normalised": self.normalised, "seed": self.seed}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("gan_tf")
class FoldedEmbedding(keras.layers.Layer):
    """Classes' vectors that are ready. Call: labels [N] integers -> [N, units] float32."""

    def __init__(self, units, classes, **kwargs):
        super().__init__(trainable=False, autocast=False, **kwargs)
        self.units, self.classes = units, classes

    def build(self, shape=None):
        self.vectors = self.add_weight(
            name="vectors", shape=(self.classes, self.units), initializer="zeros", autocast=False
        )

    def call(self, labels):
        if labels is None:
            raise ValueError(f"a network of {self.classes} classes needs labels")
        return tf.gather(self.vectors.value, labels)

    def refresh(self, embedding):
        """Takes the vectors of a trained layer, which has a `table()` of them."""
        self.vectors.assign(embedding.table())

    def get_config(self):
        return {**super().get_config(), "units": self.units, "classes": self.classes}


@keras.saving.register_keras_serializable("gan_tf")
class SpectralProjection(SpectralLayer):
    """What the classes of images add to the logits of a discriminator with spectral norm.

    Every logit of FastGAN sees a window of the last features; to it is added the scalar product of the class's vector
    with the mean of these features. The vectors of all classes are one kernel under spectral norm, as every kernel
    of that discriminator: a class cannot outgrow what the image says.

    Call: features [N, H, W, C], labels -> [N, H - window + 1, W - window + 1, 1] float32.

    Args:
        classes: how many.
        window: pixels a side.
    """

    def __init__(self, classes, window=4, seed=0, **kwargs):
        super().__init__(1, seed, **kwargs)
        self.classes, self.window = classes, window

    def build(self, shape):
        self.add_kernel(self.classes, shape[-1])

    def call(self, features, labels, training=False):
        kernel = self.normalised_kernel(training)
        vectors = weights_of_classes(labels, self.classes, kernel.dtype) @ kernel  # [N, C]
        means = tf.nn.avg_pool2d(at_least_float32(features), self.window, 1, "VALID")
        return tf.einsum("nhwc,nc->nhw", means, vectors)[..., None]

    def get_config(self):
        config = {**super().get_config(), "classes": self.classes, "window": self.window}
        del config["filters"]
        return config


@keras.saving.register_keras_serializable("gan_tf")
class ClassProjection(ClassEmbedding):
    """What the classes of images add to the logits of a discriminator with equalised learning rate.

    Call: features [N, C], labels -> [N, 1] in the features' type: the scalar product with the class's vector, over
    sqrt(C), so that it is as large as one feature.
    """

    def __init__(self, units, classes, seed=0, **kwargs):
        super().__init__(units, classes, normalised=False, seed=seed, **kwargs)

    def call(self, features, labels):
        vectors = tf.cast(super().call(labels) / math.sqrt(self.units), features.dtype)
        return tf.reduce_sum(features * vectors, axis=1, keepdims=True)

    def get_config(self):
        config = super().get_config()
        del config["normalised"]
        return config
