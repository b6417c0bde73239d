import numpy as np
import pytest

from gan_tf.metrics import lpips_diversity
from gan_tf.metrics.lpips_diversity import lpips_diversity as diversity

from .stubs import Lpips


def difference(a, b):
    assert a.dtype == b.dtype == np.float32 and a.shape == b.shape
    return np.abs(a - b).mean((1, 2, 3))


def grey(values):
    """uint8 images of one grey each."""
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), 4, 4, 3))


def test_mean_over_disjoint_pairs():
    mean, error, pairs = diversity([grey([0, 255, 10, 10, 0, 51])], difference)
    lengths = np.array([2, 0, 0.4])
    assert mean == pytest.approx(lengths.mean(), rel=1e-6)
    assert error == pytest.approx(lengths.std(ddof=1) / np.sqrt(3), rel=1e-6)
    assert pairs == 3
    assert diversity([grey([0, 255])], difference) == (2, 0, 1)


def test_a_collapsed_generator_has_diversity_0():
    assert diversity([grey([7] * 40)], difference) == (0, 0, 20)


@pytest.mark.parametrize("cuts", [[1], [5, 6, 7], [16, 32], range(1, 41)])
def test_chunks_change_nothing_and_an_odd_last_image_is_not_used(cuts):
    images = grey(np.random.default_rng(0).integers(0, 256, 41))
    expected = diversity([images[:40]], difference)
    assert diversity(np.split(images, list(cuts)), difference, batch_size=8) == pytest.approx(expected, rel=1e-6)


def test_fewer_than_two_images_are_an_error():
    for chunks in ([], [grey([3])]):
        with pytest.raises(ValueError, match="at least 2"):
            diversity(chunks, difference)


def test_reals_are_measured_in_random_order_for_comparison():
    real = grey([0] * 50 + [255] * 50)  # in order, all pairs would be equal
    result = lpips_diversity.measure(lpips_diversity.prepare(real, 100, 0, Lpips()), [grey([7] * 40)])
    assert result.value == 0 and 1 < result.parts["reals"] < 3
    assert result.protocol == {"pairs": 20, "network": "squares"}
