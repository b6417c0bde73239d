import numpy as np
import pytest
from PIL import Image

from gan_tf.errors import UsageError
from gan_tf.metrics import gallery, memorisation
from gan_tf.metrics.gallery import Gallery
from gan_tf.metrics.memorisation import CopyCheck
from gan_tf.metrics.pixel_space import aligned_distance, pixel_vectors


def blobs(count, side=64, seed=0):
    """uint8 images of six soft coloured spots each, on a grey ground: many degrees of freedom, as photographs have."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    images = np.full((count, side, side, 3), 128.0)
    for _ in range(6):
        centre, width = random.uniform(0, 1, (2, count, 1, 1)), random.uniform(0.05, 0.2, (count, 1, 1))
        spot = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * width**2))
        images += spot[..., None] * random.uniform(-120, 120, (count, 1, 1, 3))
    return images.clip(0, 255).astype(np.uint8)


def rounded(values):
    return np.rint(values).clip(0, 255).astype(np.uint8)


def share(real, fake, **settings):
    return memorisation.measure(memorisation.prepare(real, **settings), [fake]).share


def noisy(images):
    return rounded(images + np.random.default_rng(1).normal(0, 20, images.shape))


def moved(images):
    return np.roll(images, (1, 1), (1, 2))


def zoomed(images, factor):
    side = images.shape[1]
    margin = side * (1 - factor) / 2
    box = (margin, margin, side - margin, side - margin)
    return np.stack([Image.fromarray(i).resize((side, side), Image.Resampling.BICUBIC, box) for i in images])


NEAR_COPIES = {
    "the same": lambda images: images,
    "noise": noisy,
    "brighter": lambda images: rounded(images + 12.0),
    "paler": lambda images: rounded((images - 128.0) * 0.7 + 128),
    "tinted": lambda images: rounded(images * [1.08, 1.0, 0.92]),
    "moved by a pixel": moved,
    "moved by four pixels": lambda images: np.roll(images, (4, -2), (1, 2)),
    "zoomed": lambda images: zoomed(images, 0.94),
    "coarser": lambda images: images[:, ::2, ::2].repeat(2, 1).repeat(2, 2),
}


@pytest.mark.parametrize("name", NEAR_COPIES)
def test_a_copying_generator_is_flagged_whatever_it_does_to_the_copies(name):
    real = blobs(100)
    assert share(real, NEAR_COPIES[name](real)) == 1


@pytest.mark.parametrize("count", [100, 400])
def test_new_images_of_the_same_kind_are_not_accused(count):
    images = blobs(2 * count)
    found = memorisation.measure(memorisation.prepare(images[:count]), [images[count:]])
    assert found.share <= 0.01 and found.expected <= 0.01
    assert 0.8 < found.median_ratio < 1.2


def test_mirrored_copies_are_copies_where_the_set_is_mirrored():
    real = blobs(60)
    mirrored = real[:, :, ::-1]
    found = memorisation.measure(memorisation.prepare(real, mirror=True), [mirrored])
    assert found.share == 1 and all(pair.mirrored for pair in found.pairs)
    assert sorted(pair.index for pair in found.pairs) == sorted(set(pair.index for pair in found.pairs))
    assert share(real, mirrored) < 0.1
    assert share(real, real, mirror=True) == 1


def test_symmetric_training_images_are_not_their_own_neighbours():
    half = blobs(40)[:, :, :32]
    real = np.concatenate([half, half[:, :, ::-1]], axis=2)
    plain, mirrored = (memorisation.prepare(real, mirror=mirror) for mirror in (False, True))
    np.testing.assert_allclose(mirrored.divisors(np.arange(40)), plain.divisors(np.arange(40)), rtol=1e-4)
    assert share(real, blobs(80)[40:], mirror=True) == 0


def test_copies_cannot_hide_behind_duplicates_among_the_training_images():
    real = blobs(50)
    fakes = moved(noisy(real))
    twice = np.concatenate([real, rounded(real + 2.0)])  # every picture has a near twin
    found = memorisation.measure(memorisation.prepare(twice), [fakes])
    assert found.share == 1
    assert found.expected == 1  # and it is said that the training images are copies of each other themselves
    assert memorisation.measure(memorisation.prepare(twice), [blobs(100)[50:]]).share == 0


def test_five_times_the_same_picture_does_not_stop_the_check():
    real = blobs(20)
    crowd = np.concatenate([real, np.repeat(real[:1], 6, axis=0)])
    assert share(crowd, noisy(real)) == 1
    assert share(np.repeat(real[:1], 6, axis=0), real[:1]) == 1
    assert share(np.repeat(real[:1], 6, axis=0), real[1:]) == 0


def test_beside_an_outlier_an_ordinary_distance_is_no_copy():
    random = np.random.default_rng(0)
    cloud = random.normal(size=(200, 64)).astype(np.float32)
    outlier = np.full((1, 64), 20, np.float32)
    known = Gallery(np.concatenate([cloud, outlier]), 201, "test")
    check = CopyCheck(known)
    step = random.normal(size=(50, 64))
    step *= known.divisors(np.arange(200)).mean() / np.linalg.norm(step, axis=1, keepdims=True)
    check.add(np.zeros((51, 8, 8, 3), np.uint8), np.concatenate([outlier, outlier + step]).astype(np.float32))
    found = check.result()
    assert found.share == pytest.approx(1 / 51)  # the copy of the outlier alone
    assert {pair.index for pair in found.pairs} == {200}


def test_two_images_are_a_set_and_one_is_none():
    real = blobs(2)
    found = memorisation.measure(memorisation.prepare(real), [real, blobs(20, seed=1)])
    assert found.expected is None
    assert found.share == pytest.approx(2 / 22)
    with pytest.raises(UsageError, match="at least 2 training images, got 1"):
        memorisation.prepare(real[:1])


def test_ratio_is_the_distance_over_the_neighbours_distance():
    vectors = np.array([[0], [4], [10], [18], [28]], np.float32)
    known = Gallery(vectors, 5, "test")
    check = CopyCheck(known)
    check.add(np.zeros((3, 8, 8, 3), np.uint8), np.array([[1], [12], [17]], np.float32))
    ratio = {pair.index: (pair.distance, pair.ratio) for pair in check.result().pairs}
    assert ratio == {0: (1, 1 / 4), 2: (2, 2 / 6), 3: (1, 1 / 8)}
    # Each training image in its turn: 4/6, 4/10, 6/4, 8/6 and 10/8 of what its neighbour is from a third.
    assert sorted(known.sample_ratios) == [4 / 10, 4 / 6, 10 / 8, 8 / 6, 6 / 4]


def test_blocks_and_chunks_do_not_change_the_outcome(monkeypatch, tmp_path):
    real, fakes = blobs(90), np.concatenate([blobs(40, seed=1), noisy(blobs(90)[:7])])
    whole = memorisation.measure(memorisation.prepare(real, mirror=True), [fakes])
    monkeypatch.setattr(gallery, "BLOCK", 7)
    monkeypatch.setattr(gallery, "QUERIES", 5)
    monkeypatch.setattr(memorisation, "QUERIES", 5)
    mapped = np.memmap(tmp_path / "images", np.uint8, "w+", shape=real.shape)
    mapped[:] = real
    parts = memorisation.measure(memorisation.prepare(mapped, mirror=True), [fakes[:1], fakes[1:30], fakes[30:]])
    assert (parts.share, parts.expected, parts.count) == (whole.share, whole.expected, whole.count)
    assert [pair[1:3] for pair in parts.pairs] == [pair[1:3] for pair in whole.pairs]
    np.testing.assert_allclose([p.ratio for p in parts.pairs], [p.ratio for p in whole.pairs], rtol=1e-6)


def test_the_sixteen_closest_are_kept_in_order():
    real = blobs(40)
    check = CopyCheck(memorisation.prepare(real))
    for images in (blobs(30, seed=1), real[:5], blobs(30, seed=2)):
        check.add(images, pixel_vectors(images))
    pairs = check.result().pairs
    assert len(pairs) == 16 and [pair.ratio for pair in pairs] == sorted(pair.ratio for pair in pairs)
    assert {pair.index for pair in pairs[:5]} == set(range(5)) and pairs[4].distance == 0
    for pair in pairs[:5]:
        np.testing.assert_array_equal(pair.image, real[pair.index])


def test_a_copy_in_one_space_is_a_copy():
    real = blobs(30)
    random = np.random.default_rng(0)
    features, others = random.normal(size=(2, 30, 12)).astype(np.float32)
    check = CopyCheck(memorisation.prepare(real), Gallery(features, 30, "features"))
    new = blobs(30, seed=1)
    check.add(real[:3], pixel_vectors(real[:3]), others[:3])  # alike in pixels alone
    check.add(new[:5], pixel_vectors(new[:5]), features[10:15])  # in features alone
    check.add(new[5:20], pixel_vectors(new[5:20]), others[5:20])  # in neither
    found = check.result()
    assert found.share == pytest.approx(8 / 23) and found.protocol["space"] == "pixels+features"
    assert {pair.index for pair in found.pairs[:8]} == {0, 1, 2, 10, 11, 12, 13, 14}
    assert 0 <= found.expected < 0.2


def test_galleries_of_other_images_do_not_go_together():
    for other in (memorisation.prepare(blobs(11)), memorisation.prepare(blobs(10), seed=1)):
        with pytest.raises(ValueError, match="same images and seed"):
            CopyCheck(memorisation.prepare(blobs(10)), other)
    with pytest.raises(ValueError, match="at least one"):
        CopyCheck()


def test_lpips_is_measured_between_what_the_panel_shows():
    real = blobs(30)
    found = memorisation.measure(memorisation.prepare(real, mirror=True), [real[:3, :, ::-1], blobs(5, seed=1)])
    seen = []

    def lpips(a, b):
        seen.append((a, b))
        return np.abs(np.asarray(a) - b).mean((1, 2, 3))

    pairs = memorisation.with_lpips(found.pairs, real, lpips)
    a, b = seen[0]
    assert a.dtype == b.dtype == np.float32 and a.shape == (8, 64, 64, 3) and -1 <= a.min() < a.max() <= 1
    assert [pair.lpips for pair in pairs[:3]] == [0, 0, 0] and min(pair.lpips for pair in pairs[3:]) > 0.01
    assert [pair._replace(lpips=None)[1:] for pair in pairs] == [pair[1:] for pair in found.pairs]


def test_callers_mistakes_are_named():
    real = blobs(10)
    check = CopyCheck(memorisation.prepare(real))
    vectors = pixel_vectors(real)
    with pytest.raises(ValueError, match=r"10 images need vectors \[10, 768\], got \[9, 768\]"):
        check.add(real, vectors[:9])
    with pytest.raises(ValueError, match="finite"):
        check.add(real, vectors * np.nan)
    with pytest.raises(ValueError, match="no image"):
        check.result()
    with pytest.raises(ValueError, match=r"\[7, F\] or \[14, F\]"):
        Gallery(vectors, 7, "test")


@pytest.mark.parametrize("mirror", [False, True])
def test_the_nearest_images_are_those_of_all_pairs(mirror):
    images = blobs(40)
    reals, fakes = images[:30], moved(images[30:])
    gallery = memorisation.prepare(reals, mirror)
    queries = pixel_vectors(fakes)
    rows, distances = gallery.nearest_images(queries, 30)
    for query, row, distance in zip(queries, rows, distances, strict=True):
        every = aligned_distance(np.broadcast_to(query, gallery.vectors.shape), gallery.vectors)
        wanted = every.reshape(-1, 30).min(axis=0)
        assert sorted(row % 30) == list(range(30))
        np.testing.assert_allclose(distance, np.sort(wanted), rtol=1e-6)
        np.testing.assert_allclose(every[row], distance, rtol=1e-6)


def test_few_of_many_nearest_images_are_the_first_of_all():
    images = blobs(300)
    gallery = memorisation.prepare(images[:260], mirror=True)
    queries = pixel_vectors(images[260:])
    few, all_of_them = gallery.nearest_images(queries, 3)[0], gallery.nearest_images(queries, 260)[0]
    assert np.mean(few == all_of_them[:, :3]) > 0.95  # which are nearest in a straight line is a first guess
    with pytest.raises(ValueError, match="261 of 260"):
        gallery.nearest_images(queries, 261)
