"""Copy check: changed copies are detected, new images are not, and the panel shows the closest pairs."""

import numpy as np
import pytest
from PIL import Image

from gan_tf.metrics import memorisation
from gan_tf.metrics.memorisation import CopyCheck, Pair, draw_panel
from gan_tf.metrics.neighbour_index import NeighbourIndex, pixel_index

from .stubs import blobs, noise


def rounded(values):
    return np.rint(values).clip(0, 255).astype(np.uint8)


def check(real, *fakes, mirror=False):
    """Returns (share of copies, parts, pairs) of the fakes."""
    copy_check = CopyCheck([pixel_index(real, mirror)], sum(map(len, fakes)))
    for images in fakes:
        copy_check.add(images)
    return *copy_check.result()[:2], copy_check.pairs


def share(*images, **options):
    return check(*images, **options)[0]


def noisy(images):
    return rounded(images + np.random.default_rng(1).normal(0, 20, images.shape))


def shifted(images):
    return np.roll(images, (1, 1), (1, 2))


def zoomed(images):
    side, box = images.shape[1], np.array([0.03, 0.03, 0.97, 0.97]) * images.shape[1]
    return np.stack([Image.fromarray(i).resize((side, side), Image.Resampling.BICUBIC, tuple(box)) for i in images])


CHANGES = {
    "unchanged": lambda images: images,
    "noise": noisy,
    "brighter": lambda images: rounded(images + 12.0),
    "paler": lambda images: rounded((images - 128.0) * 0.7 + 128),
    "tinted": lambda images: rounded(images * [1.08, 1.0, 0.92]),
    "shifted by a pixel": shifted,
    "shifted by four pixels": lambda images: np.roll(images, (4, -2), (1, 2)),
    "zoomed": zoomed,
    "coarser": lambda images: images[:, ::2, ::2].repeat(2, 1).repeat(2, 2),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_copies_are_detected(name):
    real = blobs(100)
    assert share(real, CHANGES[name](real)) == 1


@pytest.mark.parametrize("count", [100, 400])
def test_new_images_of_the_same_kind_are_not_copies(count):
    images = blobs(2 * count)
    copied, parts, _ = check(images[:count], images[count:])
    assert copied <= 0.01 and parts["share_among_reals"] <= 0.01
    assert 0.8 < parts["median_ratio"] < 1.2


def test_mirrored_copies_are_copies_if_the_set_is_mirrored():
    real = blobs(60)
    mirrored = real[:, :, ::-1]
    copied, _, pairs = check(real, mirrored, mirror=True)
    assert copied == 1 and all(pair.mirrored for pair in pairs)
    assert len({pair.index for pair in pairs}) == len(pairs)
    assert share(real, mirrored) < 0.1
    assert share(real, real, mirror=True) == 1


def test_symmetric_training_images_are_not_their_own_neighbours():
    half = blobs(40)[:, :, :32]
    real = np.concatenate([half, half[:, :, ::-1]], axis=2)
    rows, distances = np.arange(40), np.ones(40)
    plain, mirrored = (pixel_index(real, mirror).ratios(rows, distances) for mirror in (False, True))
    np.testing.assert_allclose(mirrored, plain, rtol=1e-4)
    assert share(real, blobs(80)[40:], mirror=True) == 0


def test_copies_of_duplicated_training_images_are_detected():
    real = blobs(50)
    twice = np.concatenate([real, rounded(real + 2.0)])  # every image has a near duplicate
    copied, parts, _ = check(twice, shifted(noisy(real)))
    assert copied == 1 and parts["share_among_reals"] == 1  # the training images are copies of each other
    assert share(twice, blobs(100)[50:]) == 0
    duplicates = np.repeat(real[:1], 6, axis=0)
    assert share(np.concatenate([real, duplicates]), noisy(real)) == 1
    assert share(duplicates, real[:1]) == 1
    assert share(duplicates, real[1:]) == 0


def test_new_images_near_an_outlier_are_not_copies():
    random = np.random.default_rng(0)
    cloud = random.normal(size=(200, 64)).astype(np.float32)
    outlier = np.full((1, 64), 20, np.float32)
    index = NeighbourIndex(np.concatenate([cloud, outlier]), 201, "test")
    step = random.normal(size=(50, 64))
    step *= (1 / index.ratios(np.arange(200), np.ones(200))).mean() / np.linalg.norm(step, axis=1, keepdims=True)
    rows, distances = index.nearest(np.concatenate([outlier, outlier + step]).astype(np.float32))
    assert set(rows) == {200}
    copied = index.ratios(rows, distances) < memorisation.THRESHOLD
    assert copied[0] and not copied[1:].any()


def test_two_training_images_have_no_expected_share():
    real = blobs(2)
    copied, parts, _ = check(real, real, blobs(20, seed=1))
    assert "share_among_reals" not in parts and copied == pytest.approx(2 / 22)


def test_chunks_do_not_change_the_result_and_further_images_are_ignored(monkeypatch):
    real, fakes = blobs(90), np.concatenate([blobs(40, seed=1), noisy(blobs(90)[:7])])
    index = pixel_index(real, mirror=True)
    whole, parts = CopyCheck([index], len(fakes)), CopyCheck([index], len(fakes))
    whole.add(fakes)
    expected = whole.result()
    monkeypatch.setattr(memorisation, "PENDING_BYTES", 20_000)
    for chunk in (fakes[:1], fakes[1:30], fakes[30:], blobs(5, seed=3)):
        parts.add(chunk)
    assert parts.result() == expected
    assert [pair[1:] for pair in parts.pairs] == [pair[1:] for pair in whole.pairs]


def test_the_sixteen_closest_pairs_are_kept_in_order():
    real = blobs(40)
    _, _, pairs = check(real, blobs(30, seed=1), real[:5], blobs(30, seed=2))
    assert len(pairs) == 16 and [pair.ratio for pair in pairs] == sorted(pair.ratio for pair in pairs)
    assert {pair.index for pair in pairs[:5]} == set(range(5)) and pairs[4].distance == 0
    for pair in pairs[:5]:
        np.testing.assert_array_equal(pair.image, real[pair.index])


def test_a_copy_in_one_space_is_a_copy():
    real, new = blobs(30), blobs(30, seed=1)
    features, others = np.random.default_rng(0).normal(size=(2, 30, 12)).astype(np.float32)
    check = CopyCheck([pixel_index(real), NeighbourIndex(features, 30, "features")], 23)
    check.add(real[:3], others[:3])  # copies in pixels only
    check.add(new[:5], features[10:15])  # in features only
    check.add(new[5:20], others[5:20])  # in neither
    copies = check.result()
    assert copies.value == pytest.approx(8 / 23) and copies.protocol["space"] == "pixels+features"
    assert {pair.index for pair in check.pairs[:8]} == {0, 1, 2, 10, 11, 12, 13, 14}
    assert 0 <= copies.parts["share_among_reals"] < 0.2


def test_lpips_compares_the_images_of_the_panel():
    real = blobs(30)
    _, _, pairs = check(real, real[:3, :, ::-1], blobs(5, seed=1), mirror=True)

    def lpips(a, b):
        assert a.dtype == b.dtype == np.float32 and a.shape == (8, 64, 64, 3) and -1 <= a.min() < a.max() <= 1
        return np.abs(a - b).mean((1, 2, 3))

    distances = memorisation.lpips_of_pairs(pairs, real, lpips)
    assert not distances[:3].any() and distances[3:].min() > 0.01


# Panel


def test_the_panel_shows_generated_images_above_their_training_images():
    fakes, reals = noise(3), 255 - noise(3)
    panel = draw_panel([Pair(fakes[0], 2, False, 1.0, 0.1), Pair(fakes[1], 0, True, 2.0, 0.9)], reals)
    assert panel.shape == (2 * 32 + 3 + memorisation.MIN_CAPTION, 2 * 34, 3) and panel.dtype == np.uint8
    first, second = panel[:, :34], panel[:, 34:]
    np.testing.assert_array_equal(first[1:33, 1:33], fakes[0])
    np.testing.assert_array_equal(first[34:66, 1:33], reals[2])
    np.testing.assert_array_equal(second[34:66, 1:33], reals[0, :, ::-1])
    assert (first[:66, 0] == memorisation.COPY).all() and (second[:66, 0] == memorisation.NEW).all()
    assert (first[67:] != memorisation.COPY).any() and (second[67:] != memorisation.NEW).any()  # the ratios


def test_sixteen_pairs_have_two_rows_and_large_images_are_reduced():
    pairs = [Pair(image, 0, False, 1.0, 1.0) for image in noise(16, 512)]
    height, width, _ = draw_panel(pairs, noise(1, 512)).shape
    assert (height, width) == (2 * (2 * 256 + 3 * 8 + 32), 8 * (256 + 16))
