"""Networks for images that are not square, and for grey and RGBA images."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.models import FAMILIES
from gan_tf.models.network import fold, map_shape
from gan_tf.models.variables import named_variables
from gan_tf.ops.resample import nearest_resize
from tests.models.networks import images_of, networks, random, random_noise


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("base", "channels"), [((4, 6), 4), ((5, 3), 1), ((2, 8), 3)])
def test_shapes_of_images_maps_and_logits(family, base, channels):
    g, d = networks(family, base=base, image_channels=channels)
    for _ in range(3):  # settles spectral norm and batch norm, so that maps have ordinary sizes
        g(random(4, 8), noise=random_noise(g, 4), training=True)
    if family == "pggan":
        g.growth.assign(g.levels)
    output = g(random(2, 8), noise=random_noise(g, 2))
    images = images_of(output)
    height, width = map_shape(g.resolution, base)
    assert tuple(images.shape) == (2, height, width, channels) == (2, *g.image_shape) == (2, *d.image_shape)
    logits = d((images, nearest_resize(images, height // 2)) if family == "fastgan" else images)
    windows = (2 * base[0] - 3) * (2 * base[1] - 3)  # of 4x4 pixels on FastGAN's last maps
    assert tuple(logits.shape) == (2, 2 * windows if family == "fastgan" else 1)
    folded = fold(g)(random(2, 8), noise=random_noise(g, 2))
    np.testing.assert_allclose(folded, images, rtol=1e-3, atol=1e-3 * float(tf.reduce_max(tf.abs(images))))


def test_the_published_base_has_the_same_weights():
    for family in FAMILIES:
        default, given = (networks(family, **changes)[0] for changes in ({}, {"base": [4, 4], "image_channels": 3}))
        for (name, one), other in zip(named_variables(default).items(), named_variables(given).values(), strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy(), name)


def test_every_part_of_an_image_has_its_own_weights_in_the_stem():
    """A wide first map is not a square one repeated."""
    g, _ = networks("pggan", base=(4, 6))
    first = g.maps(random(1, 8), level=0)[0].numpy()[0]
    assert first.shape[:2] == (4, 6) and not np.allclose(first[:, :2], first[:, 4:])


def test_the_reconstructions_of_fastgan_have_the_shape_of_the_small_images():
    _, d = networks("fastgan", base=(3, 4), image_channels=4)
    images = random(2, 48, 64, 4)
    _, rebuilt = d.logits_and_reconstructions((images, nearest_resize(images, 24)), tf.constant(3))
    assert {tuple(each.shape) for each in rebuilt.values()} == {(2, 24, 32, 4)}
