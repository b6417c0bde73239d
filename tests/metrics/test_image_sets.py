import numpy as np
import pytest

from gan_tf.metrics.image_sets import RealImages, measurable, random_order


@pytest.mark.parametrize("count", [2, 3, 10, 100])
def test_neighbours_differ_and_every_pass_contains_every_image_once(count):
    for seed in range(20):
        order = random_order(count, 5 * count, seed)
        assert (order[1:] != order[:-1]).all()
        np.testing.assert_array_equal(np.sort(order.reshape(5, count)), np.tile(np.arange(count), (5, 1)))


def test_subset_of_a_larger_set_is_random_and_fixed_by_the_seed():
    order = random_order(1000, 100, 3)
    assert len(set(order)) == 100 and order.max() > 900 and order.min() < 100
    np.testing.assert_array_equal(order, random_order(1000, 100, 3))
    assert (order != random_order(1000, 100, 4)).any()
    np.testing.assert_array_equal(random_order(1, 3), [0, 0, 0])


def test_protocol_and_small_images():
    images = np.zeros((5, 8, 8, 3), np.uint8)
    reals = RealImages(measurable(images), "0123456789abcdef0123", "panda", size=(8, 8))
    assert reals.images.shape == (5, 16, 16, 3)
    assert reals.protocol == {"reals": 5, "reals_key": "0123456789abcdef", "reals_source": "panda", "resolution": 8}
