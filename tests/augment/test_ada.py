"""Adaptive augmentation: draws, transforms, invariances and the control of its probability."""

import math

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.augment import ada_maps
from gan_tf.augment.ada import ADA_KIMG, GROUPS, INTERVAL, POLICIES, TRANSFORMS, ada, adapted, apply, draw, parameters
from gan_tf.augment.choice import Augmentation, augment, flips, mirror_text
from gan_tf.augment.diffaugment import diffaugment
from gan_tf.config.settings import TrainConfig
from gan_tf.config.validation import ADA_POLICIES
from tests.augment.helpers import SIDE, check_penalty, draws_for, gradient_of, gradient_on_two_replicas, random_images
from tests.parity.report import relative_l2

ALL = "bgcfnc"


def test_there_are_18_transforms_of_which_12_are_the_default():
    # Rotation is applied before and after the anisotropic scaling, but counts once.
    assert len(TRANSFORMS) == 19 and len(POLICIES["bgc"]) == 13
    assert POLICIES[ALL] == tuple(TRANSFORMS)
    assert tuple(POLICIES) == ADA_POLICIES


@pytest.mark.parametrize("policy", POLICIES)
def test_the_policies_that_flip_are_those_whose_maps_mirror(policy):
    values = parameters(draw(draws_for(64), POLICIES[policy]), 1.0)
    geometric = {name: value for name, value in values.items() if name in ada_maps.GEOMETRIC}
    maps = ada_maps.geometric_map(geometric, (SIDE, SIDE)).numpy() if geometric else np.eye(3)[None]
    assert flips("ada", policy) == (np.linalg.det(maps) < 0).any()


def test_the_start_states_whether_images_are_shown_mirrored():
    def text(continued=False, **settings):
        return mirror_text(TrainConfig(**settings), continued)

    assert text().endswith("; give --no-mirror for text, or where left and right differ")
    assert text(continued=True) == "images are also shown mirrored"  # a run keeps this setting
    for settings in ({}, {"augment": "ada", "augment_policy": "geom"}, {"augment": "none"}):
        assert text(mirror=False, **settings) == "images are not shown mirrored"
    line = text(mirror=False, augment="ada")
    assert "--augment-policy bgc of ada flips" in line and "geom, color, filter, noise, cutout" in line
    assert "geom" not in text(continued=True, mirror=False, augment="ada")


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_p_is_the_share_of_the_images_that_a_transform_changes(p):
    count = 20_000
    values = parameters(draw(draws_for(count), TRANSFORMS), p)
    changed = {name: np.not_equal(values[name], TRANSFORMS[name].neutral) for name in TRANSFORMS}
    changed = {name: rows.any(axis=1) if rows.ndim > 1 else rows for name, rows in changed.items()}
    rotated = changed.pop("rotate_pre") | changed.pop("rotate_post")
    assert rotated.mean() == pytest.approx(p, abs=0.015)
    visible = {"xflip": 1 / 2, "lumaflip": 1 / 2, "rotate90": 3 / 4}  # the other draws leave the image unchanged
    for name, rows in changed.items():
        assert rows.mean() == pytest.approx(p * visible.get(name, 1), abs=0.015), name


def test_values_have_the_spread_of_the_paper_and_are_independent():
    values = parameters(draw(draws_for(20_000), TRANSFORMS), 1.0)
    for name, deviation in (("scale", 0.2), ("aniso", 0.2), ("contrast", 0.5), ("saturation", 1.0), ("imgfilter_2", 1)):
        octaves = np.log2(values[name])
        assert (octaves.mean(), octaves.std()) == pytest.approx((0, deviation), abs=0.03 * max(deviation, 0.3))
    assert np.std(values["xfrac"]) == pytest.approx(0.125, rel=0.03)
    assert np.std(values["brightness"]) == pytest.approx(0.2, rel=0.03)
    assert np.abs(values["xint"]).max() == pytest.approx(0.125, abs=1e-3)
    for name in ("rotate_pre", "rotate_post", "hue"):
        assert np.min(values[name]) == pytest.approx(-math.pi, abs=0.01) == -np.max(values[name])
    assert np.square(values["noise"]).mean() ** 0.5 == pytest.approx(0.1, rel=0.03)
    columns = np.stack([np.reshape(values[name], (20_000, -1))[:, -1] for name in TRANSFORMS])
    assert np.abs(np.corrcoef(columns) - np.eye(len(columns))).max() < 0.04


def test_p_outside_its_range_is_clipped():
    drawn = draw(draws_for(50), TRANSFORMS)
    for outside, bound in ((-0.5, 0.0), (1.5, 1.0)):
        for got, want in zip(parameters(drawn, outside).values(), parameters(drawn, bound).values(), strict=True):
            np.testing.assert_array_equal(got, want)


