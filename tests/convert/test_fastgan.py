"""The name map: every official tensor lands in one place, and the networks then compute what the official ones do."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.convert.fastgan import discriminator_arguments, generator_arguments, official_names
from gan_tf.convert.state_dicts import load_state_dict, state_dict, to_official
from gan_tf.errors import UsageError
from gan_tf.models.fastgan import FastGanDiscriminator, FastGanGenerator
from gan_tf.models.variables import named_variables
from tests.convert import official_form as official
from tests.convert.states import assert_refused
from tests.parity.report import relative_l2

SIZES = (256, 512, 1024)


def networks(size):
    """-> (g, its state dict, d, its state dict), loaded; sizes and widths are read from the state dicts."""
    g_state = official.random_state(official.shapes_of_generator(size, ngf=8, latent_size=12))
    d_state = official.random_state(official.shapes_of_discriminator(size, ndf=8), seed=1)
    assert generator_arguments(g_state) == {"resolution": size, "ngf": 8, "latent_size": 12}
    assert discriminator_arguments(d_state) == {"resolution": size, "ndf": 8}
    g, d = FastGanGenerator(**generator_arguments(g_state)), FastGanDiscriminator(**discriminator_arguments(d_state))
    for network, state in ((g, g_state), (d, d_state)):
        network.build()
        load_state_dict(network, state)
    return g, g_state, d, d_state


@pytest.mark.parametrize("size", SIZES)
def test_networks_compute_what_the_official_form_computes(size):
    g, g_state, d, d_state = networks(size)
    rng = np.random.default_rng(2)
    z = tf.constant(rng.normal(size=(1, 12)), tf.float32)
    images, small = g(z)
    want_images, want_small = official.generate(g_state, z, size)
    assert relative_l2(images, tf.transpose(want_images, (0, 2, 3, 1))) < 1e-4
    assert relative_l2(small, tf.transpose(want_small, (0, 2, 3, 1))) < 1e-4
    assert np.std(want_images) > 0.01  # the comparison is not of zeros

    real = tf.constant(rng.normal(size=(1, size, size, 3)), tf.float32)
    small = real[:, :: size // 128, :: size // 128]
    logits, rebuilt = d.logits_and_reconstructions((real, small), 1)
    planes = (tf.transpose(x, (0, 3, 1, 2)) for x in (real, small))
    big, small_logits, part = official.judge(d_state, *planes, size)
    assert relative_l2(logits[:, :25], big) < 1e-4
    assert relative_l2(logits[:, 25:], small_logits) < 1e-4
    assert relative_l2(rebuilt["part"], tf.transpose(part, (0, 2, 3, 1))) < 1e-4


@pytest.mark.parametrize("size", SIZES)
def test_every_tensor_is_consumed_once_and_comes_back(size):
    g, g_state, d, d_state = networks(size)
    for network, state in ((g, g_state), (d, d_state)):
        names = official_names(network)
        counted = {name for name in state if not name.endswith("num_batches_tracked")}
        assert sorted(names.values()) == sorted(counted)  # a list: a name used twice would stand twice
        assert set(names) == set(named_variables(network))
        back = state_dict(network)
        for name in counted:
            np.testing.assert_array_equal(back[name], state[name], err_msg=name)


def test_gradients_take_the_official_layout():
    g, g_state, _, _ = networks(256)
    slopes = {name: np.full(v.shape, i, np.float32) for i, (name, v) in enumerate(named_variables(g).items())}
    for name, slope in to_official(g, slopes).items():
        assert slope.shape == g_state[name].shape


def changed(state, **changes):
    return {name: value for name, value in (state | changes).items() if value is not None}


def test_incomplete_surplus_or_misshapen_weights_are_refused_and_change_nothing():
    g, state, _, _ = networks(256)
    doubled = {name: 2 * value for name, value in state.items()}
    cases = (
        (changed(doubled, **{"to_128.weight_u": None}), "missing.*to_128.weight_u"),
        (changed(doubled, **{"to_512.weight_u": np.zeros(3)}), "left over.*to_512.weight_u"),
        (changed(doubled, **{"to_128.weight_u": np.zeros(4)}), r"to_128.weight_u has shape \(4,\), not \(3,\)"),
        (changed(doubled, **{"feat_8.1.weight_v": np.zeros(7)}), r"feat_8.1.weight_v has shape \(7,\), not \(1152,\)"),
        (changed(doubled, **{"feat_8.1.weight_v": np.zeros((4, 288))}), "feat_8.1.weight_v has shape"),
        (changed(doubled, **{"feat_8.1.weight_orig": np.zeros(36864)}), "feat_8.1.weight_orig has shape"),
        (changed(doubled, **{"feat_8.2.weight": np.zeros((1, 1, 1, 1))}), "feat_8.2.weight has shape"),
    )
    assert_refused(g, cases)


@pytest.mark.parametrize("network", [FastGanGenerator(128, ngf=4), FastGanDiscriminator(256, ndf=4, decoders=4)])
def test_networks_without_an_official_counterpart_are_refused(network):
    network.build()
    with pytest.raises(UsageError, match="official"):
        official_names(network)
