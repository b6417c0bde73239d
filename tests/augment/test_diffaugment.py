"""DiffAugment: known answers, draws and invariances."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.augment import diffaugment as da
from gan_tf.augment.choice import flips
from gan_tf.config.validation import POLICIES
from tests.augment.helpers import check_penalty, draws_for, gradient_of, gradient_on_two_replicas, random_images

ALL = tuple(da.POLICIES)


def column(values):
    return tf.constant(values, tf.float32, shape=(len(values), 1, 1, 1))


def test_the_middle_draw_changes_no_colour():
    images = random_images()
    for change in (da.brightness, da.saturation, da.contrast):
        np.testing.assert_allclose(change(images, column([0.5] * 6)), images, atol=1e-6)


def test_brightness_is_added():
    np.testing.assert_allclose(da.brightness(tf.zeros([2, 4, 4, 3]), column([0.0, 0.75]))[:, 0, 0, 0], [-0.5, 0.25])


def test_no_saturation_is_grey_and_no_contrast_draw_halves_the_distance_from_the_mean():
    images = random_images()
    grey = da.saturation(images, column([0.0] * 6)).numpy()
    np.testing.assert_allclose(grey, np.repeat(images.numpy().mean(3, keepdims=True), 3, 3), atol=1e-6)
    flat = da.contrast(images, column([0.0] * 6)).numpy()
    np.testing.assert_allclose(flat.mean((1, 2, 3)), images.numpy().mean((1, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(flat.std((1, 2, 3)), images.numpy().std((1, 2, 3)) / 2, rtol=1e-5)


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_mirrors(policy):
    ramp = tf.tile(tf.linspace(-1.0, 1.0, 16)[None, None, :, None], (64, 16, 1, 3))
    rises = np.diff(da.diffaugment(ramp, draws_for(64), (policy,)), axis=2)
    assert (np.median(rises, axis=(1, 2, 3)) > -1e-6).all() and not flips("diffaugment", policy)


@pytest.mark.parametrize("rows, columns", [(0, 0), (3, 0), (0, -2), (-1, 4), (16, 0)])
def test_translation_moves_and_pads_with_zeros(rows, columns):
    image = random_images(1)
    padded = np.pad(image[0], [(16, 16), (16, 16), (0, 0)])
    want = padded[16 + rows : 32 + rows, 16 + columns : 32 + columns]
    got = da.translate(image, tf.constant([rows]), tf.constant([columns]))
    np.testing.assert_array_equal(got[0], want)


@pytest.mark.parametrize("top, left, holes", [(8, 8, 64), (0, 8, 32), (0, 16, 16), (16, 16, 16)])
def test_cutout_box_is_cut_off_at_the_border(top, left, holes):
    cut = da.cutout(tf.ones([1, 16, 16, 3]), tf.constant([top]), tf.constant([left])).numpy()
    assert (cut[0, :, :, 0] == 0).sum() == holes
    assert cut[0, min(top, 15), min(left, 15), 0] == 0


def test_policies_draw_over_their_whole_range():
    count = 4096
    spot = np.zeros((count, 16, 16, 1), np.float32)
    spot[:, 8, 8] = 1
    _, rows, columns, _ = np.nonzero(da.diffaugment(tf.constant(spot), draws_for(count), ("translation",)).numpy())
    assert set(rows) == set(columns) == set(range(6, 11))  # 16 * 0.125 = 2 pixels in each direction
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.1
    holes = da.diffaugment(tf.ones([count, 16, 16, 1]), draws_for(count), ("cutout",)).numpy() == 0
    assert holes[:, 0].any(axis=(1, 2)).mean() == pytest.approx(5 / 17, abs=0.03)  # centres 0..4 of 0..16 reach row 0


def test_a_gradient_penalty_through_the_augmentation_differentiates():
    check_penalty(random_images(2), lambda x: da.diffaugment(x, draws_for(2), ALL), step=0.02, rtol=5e-3)


def test_probability_leaves_whole_images_unchanged():
    images = random_images(400)
    augmented = da.diffaugment(images, draws_for(400), ALL, probability=0.3).numpy()
    untouched = (augmented == images.numpy()).all(axis=(1, 2, 3))
    assert untouched.mean() == pytest.approx(0.7, abs=0.08)
    np.testing.assert_array_equal(da.diffaugment(images, draws_for(400), ALL, probability=0.0), images)


def test_each_image_keeps_its_draws_in_any_part_of_the_batch():
    images = random_images()
    whole = da.diffaugment(images, draws_for(), ALL, 0.8)
    part = da.diffaugment(images[1::2], draws_for().shard(1, 2), ALL, 0.8)
    np.testing.assert_array_equal(part, whole[1::2])


def test_draws_change_with_images_seen_and_the_name_of_the_batch():
    images = random_images()
    all_draws = (draws_for(), draws_for(images_seen=6), draws_for().fold_in("fakes"), draws_for().fold_in("small"))
    outputs = [da.diffaugment(images, draws, ALL).numpy() for draws in all_draws]
    for i, one in enumerate(outputs):
        assert all(np.abs(one - other).max() > 0.1 for other in outputs[:i])


def test_same_with_and_without_xla():
    def augment(images):
        return da.diffaugment(images, draws_for(), ALL, 0.7)

    images = random_images()
    np.testing.assert_allclose(tf.function(augment, jit_compile=True)(images), augment(images), atol=1e-6)


def test_two_replicas_augment_and_pass_gradients_as_one(two_cpus):
    images = random_images()
    got = gradient_on_two_replicas(two_cpus, images, lambda x, draws: da.diffaugment(x, draws, ALL) ** 2)
    want = gradient_of(images, lambda x: da.diffaugment(x, draws_for(), ALL) ** 2)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_the_settings_offer_all_policies():
    assert tuple(da.POLICIES) == POLICIES
