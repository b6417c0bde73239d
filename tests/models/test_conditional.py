"""Conditional networks: effect of labels, projections, and folding."""

import types

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.models import FAMILIES
from gan_tf.models.conditioning import ClassProjection, SpectralProjection
from gan_tf.models.variables import named_variables
from tests import conditional

CLASSES = 3
SETTINGS = {
    "fastgan": {"resolution": 64, "ngf": 4, "ndf": 4, "latent_size": 8, "tanh": False, "decoders": 3},
    "pggan": {
        "resolution": 16,
        "latent_size": 8,
        "fmap_base": 64,
        "fmap_max": 8,
        "batch_norm": False,
        "pixel_norm": True,
        "minibatch_stddev": True,
    },
    "stylegan2": {
        "resolution": 16,
        "latent_size": 8,
        "w_size": 8,
        "mapping_layers": 2,
        "channel_base": 64,
        "channel_max": 8,
        "mbstd_group": 4,
        "conv_clamp": None,
        "architecture": "resnet",
    },
}
# Variables that classes add to (generator, discriminator).
ADDED = {
    "fastgan": ({"embed/kernel"}, {f"{name}/{own}" for name in ("project", "small_project") for own in "uv"}),
    "pggan": ({"embed/kernel"}, {"head/project/kernel"}),
}
ADDED["fastgan"][1].update({"project/kernel", "small_project/kernel"})


def settings(model, classes):
    return types.SimpleNamespace(**SETTINGS[model], seed=3, classes=classes)


@pytest.fixture(scope="module", params=list(SETTINGS))
def networks(request):
    """(model, generator, discriminator) of CLASSES classes; the generator is fully grown and has batch statistics."""
    family, given = FAMILIES[request.param], settings(request.param, CLASSES)
    g, d = family.generator(given, "float32"), family.discriminator(given, "float32")
    conditional.ready(g)
    return request.param, g, d


def images_of(output):
    return output[0] if isinstance(output, tuple) else output


def seen(model, images):
    return (images, tf.nn.avg_pool2d(images, 2, 2, "VALID")) if model == "fastgan" else images


@pytest.mark.parametrize("model", list(ADDED))
def test_classes_only_add_variables(model):
    family = FAMILIES[model]
    for player, added in zip((family.generator, family.discriminator), ADDED[model], strict=True):
        plain, learned = (named_variables(player(settings(model, n), "float32")) for n in (0, CLASSES))
        assert set(learned) - set(plain) == added and set(plain) <= set(learned)
        for name in set(plain) - {"stem/first/kernel"}:  # Progressive GAN's first layer takes more
            np.testing.assert_array_equal(plain[name].numpy(), learned[name].numpy())


def test_labels_may_be_one_hot_weights(networks):
    model, g, _ = networks
    z = tf.random.stateless_normal([2, 8], [1, 2])
    first, second = (images_of(g(z, tf.constant([k, k]))) for k in (0, 2))
    assert float(tf.reduce_max(tf.abs(first - second))) > 1e-3
    weights = images_of(g(z, tf.constant([[0.0, 0.0, 1.0]] * 2)))
    np.testing.assert_allclose(weights, second, atol=1e-6)


def test_an_image_does_not_depend_on_other_labels_in_the_batch(networks):
    _, g, _ = networks
    z = tf.random.stateless_normal([2, 8], [1, 2])
    both = images_of(g(z, tf.constant([0, 1])))
    np.testing.assert_allclose(both[1:], images_of(g(z[1:], tf.constant([1]))), atol=1e-5)


def test_conditional_networks_need_labels(networks):
    model, g, d = networks
    z = tf.zeros([2, 8])
    with pytest.raises(ValueError, match="a network of 3 classes needs labels"):
        g(z)
    size = SETTINGS[model]["resolution"]
    with pytest.raises(ValueError, match="a network of 3 classes needs labels"):
        d(seen(model, tf.zeros([2, size, size, 3])))
    with pytest.raises(ValueError, match="a network of 3 classes needs labels"):
        FAMILIES[model].fold(g)(z)


