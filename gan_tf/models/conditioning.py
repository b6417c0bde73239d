"""What makes networks conditional: embeddings of classes that join the latents of a generator and that a discriminator
compares with what it sees.

In a generator a class is a learned vector. In Progressive GAN it has a mean square of 1 and stands beside the latent,
and the first layer takes both, as in StyleGAN2-ADA. In FastGAN it is added to the first map behind batch norm, which is
conditional batch norm without a factor, and begins as a quarter of what batch norm leaves of the latent. It is the same
at all pixels of that map, and counts for more than its size: measured on drawings of two kinds at 3,000 images, the
colours of a kind's backgrounds deviated by 38 grey levels without classes, by 40 with a quarter, and by 12 with a half;
as large as the latent, by 4 at 5,000 images. In front of batch norm, beside the latent, it took three quarters of the
variance.

In a discriminator a class is a learned direction of its last features, on which they are projected:

    logit(x, y) = logit(x) + e(y) . features(x)

Those of a FastGAN logit are its window of the last map, 4x4 pixels with their channels. Projected on the mean of the
window, a class showed by texture alone, and the generator filled its images with dots.

Source: Miyato and Koyama 2018 (cGANs with Projection Discriminator), equation 5; the normalised embedding beside the
latent as in the official program of Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data).
"""

import math

import keras
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.ops.equalised import pixel_norm
from gan_tf.ops.initial import normal_initializer
from gan_tf.ops.layers import SpectralConv

LEAST_CLASSES = 2
WINDOW = 4  # pixels a side of the last features that a logit of FastGAN's discriminator sees


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
        stddev: of the initial values.
    """

    def __init__(self, units, classes, normalised=True, stddev=1.0, seed=0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.units, self.classes, self.normalised, self.stddev, self.seed = units, classes, normalised, stddev, seed

    def build(self, shape=None):
        normal = normal_initializer(self.seed, "kernel", stddev=self.stddev)
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
        own = {"units": self.units, "classes": self.classes, "normalised": self.normalised, "stddev": self.stddev}
        return {**super().get_config(), **own, "seed": self.seed}


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
class SpectralProjection(SpectralConv):
    """What the classes of images add to the logits of a discriminator with spectral norm.

    To the logit of a window is added the scalar product of its features with the class's vector. The vectors of all
    classes are one kernel under spectral norm, as every kernel of that discriminator: a class cannot outgrow what the
    image says.

    Call: features [N, H, W, C], labels -> [N, H - WINDOW + 1, W - WINDOW + 1, 1].
    """

    def __init__(self, classes, seed=0, **kwargs):
        super().__init__(classes, WINDOW, padding="VALID", seed=seed, **kwargs)

    def call(self, features, labels, training=False):
        of_all = super().call(features, training=training)  # [N, h, w, classes]
        weights = weights_of_classes(labels, self.filters, of_all.dtype)
        return tf.reduce_sum(of_all * weights[:, None, None], axis=3, keepdims=True)

    def get_config(self):
        config = super().get_config()
        del config["kernel_size"], config["strides"], config["padding"]
        classes = config.pop("filters")
        return {**config, "classes": classes}


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
        del config["normalised"], config["stddev"]
        return config
