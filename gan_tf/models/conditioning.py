"""Class conditioning: embeddings of class labels for generators, projections for discriminators.

In the generators of Progressive GAN and StyleGAN2-ADA a class is a learned vector with a mean square of 1, concatenated
to the latent. In FastGAN it is added to the first map after its batch norm: conditional batch norm without a factor,
with a quarter of the latent's standard deviation at first. All pixels of that map get the same vector, so its effect
is larger than its size. Measured on drawings of two kinds at 3,000 images, the background colours of a kind deviated
by 38 grey levels without classes, by 40 with a factor of 0.25 and by 12 with 0.5; with 1 by 4 at 5,000 images. Before
batch norm, concatenated to the latent, the class took three quarters of the variance.

In a discriminator a class is a learned direction, and the last features are projected on it:

    logit(x, y) = logit(x) + e(y) . features(x)

For a FastGAN logit the features are its 4x4 window of the last map. With the mean of the window instead, a class
depended on texture alone, and the generator filled its images with dots.

Source: Miyato and Koyama 2018 (cGANs with Projection Discriminator), equation 5; the normalised embedding as in the
official program of Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data).
"""

import math

import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.ops.layers import SeededLayer, SpectralConv
from gan_tf.ops.normalisation import pixel_norm

MIN_CLASSES = 2
WINDOW = 4  # pixels per side of the last features that a logit of FastGAN's discriminator depends on


def check_classes(classes):
    """Raises UsageError for a number of classes that networks cannot have; 0 is unconditional."""
    if classes < 0 or 0 < classes < MIN_CLASSES:
        raise UsageError(f"classes must be 0 or at least {MIN_CLASSES}, got {classes}")


def class_weights(labels, classes, dtype="float32"):
    """Labels as class weights: [N] integers (one-hot) or [N, classes] weights -> [N, classes] of `dtype`.

    Raises:
        ValueError: labels are None.
    """
    labels = _required(labels, classes)
    return tf.one_hot(labels, classes, dtype=dtype) if labels.dtype.is_integer else tf.cast(labels, dtype)


def add_vectors(x, vectors):
    """Maps [N, H, W, C] plus vectors [N, C] or None."""
    return x if vectors is None else x + tf.cast(vectors, x.dtype)[:, None, None]


class ClassEmbedding(SeededLayer):
    """A learned vector for each class.

    Call: labels, [N] integers or [N, classes] weights -> [N, units] float32.
    Folded, it holds the vectors as they are applied, and labels are integers.

    Args:
        units: length of a vector.
        classes: number of classes.
        normalised: scale every vector to a mean square of 1, that of a random latent.
        stddev: of the initial values.
    """

    def __init__(self, units, classes, normalised=True, stddev=1.0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.units, self.classes, self.normalised, self.stddev = units, classes, normalised, stddev

    def build(self, shape=None):
        shape = (self.classes, self.units)
        self.kernel = self.weight("kernel", shape) if self.folded else self.normal("kernel", shape, stddev=self.stddev)

    def call(self, labels):
        if self.folded:
            return tf.gather(self.kernel.value, _required(labels, self.classes))
        vectors = class_weights(labels, self.classes, self.variable_dtype) @ self.kernel.value
        return pixel_norm(vectors) if self.normalised else vectors

    def fold_weights(self, weights):
        """Stores the vectors of a trained embedding, normalised where `call` does so."""
        self.kernel.assign(pixel_norm(weights["kernel"]) if self.normalised else weights["kernel"])


class SpectralProjection(SpectralConv):
    """Class term of the logits of a discriminator with spectral norm.

    For each 4x4 window it is the scalar product of its features with the vector of the class. The vectors of all
    classes are one kernel under spectral norm, as all kernels of that discriminator.

    Call: features [N, H, W, C], labels -> [N, H - WINDOW + 1, W - WINDOW + 1, 1].
    """

    def __init__(self, classes, **kwargs):
        super().__init__(classes, WINDOW, padding="VALID", **kwargs)

    def call(self, features, labels, training=False):
        logits = super().call(features, training=training)  # [N, h, w, classes]
        weights = class_weights(labels, self.filters, logits.dtype)
        return tf.reduce_sum(logits * weights[:, None, None], axis=3, keepdims=True)


class ClassProjection(ClassEmbedding):
    """Class term of the logits of a discriminator with equalised learning rate.

    Call: features [N, C], labels -> [N, 1] in the features' type: the scalar product with the vector of the class,
    divided by sqrt(C), which gives it the variance of one feature.
    """

    def __init__(self, units, classes, **kwargs):
        super().__init__(units, classes, normalised=False, **kwargs)

    def call(self, features, labels):
        vectors = tf.cast(super().call(labels) / math.sqrt(self.units), features.dtype)
        return tf.reduce_sum(features * vectors, axis=1, keepdims=True)


def _required(labels, classes):
    if labels is None:
        raise ValueError(f"a network of {classes} classes needs labels")
    return tf.convert_to_tensor(labels)
