import numpy as np
import pytest

from gan_tf.metrics.lpips_diversity import lpips_diversity, shuffled


def difference(a, b):
    assert a.dtype == b.dtype == np.float32 and a.shape == b.shape
    return np.abs(a - b).mean((1, 2, 3))


def flat(values):
    """uint8 images of one grey each."""
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), 4, 4, 3))


def test_it_is_the_mean_over_disjoint_pairs():
    found = lpips_diversity([flat([0, 255, 10, 10, 0, 51])], difference)
    lengths = np.array([2, 0, 0.4])
    assert found.mean == pytest.approx(lengths.mean(), rel=1e-6)
    assert found.standard_error == pytest.approx(lengths.std(ddof=1) / np.sqrt(3), rel=1e-6)
    assert found.pairs == 3


def test_a_collapsed_generator_has_none():
    assert lpips_diversity([flat([7] * 40)], difference) == (0, 0, 20)


@pytest.mark.parametrize("cuts", [[1], [5, 6, 7], [16, 32], range(1, 41)])
def test_chunks_do_not_change_it_and_an_odd_image_is_left_out(cuts):
    images = flat(np.random.default_rng(0).integers(0, 256, 41))
    sizes = []

    def watched(a, b):
        sizes.append(len(a))
        return difference(a, b)

    found = lpips_diversity(np.split(images, list(cuts)), watched, batch_size=8)
    assert found == pytest.approx(lpips_diversity([images[:40]], difference), rel=1e-6)
    assert sizes == [8, 8, 4]


def test_one_image_has_no_diversity():
    for chunks in ([], [flat([3])]):
        with pytest.raises(ValueError, match="at least 2"):
            lpips_diversity(chunks, difference)
    assert lpips_diversity([flat([0, 255])], difference) == (2, 0, 1)


def test_shuffled_gives_each_image_once_by_seed():
    images = flat(np.arange(150))

    def order(count, seed):
        return np.concatenate([chunk[:, 0, 0, 0] for chunk in shuffled(images, count, seed)]).tolist()

    assert sorted(order(150, 0)) == sorted(order(999, 1)) == list(range(150))
    assert order(150, 0) == order(150, 0) != order(150, 1)
    assert order(70, 0) == order(150, 0)[:70]
