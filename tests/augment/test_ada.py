import math

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.augment import ada_color, ada_corruption
from gan_tf.augment.ada import POLICIES, ada, apply, transforms_of
from gan_tf.augment.ada_parameters import GROUPS, TRANSFORMS, at_percentile, draw, parameters
from gan_tf.augment.choice import Augmentation, augment
from gan_tf.augment.diffaugment import diffaugment
from gan_tf.config.validation import ADA_POLICIES
from gan_tf.errors import UsageError
from gan_tf.rng import Draws
from tests.parity.report import relative_l2

ALL = "bgcfnc"
SIDE = 16


def images_of(count=6, side=SIDE, seed=0):
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, (count, side, side, 3)).astype(np.float32))


def draws_of(count=6, images_seen=0, seed=1):
    return Draws(seed, tf.constant(images_seen, tf.int64), count)


def slopes_of(images, draws, p=0.7, policy=ALL):
    with tf.GradientTape() as tape:
        tape.watch(images)
        value = tf.reduce_sum(ada(images, draws, p, policy) ** 2)
    return tape.gradient(value, images)


def recolored(colour, **parameters):
    known = {name: tf.constant([value], tf.float32) for name, value in parameters.items()}
    return apply(tf.constant([[[colour]]], tf.float32), known)[0, 0, 0].numpy()


def test_there_are_18_transforms_of_which_12_are_the_default():
    # Rotation is one, applied before and after the stretching.
    assert len(TRANSFORMS) == 19 and len(POLICIES["bgc"]) == 13
    assert POLICIES[ALL] == tuple(TRANSFORMS)
    assert tuple(POLICIES) == ADA_POLICIES


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_p_is_the_share_of_the_images_that_a_transform_changes(p):
    count = 20_000
    found = parameters(draw(draws_of(count), TRANSFORMS), p)
    changed = {name: np.not_equal(found[name], TRANSFORMS[name].neutral) for name in TRANSFORMS}
    changed = {name: rows.any(axis=1) if rows.ndim > 1 else rows for name, rows in changed.items()}
    turned = changed.pop("rotate_pre") | changed.pop("rotate_post")
    assert turned.mean() == pytest.approx(p, abs=0.015)
    visible = {"xflip": 1 / 2, "lumaflip": 1 / 2, "rotate90": 3 / 4}  # the rest drew to leave the image as it is
    for name, rows in changed.items():
        assert rows.mean() == pytest.approx(p * visible.get(name, 1), abs=0.015), name


def test_values_are_spread_as_in_the_paper():
    found = parameters(draw(draws_of(20_000), TRANSFORMS), 1.0)
    for name, deviation in (("scale", 0.2), ("aniso", 0.2), ("contrast", 0.5), ("saturation", 1.0), ("imgfilter_2", 1)):
        octaves = np.log2(found[name])
        assert (octaves.mean(), octaves.std()) == pytest.approx((0, deviation), abs=0.03 * max(deviation, 0.3))
    assert np.std(found["xfrac"]) == pytest.approx(0.125, rel=0.03)
    assert np.std(found["brightness"]) == pytest.approx(0.2, rel=0.03)
    assert np.abs(found["xint"]).max() == pytest.approx(0.125, abs=1e-3)
    for name in ("rotate_pre", "rotate_post", "hue"):
        assert np.min(found[name]) == pytest.approx(-math.pi, abs=0.01) == -np.max(found[name])
    assert np.square(found["noise"]).mean() ** 0.5 == pytest.approx(0.1, rel=0.03)
    values = np.stack([np.reshape(found[name], (20_000, -1))[:, -1] for name in TRANSFORMS])
    apart = np.corrcoef(values) - np.eye(len(values))
    assert np.abs(apart).max() < 0.04  # no two transforms share a draw


