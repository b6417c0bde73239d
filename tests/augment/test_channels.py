"""Augmentation of grey and RGBA images, and of images that are not square."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.augment.ada import POLICIES
from gan_tf.augment.choice import Augmentation, augment
from gan_tf.ops.pixels import from_uint8
from tests.augment.helpers import draws_for, gradient_of, random_images

KINDS = {
    "diffaugment": Augmentation("diffaugment", ("color", "translation", "cutout")),
    "ada": Augmentation("ada", ("bgcfnc",)),
}
COLOURS = {"diffaugment": Augmentation("diffaugment", ("color",)), "ada": Augmentation("ada", ("color",))}
VISIBLE = {**COLOURS, "filter": Augmentation("ada", ("filter",)), "noise": Augmentation("ada", ("noise",))}


def augmented(images, chosen, p=0.9):
    return augment(images, draws_for(len(images)), "reals", chosen, tf.constant(p))


def sprites(count=6):
    """RGBA uint8 [count, 16, 16, 4], transparent around a square in the middle."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 4), np.uint8)
    pixels[..., 3] = 0
    pixels[:, 4:12, 4:12, 3] = 255
    return pixels


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(16, 24, 3), (16, 16, 4), (24, 16, 1)])
def test_shapes_stay_and_gradients_reach_every_image(kind, shape):
    images = random_images(6, shape[0], width=shape[1], channels=shape[2])
    output = augmented(images, KINDS[kind])
    assert output.shape == images.shape and np.isfinite(output).all()
    slopes = gradient_of(images, lambda x: augmented(x, KINDS[kind]))
    assert (np.abs(slopes).sum(axis=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize("kind", COLOURS)
def test_colours_of_opaque_rgba_change_as_those_of_rgb(kind):
    images = random_images()
    opaque = tf.concat([images, tf.ones_like(images[..., :1])], axis=3)
    output = augmented(opaque, COLOURS[kind])
    np.testing.assert_allclose(output[..., :3], augmented(images, COLOURS[kind]), atol=2e-5)
    np.testing.assert_array_equal(output[..., 3], 1)


@pytest.mark.parametrize("kind", VISIBLE)
def test_colours_change_where_they_are_visible_and_transparency_stays(kind):
    images = from_uint8(sprites())
    output = augmented(images, VISIBLE[kind]).numpy()
    np.testing.assert_allclose(output[..., 3], images[..., 3], atol=1e-6)
    np.testing.assert_allclose(output[:, :4], -1, atol=1e-5)  # transparent, with no colour
    assert np.abs(output - images).mean(axis=(1, 2, 3)).max() > 0.005


@pytest.mark.parametrize("kind", COLOURS)
def test_grey_changes_as_colours_without_saturation(kind):
    grey = random_images(channels=1)
    output = augmented(grey, COLOURS[kind]).numpy()
    rgb = augmented(tf.repeat(grey, 3, axis=3), COLOURS[kind]).numpy()
    np.testing.assert_allclose(output[..., 0], rgb.mean(axis=3), atol=1e-5)


def test_empty_areas_of_rgba_are_transparent():
    images = tf.ones([4, 16, 16, 4])
    output = augmented(images, Augmentation("diffaugment", ("cutout",))).numpy()
    np.testing.assert_array_equal(np.unique(output), [-1, 1])
    assert (output.min(axis=3) == output.max(axis=3)).all()  # all channels together


def test_without_squares_there_are_no_quarter_turns():
    """A vertical ramp stays vertical in all images."""
    ramp = tf.tile(tf.linspace(-1.0, 1.0, 16)[None, :, None, None], (32, 1, 24, 3))
    output = augment(ramp, draws_for(32), "reals", Augmentation("ada", ("blit",)), tf.constant(1.0)).numpy()
    assert "rotate90" in POLICIES["blit"] and np.abs(np.diff(output, axis=2)).max() < 1e-4
