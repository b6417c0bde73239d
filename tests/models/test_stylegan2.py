"""Shapes, styles, types and invariances of the StyleGAN2 networks."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.losses import logistic_generator, path_length_penalty, path_lengths, r1_penalty
from gan_tf.models.stylegan2 import StyleGan2Discriminator, StyleGan2Generator
from gan_tf.models.stylegan2_blocks import CONST
from gan_tf.models.variables import named_variables
from gan_tf.ops.forms import PLAIN, use_forms
from tests.models.networks import flat, gradients, random, random_noise
from tests.parity.report import relative_l2

SIZES = {"resolution": 16, "channel_base": 128, "channel_max": 16}


def generator(used=True, **changes):
    """A generator, by default with noise strengths and biases as if it had been trained."""
    g = StyleGan2Generator(**{**SIZES, "latent_size": 8, "w_size": 12, "mapping_layers": 2, **changes})
    g.build()
    for index, (name, variable) in enumerate(named_variables(g).items() if used else ()):
        if name.endswith(("noise_strength", "bias")):
            variable.assign_add(0.3 * tf.cast(random(*variable.shape, seed=index), variable.dtype))
    return g


def discriminator(**changes):
    d = StyleGan2Discriminator(**{**SIZES, **changes})
    d.build()
    return d


@pytest.mark.parametrize("resolution", [16, 64])
def test_shapes(resolution):
    sizes = {"resolution": resolution, "channel_base": 128, "channel_max": 16}
    g, d, styles = generator(**sizes), discriminator(**sizes), 2 * (resolution.bit_length() - 2)
    images = g(random(4, 8))
    assert images.shape == (4, resolution, resolution, 3) and images.dtype == tf.float32
    assert g.mapping(random(4, 8)).shape == (4, styles, 12)
    logits = d(images)
    assert logits.shape == (4, 1) and logits.dtype == tf.float32
    assert [m.shape[1] for m, _ in g.synthesis.maps(g.mapping(random(4, 8)))] == g.synthesis.sizes
    assert len(g.noise_shapes) == styles - 1


def test_a_style_changes_its_own_layer_and_those_after_it():
    g = generator()
    ws = g.mapping(random(1, 8)).numpy()
    before = g.synthesis.maps(tf.constant(ws))
    for index, changed in enumerate(["4 x", "4 rgb and 8 x", "8 x", "8 rgb and 16 x", "16 x", "16 rgb"]):
        other = ws.copy()
        other[:, index] += 1
        after = g.synthesis.maps(tf.constant(other))
        same_maps = [np.array_equal(a[0], b[0]) for a, b in zip(before, after, strict=True)]
        same_images = [np.array_equal(a[1], b[1]) for a, b in zip(before, after, strict=True)]
        size = (index + 1) // 2  # of the first map that changes
        assert same_maps == [i < size for i in range(3)], changed
        assert same_images == [i < index // 2 for i in range(3)], changed


def test_noise_is_none_the_layers_own_or_given():
    g, z = generator(), random(2, 8)
    none, const = g(z).numpy(), g(z, noise=CONST).numpy()
    pairs = zip([None, *g.synthesis.first_convs], g.synthesis.convs, strict=True)  # in the order of `noise_shapes`
    own = [layer.noise.value[None, :, :, None] for pair in pairs for layer in pair if layer is not None]
    np.testing.assert_allclose(g(z, noise=own), const, rtol=1e-5, atol=1e-6)
    given = g(z, noise=random_noise(g, 2))
    assert min(relative_l2(none, const), relative_l2(given, const), relative_l2(given, none)) > 1e-2
    for wrong in (own[:1], "random"):
        with pytest.raises(ValueError, match="5 maps"):
            g(z, noise=wrong)
    unused = generator(used=False)
    np.testing.assert_array_equal(unused(z, noise=CONST), unused(z))


def test_truncation_moves_ws_towards_the_average():
    g, z = generator(), random(3, 8)
    g.mapping.average.assign(random(12, seed=4))
    ws, average = g.mapping(z).numpy(), g.mapping.average.numpy()
    near = average + 0.3 * (ws - average)
    np.testing.assert_allclose(g.mapping(z, truncation=0.3), near, rtol=1e-4, atol=1e-5)
    cut = np.concatenate([near[:, :2], ws[:, 2:]], axis=1)
    np.testing.assert_allclose(g.mapping(z, truncation=0.3, cutoff=2), cut, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(g(z, truncation=0.0)[0], g(z, truncation=0.0)[1])
    np.testing.assert_allclose(g(z, truncation=tf.constant(1.0)), g(z), rtol=1e-4, atol=1e-5)


def test_the_average_moves_in_training_calls_unless_asked_not_to():
    g, z = generator(), random(4, 8)
    mean = g.mapping(z)[:, 0].numpy().mean(0)
    for how, moved in (
        ({}, False),
        ({"training": True}, True),
        ({"training": True, "update_average": False}, False),
        ({"update_average": True}, True),
    ):
        g.mapping.average.assign(np.ones(12))
        g.mapping(z, **how)
        want = 0.995 + 0.005 * mean if moved else np.ones(12)
        np.testing.assert_allclose(g.mapping.average, want, rtol=1e-6, err_msg=str(how))
    for training, want in ((False, 1.0), (True, 0.995 + 0.005 * mean)):
        g.mapping.average.assign(np.ones(12))
        g(z, training=training)
        np.testing.assert_allclose(g.mapping.average, want, rtol=1e-6)
    assert not g.mapping.average.trainable


def test_a_clamp_bounds_colours_and_maps():
    g, d = generator(conv_clamp=0.1), discriminator(conv_clamp=0.1)
    made = g.synthesis.maps(g.mapping(random(2, 8)))
    assert max(np.abs(features).max() for features, _ in made) <= 0.1 + 1e-6
    assert 0.1 < np.abs(made[-1][1]).max() <= 0.3 + 1e-6
    assert relative_l2(d(made[-1][1]), discriminator()(made[-1][1])) > 1e-3


def test_orig_has_no_connections_beside_the_convolutions():
    names = set(named_variables(discriminator(architecture="orig")))
    assert not any("skip" in name for name in names)
    assert {name for name in named_variables(discriminator()) if "skip" not in name} == names
    assert discriminator(architecture="orig")(random(2, 16, 16, 3)).shape == (2, 1)


@pytest.mark.parametrize(
    ("policy", "count", "half"),
    [("mixed_bfloat16", 4, [8, 16]), ("mixed_float16", 4, [8, 16]), ("mixed_bfloat16", 1, [16])],
)
def test_only_the_largest_maps_are_of_half_precision(policy, count, half):
    g, d = (make(dtype=policy, half_resolutions=count) for make in (generator, discriminator))
    for (features, images), size in zip(g.synthesis.maps(g.mapping(random(1, 8))), (4, 8, 16), strict=True):
        assert features.dtype == (g.compute_dtype if size in half else "float32") and images.dtype == "float32"
    assert g.synthesis.maps(g.mapping(random(1, 8)), dtype="float32")[-1][0].dtype == "float32"
    for features, size in zip(d.features(random(1, 16, 16, 3)), (16, 8), strict=True):  # of the blocks' inputs
        assert features.dtype == (d.compute_dtype if size in half else "float32")


def losses(g, d, z, images):
    """Both regularisers and the generator's loss, so that gradients and gradients of gradients are in it: [N]."""
    ws = g.mapping(z)
    lengths = path_lengths(lambda ws: g.synthesis(ws, noise=CONST), ws, tf.cast(images, g.variable_dtype))
    penalty, _ = path_length_penalty(lengths, tf.constant(0.5, lengths.dtype))
    return penalty + r1_penalty(d, tf.cast(images, d.variable_dtype)) + logistic_generator(d(g(z, noise=CONST)))


