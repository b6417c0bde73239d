import numpy as np
import pytest

from gan_tf.metrics.choice import choice


@pytest.mark.parametrize("count", [2, 3, 10, 100])
def test_neighbours_differ_and_every_pass_holds_every_image_once(count):
    for seed in range(20):
        order = choice(count, 5 * count, seed)
        assert (order[1:] != order[:-1]).all()
        np.testing.assert_array_equal(np.sort(order.reshape(5, count)), np.tile(np.arange(count), (5, 1)))


def test_part_of_a_larger_set_is_random_and_fixed_by_the_seed():
    order = choice(1000, 100, 3)
    assert len(set(order)) == 100 and order.max() > 900 and order.min() < 100
    np.testing.assert_array_equal(order, choice(1000, 100, 3))
    assert (order != choice(1000, 100, 4)).any()


def test_one_image_is_repeated_and_none_refused():
    np.testing.assert_array_equal(choice(1, 3, 0), [0, 0, 0])
    with pytest.raises(ValueError, match="0 images"):
        choice(0, 3, 0)
