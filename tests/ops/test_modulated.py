"""Modulated convolution against its equations, its two forms against each other up to second derivatives."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.ops.filtered import fir_filter, modulated_conv, small_kernel, small_styles
from gan_tf.ops.forms import FAST, PLAIN, use_forms
from tests.ops import check_forms
from tests.ops.test_filtered import by_definition, random
from tests.parity.report import relative_l2

FORMS = pytest.mark.parametrize("forms", [FAST, PLAIN], ids=["shared", "own"])
RESIZINGS = pytest.mark.parametrize(("up", "down", "convolve"), [(1, 1, False), (2, 1, True), (1, 2, False)])


def by_equations(x, kernel, styles, up, down, demodulate, convolve):
    images = []
    for image, style in zip(x, styles, strict=True):
        own = kernel * style[:, None]
        if demodulate:
            own = own / np.sqrt((own**2).sum(axis=(0, 1, 2)) + 1e-8)
        images.append(by_definition(image[None], own, fir_filter(), up, down, convolve)[0])
    return np.stack(images)


def small_inputs(dtype):
    return [tf.constant(random(*shape), dtype) for shape in ((2, 4, 4, 3), (3, 3, 3, 5), (2, 3))]


@FORMS
@RESIZINGS
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("size", [1, 3])
def test_equations(size, demodulate, up, down, convolve, forms):
    x, kernel, styles = random(3, 4, 6, 5), random(size, size, 5, 2, seed=1), random(3, 5, seed=2)
    with use_forms(forms):
        got = modulated_conv(*map(tf.constant, (x, kernel, styles)), fir_filter(), up, down, demodulate, None, convolve)
    np.testing.assert_allclose(got, by_equations(x, kernel, styles, up, down, demodulate, convolve), rtol=1e-9)


@FORMS
def test_gain_multiplies_the_convolution_and_noise_is_added_after_it(forms):
    x, kernel, styles = small_inputs(tf.float64)
    noise = tf.constant(random(2, 4, 4, 1, seed=3))
    with use_forms(forms):
        for demodulate in (True, False):
            plain = modulated_conv(x, kernel, styles, demodulate=demodulate)
            got = modulated_conv(x, kernel, styles, demodulate=demodulate, noise=noise, gain=3.0)
            np.testing.assert_allclose(got, 3 * plain + noise, rtol=1e-9)


@FORMS
def test_demodulated_outputs_do_not_depend_on_the_scale_of_styles_and_kernel(forms):
    x, kernel, styles = small_inputs(tf.float64)
    with use_forms(forms):
        want = modulated_conv(x, kernel, styles)
        np.testing.assert_allclose(modulated_conv(x, 50 * kernel, 20 * styles), want, rtol=1e-5)
        np.testing.assert_allclose(modulated_conv(x, small_kernel(kernel), small_styles(styles)), want, rtol=1e-5)


@RESIZINGS
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("small", [True, False])
def test_both_forms_have_the_same_derivatives(up, down, convolve, demodulate, small):
    def run(x, kernel, styles):
        if small:  # as float16 makes them; demodulation then weighs epsilon by another amount
            kernel, styles = small_kernel(kernel), small_styles(styles)
        return modulated_conv(x, kernel, styles, fir_filter(), up, down, demodulate, None, convolve)

    check_forms(run, random(3, 4, 4, 5), random(3, 3, 5, 2), random(3, 5))


@FORMS
@RESIZINGS
@pytest.mark.parametrize(("dtype", "error"), [("bfloat16", 0.02), ("float16", 0.004)])
def test_half_precision_is_near(dtype, error, up, down, convolve, forms):
    x, kernel, styles = random(3, 8, 8, 6), random(3, 3, 6, 6, seed=1), random(3, 6, seed=2)
    want = by_equations(x, kernel, styles, up, down, True, convolve)
    with use_forms(forms):
        given = tf.cast(x, dtype), tf.constant(kernel, tf.float32), tf.constant(styles, tf.float32)
        got = modulated_conv(*given, fir_filter(), up, down, convolve=convolve)
    assert got.dtype == dtype
    assert relative_l2(got, want) < error


@FORMS
def test_float16_does_not_overflow_where_styles_and_kernels_are_large(forms):
    x, kernel, styles = random(2, 8, 8, 64), 3000 * random(3, 3, 64, 4, seed=1), 500 * random(2, 64, seed=2)
    with use_forms(forms):
        got = modulated_conv(tf.cast(x, tf.float16), tf.constant(kernel, tf.float32), tf.constant(styles, tf.float32))
    assert relative_l2(got, by_equations(x, kernel, styles, 1, 1, True, False)) < 0.004


@FORMS
def test_batches_of_unknown_size_and_compiled_functions(forms):
    x, kernel, styles = small_inputs(tf.float32)

    def run(x, styles):
        return modulated_conv(x, kernel, styles, fir_filter(), 2, convolve=True)

    with use_forms(forms):
        want = run(x, styles)
        unknown = tf.function(run, input_signature=[tf.TensorSpec([None, 4, 4, 3]), tf.TensorSpec([None, 3])])
        for function in (unknown, tf.function(run, jit_compile=True)):
            np.testing.assert_allclose(function(x, styles), want, rtol=1e-4, atol=1e-5)