def gradient_of(g, d, loss):
    """Gradient of loss() with respect to both networks' weights, as one vector."""
    with tf.GradientTape(persistent=True) as tape:
        value = loss()
    return tf.concat([flat(gradients(value, n, tape, unconnected_gradients="zero")) for n in (g, d)], 0)


def test_every_weight_gets_a_gradient():
    g, d = generator(), discriminator()
    with tf.GradientTape(persistent=True) as tape:
        loss = tf.reduce_sum(losses(g, d, random(4, 8), random(4, 16, 16, 3)))
    for network in (g, d):
        for name, slope in gradients(loss, network, tape).items():
            assert slope is not None and np.isfinite(slope).all() and np.any(slope), name


@pytest.mark.slow
def test_fast_and_plain_forms_compiled_or_not_have_the_same_gradients():
    """With second derivatives, in float64, where no leaky ReLU flips on a rounding error."""
    g, d, z, images = generator(dtype="float64"), discriminator(dtype="float64"), random(4, 8), random(4, 16, 16, 3)

    def run():
        return gradient_of(g, d, lambda: tf.reduce_sum(losses(g, d, z, images)))

    want = run().numpy()
    with use_forms(PLAIN):
        assert relative_l2(run(), want) < 1e-6
    for compiled in (False, True):
        assert relative_l2(tf.function(run, jit_compile=compiled, autograph=False)(), want) < 1e-6


