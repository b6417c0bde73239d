"""The image of a seed depends on that seed alone."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.models import FAMILIES, fastgan
from gan_tf.sampling.generate import images_of_seeds, suitable_batch_size


@pytest.fixture(scope="module")
def generators():
    g = fastgan.FastGanGenerator(64, ngf=8, latent_size=16)
    g.build()
    for i in range(5):  # power iterations, and moving statistics that differ from those of a batch
        g(tf.random.stateless_normal((8, 16), (0, i)), training=True)
    for block in g.blocks[::2]:
        block.up_noise.strength.assign([0.5])
    return g, FAMILIES["fastgan"].fold(g, "float32")


@dataclasses.dataclass(frozen=True)
class LargeImages:
    """FastGAN's generator without its second, smaller output."""

    g: fastgan.FastGanGenerator

    def __getattr__(self, name):
        return getattr(self.g, name)

    def __call__(self, *arguments, **options):
        return self.g(*arguments, **options)[0]


def images(g, seeds, batch_size):
    batches = list(images_of_seeds(g, seeds, batch_size))
    assert [seed for batch, _ in batches for seed in batch] == seeds
    return np.concatenate([images for _, images in batches])


def largest_difference(a, b):
    return np.abs(a.astype(int) - b.astype(int)).max()


def test_batch_size_and_other_seeds_do_not_change_an_image(generators):
    _, folded = generators
    seeds = [5, 0, 2**40, 7, 1]
    expected = images(folded, seeds, 5)
    assert expected.shape == (5, 64, 64, 3) and expected.dtype == np.uint8
    assert min(image.std() for image in expected) > 1
    for batch_size in (1, 2, 64):
        assert largest_difference(images(folded, seeds, batch_size), expected) <= 1
    other = images(folded, [5, 4], 2)
    assert largest_difference(other[0], expected[0]) <= 1 < largest_difference(other[1], expected[1])


def test_folded_and_training_generator_make_the_same_image(generators):
    g, folded = generators
    plain, folded = (images(network, [11, 12, 13], 2) for network in (LargeImages(g), folded))
    assert largest_difference(plain, folded) <= 1


@pytest.mark.parametrize(
    "resolution, on_gpu, size", [(64, False, 64), (256, False, 16), (1024, False, 1), (1024, True, 4)]
)
def test_batches_shrink_as_images_grow(resolution, on_gpu, size):
    assert suitable_batch_size(resolution, on_gpu) == size