def test_a_transform_has_the_same_draws_in_every_policy():
    all_transforms = draw(draws_for(), TRANSFORMS)
    for name, pair in draw(draws_for(), ("xfrac", "hue")).items():
        for got, want in zip(pair, all_transforms[name], strict=True):
            np.testing.assert_array_equal(got, want)


def test_at_p_0_images_stay_unchanged_to_the_bit():
    np.testing.assert_array_equal(ada(random_images(), draws_for(), 0.0, ALL), random_images())


@pytest.mark.parametrize(
    ("colour", "values", "want"),
    [
        ([0.1, 0.2, 0.3], {"brightness": 0.5}, [0.6, 0.7, 0.8]),
        ([0.1, 0.2, 0.3], {"brightness": 0.5, "contrast": 2}, [1.2, 1.4, 1.6]),
        ([0.4, 0.4, 0.4], {"lumaflip": 1}, [-0.4, -0.4, -0.4]),
        ([0.3, -0.1, -0.2], {"lumaflip": 1}, [0.3, -0.1, -0.2]),  # no luma
        ([0.1, 0.2, 0.6], {"hue": 2 * math.pi / 3}, [0.6, 0.1, 0.2]),  # rotates the channels
        ([0.1, 0.2, 0.6], {"saturation": 0}, [0.3, 0.3, 0.3]),
        ([0.1, 0.2, 0.6], {"saturation": 2}, [-0.1, 0.1, 0.9]),
    ],
)
def test_colours(colour, values, want):
    values = {name: tf.constant([value], tf.float32) for name, value in values.items()}
    got = apply(tf.constant([[[colour]]], tf.float32), values)[0, 0, 0]
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_the_colour_map_is_the_product_in_order():
    values = parameters(draw(draws_for(), GROUPS["color"]), 1.0)
    images = one_by_one = random_images()
    for name in GROUPS["color"]:
        one_by_one = apply(one_by_one, {name: values[name]})
    np.testing.assert_allclose(ada_maps.recolor(images, *ada_maps.color_map(values)), one_by_one, atol=1e-5)


def test_band_filters_sum_to_the_identity():
    np.testing.assert_allclose(ada_maps.filter_bank().sum(axis=0), np.eye(43)[21], atol=1e-12)
    images = random_images()
    np.testing.assert_allclose(ada_maps.amplify_bands(images, tf.ones([6, 4])), images, atol=1e-5)


def test_a_band_passes_its_frequencies():
    waves = np.array([0, 1 / 6, 1 / 3, 1])  # of pi per pixel: one in each band, the first and last at its end
    response = ada_maps.filter_bank() @ np.cos(math.pi * np.arange(-21, 22)[:, None] * waves)
    np.testing.assert_allclose(response[:, 0], [1, 0, 0, 0], atol=1e-10)
    np.testing.assert_allclose(response[:, 3], [0, 0, 0, 1], atol=1e-10)
    np.testing.assert_array_equal(response.argmax(axis=0), np.arange(4))
    # Waves that are constant along y pass as they do along x if the lowest band has gain 1.
    gains = tf.concat([tf.ones([4, 1]), tf.constant([[0, 0, 0]] * 2 + [[1, 1, 0]] * 2, tf.float32)], axis=1)
    rows = np.cos(math.pi * waves[:, None] * np.arange(-42, 43))
    got = ada_maps.amplify_bands(tf.constant(np.tile(rows[:, None, :, None], (1, 85, 1, 3)), tf.float32), gains)
    want = np.sum(gains * response.T, axis=1)[:, None] * rows
    np.testing.assert_allclose(got[:, 42, 21:64, 0], want[:, 21:64], atol=1e-5)


def test_band_gains_preserve_the_expected_power():
    values = parameters(draw(draws_for(), GROUPS["filter"]), 1.0)
    gains = ada_maps.band_gains({name: v if name == "imgfilter_0" else tf.ones([6]) for name, v in values.items()})
    np.testing.assert_allclose(np.sum(ada_maps.EXPECTED_POWER * gains**2, axis=1), 1, rtol=1e-5)


def test_noise_has_the_given_standard_deviation():
    noisy = apply(tf.zeros([2, 64, 64, 3]), {"noise": tf.constant([0.0, 0.2])}, draws_for(2).normal("n", (64, 64, 3)))
    np.testing.assert_allclose(np.std(noisy, axis=(1, 2, 3)), [0, 0.2], rtol=0.05)


@pytest.mark.parametrize("x, y, rows, columns", [(0.5, 0.5, (4, 12), (4, 12)), (0.0, 0.75, (8, 16), (0, 4))])
def test_cutout(x, y, rows, columns):
    want = np.ones((16, 16), np.float32)
    want[slice(*rows), slice(*columns)] = 0
    got = apply(tf.ones([2, 16, 16, 3]), {"cutout": tf.constant([[x, y], [-1.0, -1.0]])})
    np.testing.assert_array_equal(got[0, ..., 1], want)
    np.testing.assert_array_equal(got[1], np.ones((16, 16, 3)))


