"""Base class of all networks: construction from settings, class labels, image shapes, and folding for inference.

Images have `image_channels` channels, 3 by default, and any shape that halves down to a small one, the `base` (height,
width). Networks are described by the sizes of their maps for the published base of 4x4: `resolution`, `size` and the
tables of widths are those. With base (4, 6), maps of "64 pixels" are 64 pixels high and 96 wide.

The generators of Progressive GAN and StyleGAN2-ADA concatenate the embedding of the class, a learned vector with a mean
square of 1, to the latent. See fastgan_blocks.py for FastGAN's. Discriminators project their last features on
another embedding e of the class y; in StyleGAN2-ADA the second term is the whole logit:

    logit(x, y) = logit(x) + e(y) . features(x)

Source: Miyato and Koyama 2018 (cGANs with Projection Discriminator), equation 5; the normalised embedding as in the
official program of Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data).
"""

import inspect

import keras
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.models.variables import named_variables
from gan_tf.ops.layers import Seeded, SeededLayer
from gan_tf.ops.normalisation import pixel_norm


class SeededNetwork(Seeded, keras.Model):
    """Keras model with reproducible initial values; architecture only, without loss, optimiser or file access.

    Each parameter of a sub-class's `__init__` is also an attribute. Generators can be folded, see `fold`.
    """

    def __init__(self, seed=0, folded=False, **kwargs):
        super().__init__(seed, folded, trainable=not folded, **kwargs)

    @classmethod
    def parameters(cls):
        """Names of the constructor's arguments, without `folded` and those of Keras."""
        return [name for name in inspect.signature(cls.__init__).parameters if name not in ("self", "kwargs")] + [
            "seed"
        ]

    @property
    def image_shape(self):
        """(height, width, channels) of the images."""
        return *map_shape(self.resolution, self.base), self.image_channels

    def arguments(self):
        """{name: value} for each of `parameters`."""
        return {name: getattr(self, name) for name in self.parameters()}

    def get_config(self):
        config = super().get_config()
        del config["trainable"]
        return {**config, **self.arguments(), "folded": self.folded}

    def check_training(self, training):
        """Raises ValueError for a training call of a folded network."""
        if training and self.folded:
            raise ValueError("a folded generator cannot be trained; train the original and refresh this one from it")

    def refresh(self, source):
        """Folds other weights into this folded network. Functions that were traced before use the new weights.

        Args:
            source: the trainable generator of any precision (its variables are always float32), or its weights
                {attribute path: array or variable}, as in `named_variables` and run folders.
        """
        weights = named_variables(source) if isinstance(source, keras.Model) else source
        self.fold_weights({path: tf.convert_to_tensor(value) for path, value in weights.items()})


def build(network_class, settings, policy, **more):
    """Builds a network with initial values.

    Args:
        network_class: sub-class of SeededNetwork.
        settings: object with attributes of TrainConfig; those that the network has parameters for are used.
        policy: Keras dtype policy.
        more: further arguments.
    """
    arguments = {name: getattr(settings, name) for name in network_class.parameters() if hasattr(settings, name)}
    network = network_class(**arguments, **more, dtype=policy)
    network.build()
    return network


def fold(generator, policy=None):
    """Returns a copy of a built generator for inference: the same images within rounding, in less time.

    Kernels are normalised, scaled, arranged and cast once, and batch norm is contained in kernels and biases. The copy
    returns images alone: (latents [N, Z], labels, noise) -> [N, H, W, C]. `refresh` folds newer weights into it.

    Args:
        generator: of any precision.
        policy: Keras dtype policy of the copy, None for the generator's.
    """
    folded = type(generator)(**generator.arguments(), folded=True, dtype=policy or generator.dtype_policy)
    folded.build()
    folded.refresh(generator)
    return folded


def check_sizes(resolution, resolutions, classes, widths):
    """Raises UsageError for sizes that a network cannot have.

    Args:
        resolutions: those of the family.
        classes: number of classes, 0 for an unconditional network.
        widths: {argument: (its value, the smallest possible one)}.
    """
    if resolution not in resolutions:
        raise UsageError(f"resolution must be one of {', '.join(map(str, resolutions))}, got {resolution}")
    for name, (width, least) in widths.items():
        if width < least:
            raise UsageError(f"{name} must be at least {least} at resolution {resolution}, got {width}")
    if classes < 0 or classes == 1:
        raise UsageError(f"classes must be 0 or at least 2, got {classes}")


def map_shape(size: int, base: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a map of a network whose smallest map is `base`, where that of a 4x4 `base` is size x size."""
    return size * base[0] // 4, size * base[1] // 4


def class_weights(labels, classes, dtype="float32"):
    """Labels as class weights: [N] integers (one-hot) or [N, classes] weights -> [N, classes] of `dtype`."""
    labels = _required(labels, classes)
    return tf.one_hot(labels, classes, dtype=dtype) if labels.dtype.is_integer else tf.cast(labels, dtype)


class ClassEmbedding(SeededLayer):
    """A learned vector for each class.

    Call: labels, [N] integers or [N, classes] weights -> [N, units] float32. Folded, labels are integers only.

    Args:
        normalised: scale every vector to a mean square of 1, that of a random latent.
        stddev: of the initial vectors.
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


def _required(labels, classes):
    """Labels as a tensor. Raises ValueError for None."""
    if labels is None:
        raise ValueError(f"a network of {classes} classes needs labels")
    return tf.convert_to_tensor(labels)
