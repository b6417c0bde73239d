"""Images in the form in which networks are trained on them."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.ops.pixels import generated, premultiplied


def test_colours_are_multiplied_by_alpha():
    images = tf.constant([[1.0, -1.0, 0.0, 1.0], [1.0, -1.0, 0.0, 0.0], [1.0, -1.0, 0.0, -1.0]])
    want = [[1.0, -1.0, 0.0, 1.0], [0.0, -1.0, -0.5, 0.0], [-1.0, -1.0, -1.0, -1.0]]
    np.testing.assert_allclose(premultiplied(images), want, atol=1e-7)
    for channels in (1, 3):
        assert premultiplied(images[:, :channels]).shape == (3, channels)


def test_generated_rgba_is_clipped_and_other_images_are_not():
    outside = tf.constant([[3.0, -3.0, 0.5, 2.0]])
    np.testing.assert_allclose(generated(outside), [[1.0, -1.0, 0.5, 1.0]])
    np.testing.assert_array_equal(generated(outside[:, :3]), outside[:, :3])


@pytest.mark.parametrize(("sign", "passed"), [(1.0, [0.0, 1.0, 1.0]), (-1.0, [-1.0, -1.0, 0.0])])
def test_the_gradient_of_clipping_leads_back_into_the_range(sign, passed):
    """The colours are black, so that the loss depends on alpha alone: below the range, in it, above it."""
    images = tf.constant([[-1.0, -1.0, -1.0, alpha] for alpha in (-2.0, 0.5, 2.0)])
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = sign * tf.reduce_sum(generated(images)[:, 3])
    np.testing.assert_array_equal(tape.gradient(loss, images)[:, 3], passed)