def test_the_class_changes_every_logit_and_gradients_reach_its_vector(networks):
    model, _, d = networks
    size = SETTINGS[model]["resolution"]
    images = seen(model, tf.random.stateless_normal([4, size, size, 3], [5, 6]))
    one, other = (d(images, tf.fill([4], k)) for k in (0, 1))
    assert float(tf.reduce_min(tf.abs(one - other))) > 1e-7
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(d(images, tf.constant([0, 0, 1, 1])) ** 2)
    variables = {n: v for n, v in named_variables(d).items() if ("project" in n or "mapping" in n) and v.trainable}
    kernels = {n: v for n, v in variables.items() if n.endswith("kernel")}
    slopes = tape.gradient(value, [v.value for v in kernels.values()])
    assert kernels and all(float(tf.norm(slope)) > 0 for slope in slopes)


def test_the_folded_generator_gives_the_same_images(networks):
    model, g, _ = networks
    z, labels = tf.random.stateless_normal([3, 8], [7, 8]), tf.constant([2, 0, 1])
    folded = FAMILIES[model].fold(g)
    wanted = images_of(g(z, labels)).numpy()
    np.testing.assert_allclose(folded(z, labels).numpy() / abs(wanted).max(), wanted / abs(wanted).max(), atol=1e-3)
    assert np.abs(folded(z, labels[::-1]).numpy() - wanted).max() > 1e-2 * abs(wanted).max()


def test_the_folded_generator_refuses_a_class_out_of_range(networks):
    """On the CPU; on a GPU, tf.gather returns zeros for indices out of range."""
    model, g, _ = networks
    with tf.device("CPU:0"), pytest.raises(tf.errors.InvalidArgumentError, match="is not in"):
        FAMILIES[model].fold(g)(tf.zeros([1, 8]), tf.constant([CLASSES]))


def test_growing_networks_use_classes_at_every_level():
    family, given = FAMILIES["pggan"], settings("pggan", CLASSES)
    g, d = family.generator(given, "float32"), family.discriminator(given, "float32")
    z = tf.random.stateless_normal([2, 8], [1, 2])
    for level, alpha in ((0, None), (1, tf.constant(0.3)), (2, None)):
        one, other = (g(z, tf.constant([k, k]), level=level, alpha=alpha) for k in (0, 1))
        assert float(tf.reduce_max(tf.abs(one - other))) > 1e-3
        logits = [d(one, tf.constant([k, k]), level=level, alpha=alpha) for k in (0, 1)]
        assert float(tf.reduce_min(tf.abs(logits[0] - logits[1]))) > 1e-6


def test_projection_is_the_scalar_product_of_class_and_features():
    project = ClassProjection(4, 2)
    project.build()
    project.kernel.assign([[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]])
    features = tf.constant([[3.0, 5.0, 7.0, 9.0]] * 2)
    np.testing.assert_allclose(project(features, tf.constant([0, 1])), [[1.5], [5.0]])


def test_spectral_projection_is_the_scalar_product_with_each_window():
    project = SpectralProjection(2)
    project.build((None, 8, 8, 3))
    kernel = np.zeros((4, 4, 3, 2), np.float32)
    kernel[0, 0, 0, 0], kernel[3, 3, 1, 1] = 2.0, 1.0  # one class uses a corner, the other the opposite one
    project.kernel.assign(kernel)
    project.u.assign([1.0, 0.0])
    project.v.assign((kernel[..., 0] / 2).reshape(-1))
    features = np.zeros((2, 8, 8, 3), np.float32)
    features[:, :4, :4] = [16.0, 8.0, 4.0]
    got = project(features, tf.constant([0, 1])).numpy()
    assert got.shape == (2, 5, 5, 1)
    np.testing.assert_allclose(got[:, 0, 0, 0], [16.0, 4.0])  # the largest singular value, 2, is divided out
    np.testing.assert_allclose(got[:, 1, 0, 0], [16.0, 0.0])  # the lower corner has left the features
    np.testing.assert_allclose(got[:, 4, 4, 0], 0.0)
