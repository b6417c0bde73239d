"""Small networks of all families, and helpers for their tests."""

import types

import numpy as np
import tensorflow as tf

from gan_tf.models import FAMILIES
from gan_tf.models.variables import named_variables
from gan_tf.ops.resample import nearest_resize

SIZES = {
    "fastgan": {"resolution": 64, "ngf": 4, "ndf": 4, "latent_size": 8, "decoders": 5, "tanh": True},
    "pggan": {
        **{"resolution": 16, "latent_size": 8, "fmap_base": 64, "fmap_max": 8},
        **{"batch_norm": True, "pixel_norm": False, "minibatch_stddev": False},
    },
    "stylegan2": {
        **{"resolution": 16, "latent_size": 8, "w_size": 6, "mapping_layers": 3, "channel_base": 64, "channel_max": 8},
        **{"mbstd_group": 2, "conv_clamp": 256.0, "architecture": "orig"},
    },
}


def networks(family, seed=4, classes=0, policy="float32", **changes):
    """(generator, discriminator) built from settings."""
    settings = types.SimpleNamespace(**{**SIZES[family], **changes}, seed=seed, classes=classes)
    return FAMILIES[family].generator(settings, policy), FAMILIES[family].discriminator(settings, policy)


def random_input(family, count=4):
    """Images as the family's discriminator takes them."""
    side = SIZES[family]["resolution"]
    images = random(count, side, side, 3)
    return (images, nearest_resize(images, side // 2)) if family == "fastgan" else images


def images_of(output):
    """The images in the output of a generator."""
    return output[0] if isinstance(output, tuple) else output


def random(*shape, seed=0):
    """Normally distributed numbers, float32."""
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def random_noise(g, count):
    """Noise maps for `count` images of a generator."""
    return [random(count, *shape, seed=i) for i, shape in enumerate(g.noise_shapes)]


def values(network):
    """{attribute path: array} of all variables."""
    return {name: v.numpy() for name, v in named_variables(network).items()}


def gradients(loss, network, tape, **options):
    """{name: gradient} of a network's trainable variables."""
    variables = {name: v.value for name, v in named_variables(network).items() if v.trainable}
    return tape.gradient(loss, variables, **options)


def flat(tensors):
    """One vector of the entries of {name: tensor}."""
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors.values()], 0)