@pytest.mark.parametrize(("policy", "bound"), [("mixed_bfloat16", 0.1), ("mixed_float16", 0.02)])
def test_gradients_of_half_precision_are_near_those_of_float32(policy, bound):
    """Of the generator's loss; what differentiates twice asks for float32.

    Bounds are twice the largest of three seeds: 0.05 and 0.011, of rounding and of leaky ReLUs that flip on it.
    """

    def slopes(kind):
        g, d = generator(dtype=kind), discriminator(dtype=kind)
        # Scaled, as float16 needs it.
        return gradient_of(g, d, lambda: 64 * tf.reduce_sum(logistic_generator(d(g(random(8, 8), noise=CONST)))))

    assert 0 < relative_l2(slopes(policy), slopes("float32")) < bound


def test_penalties_in_bfloat16_and_their_gradients_are_near_those_of_float32():
    """Summed over the batch, as a step takes them. Bounds are twice the largest of four seeds: 0.027 and 0.056."""
    images = random(8, 16, 16, 3)

    def penalties(policy):
        g, d = generator(dtype=policy), discriminator(dtype=policy)
        with tf.GradientTape(persistent=True) as tape:
            lengths = path_lengths(lambda ws: g.synthesis(ws, noise=CONST), g.mapping(random(8, 8)), images)
            path = tf.reduce_sum(path_length_penalty(lengths, tf.constant(0.5))[0])
            r1 = tf.reduce_sum(r1_penalty(d, images))
        options = {"tape": tape, "unconnected_gradients": "zero"}
        return (path, flat(gradients(path, g, **options))), (r1, flat(gradients(r1, d, **options)))

    for (value, slope), (want, want_slope) in zip(penalties("mixed_bfloat16"), penalties("float32"), strict=True):
        assert 0 < relative_l2(value, want) < 0.055
        assert 0 < relative_l2(slope, want_slope) < 0.11


def test_initial_values_keep_the_spread_of_maps():
    g = generator(used=False, channel_base=1024, channel_max=64, latent_size=64, w_size=64)
    ws = g.mapping(random(16, 64))
    assert 0.5 < np.std(ws) < 1.5
    # Zeros around maps and between pixels that are not independent take some of it
    assert all(0.4 < np.std(features) < 1.2 for features, _ in g.synthesis.maps(ws))
    assert abs(np.std(g.mapping.layers[0].kernel) - 100) < 5  # kept divided by the learning rate's multiplier
    np.testing.assert_array_equal(g.synthesis.convs[0].affine.bias, np.ones(64))
