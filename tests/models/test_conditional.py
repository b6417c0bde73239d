"""Conditional networks: effect of labels, projections, and folding."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.models.fastgan_blocks import SpectralProjection
from gan_tf.models.network import fold
from gan_tf.models.pggan_blocks import ClassProjection
from gan_tf.models.variables import named_variables
from tests import conditional
from tests.models.networks import SIZES, gradients, images_of, networks, random, random_input

CLASSES = 3
# Variables that classes add to (generator, discriminator).
ADDED = {
    "fastgan": (
        {"embed/kernel"},
        {f"{name}/{own}" for name in ("project", "small_project") for own in ("kernel", "u", "v")},
    ),
    "pggan": ({"embed/kernel"}, {"head/project/kernel"}),
}


@pytest.fixture(scope="module", params=list(SIZES))
def players(request):
    """(family, generator, discriminator) of CLASSES classes; the generator is fully grown and has batch statistics."""
    g, d = networks(request.param, classes=CLASSES, **({"tanh": False} if request.param == "fastgan" else {}))
    conditional.ready(g)
    return request.param, g, d


@pytest.mark.parametrize("family", ADDED)
def test_classes_only_add_variables(family):
    for plain, learned, added in zip(networks(family), networks(family, classes=CLASSES), ADDED[family], strict=True):
        plain, learned = named_variables(plain), named_variables(learned)
        assert set(learned) - set(plain) == added and set(plain) <= set(learned)
        for name in set(plain) - {"stem/first/kernel"}:  # Progressive GAN's first layer takes more
            np.testing.assert_array_equal(plain[name].numpy(), learned[name].numpy())


def test_images_depend_on_their_own_label_which_may_be_one_hot_weights(players):
    _, g, _ = players
    z = tf.random.stateless_normal([2, 8], [1, 2])
    first, second = (images_of(g(z, tf.constant([k, k]))) for k in (0, 2))
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_allclose(images_of(g(z, tf.constant([[0.0, 0.0, 1.0]] * 2))), second, atol=1e-6)
    np.testing.assert_allclose(images_of(g(z, tf.constant([0, 2])))[1], second[1], atol=1e-5)
    np.testing.assert_allclose(images_of(g(z[1:], tf.constant([2])))[0], second[1], atol=1e-5)


def test_conditional_networks_need_labels(players):
    family, g, d = players
    for network, inputs in ((g, tf.zeros([2, 8])), (fold(g), tf.zeros([2, 8])), (d, random_input(family))):
        with pytest.raises(ValueError, match="a network of 3 classes needs labels"):
            network(inputs)


def test_the_class_changes_every_logit_and_gradients_reach_its_vector(players):
    family, _, d = players
    images = random_input(family)
    one, other = (d(images, tf.fill([4], k)) for k in (0, 1))
    assert np.abs(one - other).min() > 1e-7
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(d(images, tf.constant([0, 0, 1, 1])) ** 2)
    slopes = {name: slope for name, slope in gradients(value, d, tape).items() if name.endswith("kernel")}
    slopes = [slope for name, slope in slopes.items() if "project" in name or "mapping" in name]
    assert slopes and all(float(tf.norm(slope)) > 0 for slope in slopes)


def test_the_folded_generator_gives_the_same_images(players):
    _, g, _ = players
    z, labels = tf.random.stateless_normal([3, 8], [7, 8]), tf.constant([2, 0, 1])
    folded, want = fold(g), images_of(g(z, labels)).numpy()
    size = abs(want).max()
    np.testing.assert_allclose(folded(z, labels).numpy() / size, want / size, atol=1e-3)
    assert np.abs(folded(z, labels[::-1]).numpy() - want).max() > 1e-2 * size
    # On the CPU; on a GPU, tf.gather returns zeros for indices out of range.
    with tf.device("CPU:0"), pytest.raises(tf.errors.InvalidArgumentError, match="is not in"):
        folded(z[:1], tf.constant([CLASSES]))


def test_growing_networks_use_classes_at_every_level():
    g, d = networks("pggan", classes=CLASSES)
    z = random(2, 8)
    for level, alpha in ((0, None), (1, tf.constant(0.3)), (2, None)):
        one, other = (g(z, tf.constant([k, k]), level=level, alpha=alpha) for k in (0, 1))
        assert np.abs(one - other).max() > 1e-3
        logits = [d(one, tf.constant([k, k]), level=level, alpha=alpha) for k in (0, 1)]
        assert np.abs(logits[0] - logits[1]).min() > 1e-6


def test_labels_without_classes_are_not_read():
    for family in SIZES:
        g, d = networks(family)
        images, labels = random_input(family), tf.constant([0, 5, 0, 5])
        np.testing.assert_array_equal(images_of(g(random(4, 8), labels)), images_of(g(random(4, 8))))
        np.testing.assert_array_equal(d(images, labels), d(images))


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
