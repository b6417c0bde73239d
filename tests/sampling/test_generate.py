"""An image depends on its seed alone."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.models.fastgan import FastGanGenerator
from gan_tf.models.network import fold
from gan_tf.sampling.generate import images_of_seeds, suitable_batch_size


@pytest.fixture(scope="module")
def generators():
    g = FastGanGenerator(64, ngf=8, latent_size=16)
    g.build()
    for i in range(5):  # power iterations, and statistics other than those of the batch at hand
        g(tf.random.stateless_normal((8, 16), (0, i)), training=True)
    for block in g.blocks[::2]:
        block.up_noise.strength.assign([0.5])
    return g, fold(g)


@dataclasses.dataclass(frozen=True)
class ImagesAlone:
    """A FastGAN generator without the smaller version of its images, as its folded form is."""

    g: FastGanGenerator

    def __getattr__(self, name):
        return getattr(self.g, name)

    def __call__(self, *arguments, **options):
        return self.g(*arguments, **options)[0]


def images(g, seeds, batch_size):
    batches = list(images_of_seeds(g, seeds, batch_size))
    assert [seed for some, _ in batches for seed in some] == seeds
    return np.concatenate([made for _, made in batches])


def largest_difference(a, b):
    return np.abs(a.astype(int) - b.astype(int)).max()


def test_the_batch_size_does_not_matter(generators):
    _, folded = generators
    seeds = [5, 0, 2**40, 7, 1]
    wanted = images(folded, seeds, 5)
    assert wanted.shape == (5, 64, 64, 3) and wanted.dtype == np.uint8
    assert min(image.std() for image in wanted) > 1
    for batch_size in (1, 2, 64):
        assert largest_difference(images(folded, seeds, batch_size), wanted) <= 1


def test_neighbours_do_not_matter(generators):
    _, folded = generators
    assert largest_difference(images(folded, [3, 9], 2)[:1], images(folded, [3, 4], 2)[:1]) <= 1
    assert largest_difference(images(folded, [3, 9], 2)[1], images(folded, [3, 4], 2)[1]) > 1


def test_folded_and_plain_generator_make_the_same_image(generators):
    g, folded = generators
    plain, folded = (images(made, [11, 12, 13], 2) for made in (ImagesAlone(g), folded))
    assert largest_difference(plain, folded) <= 1


@pytest.mark.parametrize(
    "resolution, on_gpu, wanted", [(64, False, 64), (256, False, 16), (1024, False, 1), (1024, True, 4)]
)
def test_batches_shrink_as_images_grow(resolution, on_gpu, wanted):
    assert suitable_batch_size(resolution, on_gpu) == wanted