def test_p_beyond_its_range_is_taken_as_the_nearest_in_it():
    drawn = draw(draws_of(50), TRANSFORMS)
    for beyond, bound in ((-0.5, 0.0), (1.5, 1.0)):
        for one, other in zip(parameters(drawn, beyond).values(), parameters(drawn, bound).values(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_transform_has_the_same_draws_in_every_policy():
    alone, among = draw(draws_of(), ("xfrac", "hue")), draw(draws_of(), TRANSFORMS)
    for name, pair in alone.items():
        np.testing.assert_array_equal(pair[0], among[name][0])
        np.testing.assert_array_equal(pair[1], among[name][1])


def test_at_p_0_no_bit_changes():
    np.testing.assert_array_equal(ada(images_of(), draws_of(), 0.0, ALL), images_of())


def test_the_middle_percentile_of_a_normal_draw_is_neutral():
    names = [name for name, transform in TRANSFORMS.items() if transform.kind == "normal" and name != "noise"]
    for name, found in parameters(at_percentile(0.5, names, 2), 1.0).items():
        np.testing.assert_array_equal(found, np.full(found.shape, TRANSFORMS[name].neutral))


def test_colours():
    np.testing.assert_allclose(recolored([0.1, 0.2, 0.3], brightness=0.5), [0.6, 0.7, 0.8], rtol=1e-6)
    np.testing.assert_allclose(recolored([0.1, 0.2, 0.3], brightness=0.5, contrast=2), [1.2, 1.4, 1.6], rtol=1e-6)
    np.testing.assert_allclose(recolored([0.4] * 3, lumaflip=1), [-0.4] * 3, rtol=1e-6)
    np.testing.assert_allclose(recolored([0.3, -0.1, -0.2], lumaflip=1), [0.3, -0.1, -0.2], rtol=1e-5)  # no luma
    third = recolored([0.1, 0.2, 0.6], hue=2 * math.pi / 3)  # red takes the place of green, and so on
    np.testing.assert_allclose(third, [0.6, 0.1, 0.2], rtol=1e-5)
    np.testing.assert_allclose(recolored([0.1, 0.2, 0.6], saturation=0), [0.3] * 3, rtol=1e-5)
    np.testing.assert_allclose(recolored([0.1, 0.2, 0.6], saturation=2), [-0.1, 0.1, 0.9], rtol=1e-5)


def test_colour_map_is_the_product_in_order():
    drawn = parameters(draw(draws_of(), GROUPS["color"]), 1.0)
    images = images_of()
    one_by_one = images
    for name in GROUPS["color"]:
        one_by_one = apply(one_by_one, {name: drawn[name]})
    np.testing.assert_allclose(ada_color.recolor(images, *ada_color.color_map(drawn)), one_by_one, atol=1e-5)


def test_filters_together_are_the_identity():
    total = ada_corruption.filter_bank().sum(axis=0)
    np.testing.assert_allclose(total, np.eye(43)[21], atol=1e-12)
    images = images_of()
    np.testing.assert_allclose(ada_corruption.amplify_bands(images, tf.ones([6, 4])), images, atol=1e-5)


def test_a_band_alone_passes_its_frequencies():
    waves = np.array([0, 1 / 6, 1 / 3, 1])  # of pi a pixel: one in each band, the first and the last at its very end
    response = ada_corruption.filter_bank() @ np.cos(math.pi * np.arange(-21, 22)[:, None] * waves)
    np.testing.assert_allclose(response[:, 0], [1, 0, 0, 0], atol=1e-10)
    np.testing.assert_allclose(response[:, 3], [0, 0, 0, 1], atol=1e-10)
    np.testing.assert_array_equal(response.argmax(axis=0), np.arange(4))
    # Constant along y, the waves pass as they do along x, if the lowest band passes with gain 1.
    gains = tf.concat([tf.ones([4, 1]), tf.constant([[0, 0, 0]] * 2 + [[1, 1, 0]] * 2, tf.float32)], axis=1)
    rows = np.cos(math.pi * waves[:, None] * np.arange(-42, 43))
    got = ada_corruption.amplify_bands(tf.constant(np.tile(rows[:, None, :, None], (1, 85, 1, 3)), tf.float32), gains)
    want = np.sum(gains * response.T, axis=1)[:, None] * rows
    np.testing.assert_allclose(got[:, 42, 21:64, 0], want[:, 21:64], atol=1e-5)


def test_gains_keep_the_expected_power():
    drawn = parameters(draw(draws_of(), GROUPS["filter"]), 1.0)
    one = {name: value if name == "imgfilter_0" else tf.ones([6]) for name, value in drawn.items()}
    gains = ada_corruption.band_gains(one)
    np.testing.assert_allclose(np.sum(ada_corruption.EXPECTED_POWER * gains**2, axis=1), 1, rtol=1e-5)


def test_noise_has_the_drawn_deviation():
    noisy = apply(tf.zeros([2, 64, 64, 3]), {"noise": tf.constant([0.0, 0.2])}, draws_of(2).normal("n", (64, 64, 3)))
    np.testing.assert_allclose(np.std(noisy, axis=(1, 2, 3)), [0, 0.2], rtol=0.05)


@pytest.mark.parametrize("x, y, rows, columns", [(0.5, 0.5, (4, 12), (4, 12)), (0.0, 0.75, (8, 16), (0, 4))])
def test_cutout(x, y, rows, columns):
    want = np.ones((16, 16), np.float32)
    want[slice(*rows), slice(*columns)] = 0
    got = apply(tf.ones([2, 16, 16, 3]), {"cutout": tf.constant([[x, y], [-1.0, -1.0]])})
    np.testing.assert_array_equal(got[0, ..., 1], want)
    np.testing.assert_array_equal(got[1], np.ones((16, 16, 3)))


def test_same_draws_same_images_and_others_with_the_clock():
    images = images_of()
    one, again = ada(images, draws_of(), 0.8, ALL), ada(images, draws_of(), 0.8, ALL)
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - ada(images, draws_of(images_seen=6), 0.8, ALL)).max() > 0.1


@pytest.mark.parametrize("side", [8, SIDE])
def test_each_image_keeps_its_draws_in_any_share_of_the_batch(side):
    images = images_of(side=side)
    whole = ada(images, draws_of(), 0.7, ALL)
    for i in range(3):
        share = ada(images[i::3], draws_of().shard(i, 3), 0.7, ALL)
        np.testing.assert_allclose(share, whole[i::3], atol=2e-5)


@pytest.mark.slow
def test_traced_and_compiled_agree_with_eager():
    images = images_of()
    eager, slopes = ada(images, draws_of(), 0.7, ALL), slopes_of(images, draws_of())
    for compiled in (False, True):
        traced = tf.function(lambda x, p: ada(x, draws_of(), p, ALL), jit_compile=compiled)
        assert relative_l2(traced(images, tf.constant(0.7)), eager) < 1e-5
        traced = tf.function(lambda x: slopes_of(x, draws_of()), jit_compile=compiled)
        assert relative_l2(traced(images), slopes) < 1e-5


def test_penalty_of_slopes_through_the_augmentation_differentiates():
    """As R1 does: the slope of a critic at real images, through their augmentation."""
    images = images_of(2)

    def penalty(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(tf.sin(ada(x, draws_of(2), 1.0, ALL)))
        return tf.reduce_sum(tape.gradient(value, x) ** 2)

    with tf.GradientTape() as tape:
        tape.watch(images)
        value = penalty(images)
    slopes = tape.gradient(value, images)
    toward = 0.02 * slopes / tf.norm(slopes)
    measured = (penalty(images + toward) - penalty(images - toward)) / 0.04
    np.testing.assert_allclose(tf.norm(slopes), measured, rtol=5e-3)


def test_two_replicas_augment_and_pass_gradients_as_one(two_cpus):
    images = images_of()

    @tf.function
    def slopes():
        replica = tf.distribute.get_replica_context()
        own = tf.ensure_shape(images[replica.replica_id_in_sync_group :: 2], (3, *images.shape[1:]))
        return slopes_of(own, draws_of().shard(replica.replica_id_in_sync_group, 2))

    shares = two_cpus.experimental_local_results(two_cpus.run(slopes))
    dealt_back = tf.reshape(tf.stack(shares, axis=1), images.shape)
    assert relative_l2(dealt_back, slopes_of(images, draws_of())) < 1e-5


def test_images_of_half_precision_are_augmented_in_float32():
    images = tf.cast(images_of(), tf.bfloat16)
    got = ada(images, draws_of(), 0.7, "bgc")
    assert got.dtype == tf.float32
    np.testing.assert_array_equal(got, ada(tf.cast(images, tf.float32), draws_of(), 0.7, "bgc"))


def test_an_unknown_policy_is_named():
    with pytest.raises(UsageError, match="'bcg' is unknown: choose from blit, geom, color, .* bgcfnc"):
        transforms_of("bcg")


def test_one_function_serves_every_choice():
    images, draws = images_of(), draws_of()
    fork = draws.fold_in("augment reals")
    assert augment(images, draws, "reals", Augmentation()) is images
    chosen = Augmentation("diffaugment", ("color", "cutout"), 0.5)
    want = diffaugment(images, fork, ("color", "cutout"), 0.5)
    np.testing.assert_array_equal(augment(images, draws, "reals", chosen), want)
    chosen = Augmentation("ada", ("bgc",))
    np.testing.assert_array_equal(augment(images, draws, "reals", chosen, 0.4), ada(images, fork, 0.4, "bgc"))
    with pytest.raises(ValueError, match="got 'mixup'"):
        augment(images, draws, "reals", Augmentation("mixup", ("bgc",)))