def test_the_same_draws_give_the_same_images_and_change_with_images_seen():
    images = random_images()
    one, again = ada(images, draws_for(), 0.8, ALL), ada(images, draws_for(), 0.8, ALL)
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - ada(images, draws_for(images_seen=6), 0.8, ALL)).max() > 0.1


@pytest.mark.parametrize("side", [8, SIDE])
def test_each_image_keeps_its_draws_in_any_part_of_the_batch(side):
    images = random_images(side=side)
    whole = ada(images, draws_for(), 0.7, ALL)
    for i in range(3):
        part = ada(images[i::3], draws_for().shard(i, 3), 0.7, ALL)
        np.testing.assert_allclose(part, whole[i::3], atol=2e-5)


@pytest.mark.slow
def test_traced_and_compiled_agree_with_eager():
    images = random_images()

    def run(x, p):
        return ada(x, draws_for(), p, ALL), gradient_of(x, lambda x: ada(x, draws_for(), p, ALL) ** 2)

    for compiled in (False, True):
        traced = tf.function(run, jit_compile=compiled)
        for got, want in zip(traced(images, tf.constant(0.7)), run(images, 0.7), strict=True):
            assert relative_l2(got, want) < 1e-5


def test_a_gradient_penalty_through_the_augmentation_differentiates():
    """As R1 does, with the gradient at real images."""
    check_penalty(random_images(2), lambda x: ada(x, draws_for(2), 1.0, ALL), step=0.02, rtol=5e-3)


def test_two_replicas_augment_and_pass_gradients_as_one(two_cpus):
    images = random_images()
    got = gradient_on_two_replicas(two_cpus, images, lambda x, draws: ada(x, draws, 0.7, ALL) ** 2)
    assert relative_l2(got, gradient_of(images, lambda x: ada(x, draws_for(), 0.7, ALL) ** 2)) < 1e-5


def test_half_precision_images_are_augmented_in_float32():
    images = tf.cast(random_images(), tf.bfloat16)
    got = ada(images, draws_for(), 0.7, "bgc")
    assert got.dtype == tf.float32
    np.testing.assert_array_equal(got, ada(tf.cast(images, tf.float32), draws_for(), 0.7, "bgc"))


def test_augment_applies_the_chosen_augmentation():
    images, draws = random_images(), draws_for()
    folded = draws.fold_in("augment reals")
    assert augment(images, draws, "reals", Augmentation()) is images
    chosen = Augmentation("diffaugment", ("color", "cutout"), 0.5)
    want = diffaugment(images, folded, ("color", "cutout"), 0.5)
    np.testing.assert_array_equal(augment(images, draws, "reals", chosen), want)
    chosen = Augmentation("ada", ("bgc",))
    np.testing.assert_array_equal(augment(images, draws, "reals", chosen, 0.4), ada(images, folded, 0.4, "bgc"))


def next_p(p, r_t, images=100.0, count=4.0, target=0.6, ada_kimg=ADA_KIMG, ada_max=0.8):
    return float(
        adapted(tf.constant(p), tf.constant(r_t * count), tf.constant(count), images, target, ada_kimg, ada_max)
    )


def test_p_rises_above_the_target_and_falls_below_it():
    step = 100 / 500_000
    assert next_p(0.3, 0.7) == pytest.approx(0.3 + step)
    assert next_p(0.3, 0.5) == pytest.approx(0.3 - step)
    assert next_p(0.3, 0.5, target=0.4) == pytest.approx(0.3 + step)
    assert next_p(0.3, 0.7, ada_kimg=100.0) == pytest.approx(0.3 + 5 * step)
    assert next_p(0.3, 0.5, target=0.5) == pytest.approx(0.3)
    assert next_p(0.4, 0.0, count=0.0) == pytest.approx(0.4)  # no steps


def test_p_stays_between_0_and_its_maximum():
    assert next_p(0.0, 0.1) == 0
    assert next_p(0.8, 0.9) == pytest.approx(0.8)
    assert next_p(0.8, 0.9, ada_max=1.0) > 0.8
    assert next_p(0.8, 0.9, ada_max=0.5) == pytest.approx(0.5)  # lowered during a run


def test_p_reaches_its_maximum_in_the_official_time():
    batch, p, history = 1000, 0.0, []
    for _ in range(int(ADA_KIMG * 1000 / batch / INTERVAL)):
        p = next_p(p, 1.0, images=batch * INTERVAL)
        history.append(p)
    np.testing.assert_allclose(history[:3], np.array([1, 2, 3]) * 4 / 500, rtol=1e-5)
    assert history[99] == pytest.approx(0.8, abs=1e-4) and history[98] < 0.8 - 0.005
    assert history[-1] == pytest.approx(0.8)
