"""Filtered changes of resolution, convolutions and modulated ones, against their definitions as loops over pixels."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.ops.filtered import (
    fir_filter,
    modulated_conv,
    resampled_conv,
    small_kernel,
    small_styles,
    upfirdn2d,
    upsample2d,
)
from gan_tf.ops.forms import FAST, PLAIN, use_forms
from tests.ops import check_forms
from tests.parity.report import relative_l2

ASYMMETRIC = np.arange(1.0, 13.0).reshape(3, 4) / 30
LONG = np.array([0.1, -0.2, 0.5, 1.0, 0.7, 0.3, -0.1, 0.05])
CASES = [
    {"f": ASYMMETRIC},
    {"f": ASYMMETRIC, "flip": True, "pad": (1, 2, 3, 0)},
    {"f": ASYMMETRIC, "up": (2, 3), "down": (3, 1), "pad": (2, 1, 4, 3), "gain": 1.7},
    {"f": ASYMMETRIC, "up": 2, "pad": (3, 2)},
    {"f": ASYMMETRIC, "down": 2, "pad": (-1, 2, 0, -2)},
    {"f": ASYMMETRIC, "up": 2, "pad": (-1, 4, 5, -2)},
    {"f": fir_filter(), "up": 3, "down": 2, "pad": 4, "gain": 9},
    {"f": LONG, "up": 2, "down": 3, "pad": (5, 4, 3, 6), "gain": 2.5},
    {"f": LONG, "down": 2, "pad": 5},
    {"f": None, "up": 2, "pad": (0, -1, 0, -1)},
    {"f": None, "down": 2},
    {"f": None, "gain": 3.0},
]


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def by_loops(x, f, up=1, down=1, pad=0, gain=1.0, flip=False):
    """The definition: every output is the sum of the pixels under the filter."""
    f = np.ones((1, 1)) if f is None else f
    f = np.outer(f, f) if f.ndim == 1 else f
    f = f if flip else f[::-1, ::-1]
    up_x, up_y = np.broadcast_to(up, 2)
    down_x, down_y = np.broadcast_to(down, 2)
    left, right, top, bottom = np.repeat(pad, 4 // np.size(pad)) if np.size(pad) < 4 else pad
    n, height, width, c = x.shape
    margin = 20  # zeros around the map, of which the paddings are a part
    large = np.zeros((n, height * up_y + 2 * margin, width * up_x + 2 * margin, c))
    large[:, margin:-margin:up_y, margin:-margin:up_x] = x
    large = large[:, margin - top : bottom - margin, margin - left : right - margin]
    rows = (large.shape[1] - f.shape[0]) // down_y + 1
    columns = (large.shape[2] - f.shape[1]) // down_x + 1
    out = np.zeros((n, rows, columns, c))
    for row, column in itertools.product(range(rows), range(columns)):
        under = large[:, row * down_y :, column * down_x :][:, : f.shape[0], : f.shape[1]]
        out[:, row, column] = gain * np.einsum("nijc,ij->nc", under, f)
    return out


@pytest.mark.parametrize("channels", [2, 6])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_output_is_the_sum_under_the_filter(case, channels):
    x = random(1, 6, 5, channels)
    np.testing.assert_allclose(upfirdn2d(tf.constant(x), **case), by_loops(x, **case), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("channels", [2, 6])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("case", CASES[:9], ids=str)
def test_half_precision_is_near(case, dtype, channels):
    x = tf.cast(random(1, 6, 5, channels), dtype)
    got = upfirdn2d(x, **case)
    want = by_loops(tf.cast(x, tf.float64).numpy(), **case)
    assert got.dtype == x.dtype and got.shape == want.shape
    assert np.abs(tf.cast(got, tf.float64) - want).max() < (0.03 if dtype == "bfloat16" else 0.004) * np.abs(want).max()


@pytest.mark.parametrize("channels", [2, 6])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_gradient_is_the_transpose_and_has_a_gradient(case, channels):
    x = tf.constant(random(1, 6, 5, channels))

    @tf.function
    def run(x, v):
        with tf.GradientTape() as outer:
            outer.watch([x, v])
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = upfirdn2d(x, **case)
            back = inner.gradient(y, x, output_gradients=v)
            length = tf.reduce_sum(back**2)
        return y, back, outer.gradient(length, v)

    v = tf.constant(random(*upfirdn2d(x, **case).shape, seed=1))
    y, back, second = run(x, v)
    np.testing.assert_allclose(np.sum(y * v), np.sum(x * back), rtol=1e-9)
    np.testing.assert_allclose(second, upfirdn2d(2 * back, **case), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", CASES[:9], ids=str)
def test_batches_of_unknown_size_and_compiled_functions(case):
    x = tf.constant(random(2, 6, 5, 6), tf.float32)
    unknown = tf.function(lambda x: upfirdn2d(x, **case), input_signature=[tf.TensorSpec([None, 6, 5, 6])])
    compiled = tf.function(lambda x: upfirdn2d(x, **case), jit_compile=True)
    want = upfirdn2d(x, **case)
    assert unknown.get_concrete_function().output_shapes[1:] == want.shape[1:]
    for function in (unknown, compiled):
        np.testing.assert_allclose(function(x), want, rtol=1e-4, atol=1e-5)


def test_upsampling_weights_neighbours_by_three_to_one():
    x = np.array([4.0, 8.0, 16.0]).reshape(1, 1, 3, 1) * np.ones((1, 3, 1, 1))
    inside = upsample2d(tf.constant(x), fir_filter())[0, 2, :, 0]  # away from upper and lower edges
    np.testing.assert_allclose(inside, [3, 5, 7, 10, 14, 12])


def test_filters_sum_to_one():
    np.testing.assert_allclose(fir_filter()[0] * 64, [1, 3, 3, 1])
    assert fir_filter(range(1, 9)).shape == (8, 8) and abs(fir_filter(range(1, 9)).sum() - 1) < 1e-12


SQUARE = np.pad(ASYMMETRIC, ((0, 1), (0, 0)))  # 4 x 4, of different taps and a last row of zeros


def correlate(x, kernel, step):
    size = kernel.shape[0]
    rows, columns = ((side - size) // step + 1 for side in x.shape[1:3])
    out = np.zeros((len(x), rows, columns, kernel.shape[3]))
    for row, column in itertools.product(range(rows), range(columns)):
        seen = x[:, row * step : row * step + size, column * step : column * step + size]
        out[:, row, column] = np.einsum("nijc,ijco->no", seen, kernel)
    return out


def by_definition(x, kernel, f, up, down, convolve):
    """Inserts zeros, pads, filters, then correlates at every `down`-th position."""
    size, width = kernel.shape[0], 1 if f is None else len(f)
    pad = [size // 2] * 2
    if up > 1:
        pad = [pad[0] + (width + up - 1) // 2, pad[1] + (width - up) // 2]
    if down > 1:
        pad = [pad[0] + (width - down + 1) // 2, pad[1] + (width - down) // 2]
    x = by_loops(x, f if max(up, down) > 1 else None, up=up, pad=(*pad, *pad), gain=up**2)
    return correlate(x, kernel[::-1, ::-1] if convolve else kernel, down)


@pytest.mark.parametrize("convolve", [False, True])
@pytest.mark.parametrize("f", [None, SQUARE, fir_filter((1, 2, 1))], ids=["none", "asymmetric", "three"])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (3, 1), (1, 2)])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_resampled_conv_equals_its_definition(size, up, down, f, convolve):
    x, kernel = random(2, 6, 4, 5), random(size, size, 5, 2, seed=1)
    got = resampled_conv(tf.constant(x), tf.constant(kernel), f, up, down, convolve)
    want = by_definition(x, kernel, f, up, down, convolve)
    assert got.shape == (2, 6 * up // down, 4 * up // down, 2)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
def test_resampled_conv_computes_in_the_type_of_the_map(up, down):
    x, kernel = random(1, 8, 8, 6), random(3, 3, 6, 6, seed=1)
    want = by_definition(x, kernel, fir_filter(), up, down, False)
    for dtype, error in (("bfloat16", 0.02), ("float16", 0.003)):
        got = resampled_conv(tf.cast(x, dtype), tf.constant(kernel, tf.float32), fir_filter(), up, down)
        assert got.dtype == dtype and relative_l2(got, want) < error


FORMS = pytest.mark.parametrize("forms", [FAST, PLAIN], ids=["shared", "own"])
SHARED_SMALL = dataclasses.replace(PLAIN, shared_small_modulation=True)
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


@RESIZINGS
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize(("size", "forms"), [(1, FAST), (1, SHARED_SMALL), (3, FAST), (3, PLAIN)])
def test_modulated_conv_equals_its_equations(size, demodulate, up, down, convolve, forms):
    x, kernel, styles = random(3, 4, 6, 5), random(size, size, 5, 2, seed=1), random(3, 5, seed=2)
    with use_forms(forms):
        got = modulated_conv(*map(tf.constant, (x, kernel, styles)), fir_filter(), up, down, demodulate, None, convolve)
    np.testing.assert_allclose(got, by_equations(x, kernel, styles, up, down, demodulate, convolve), rtol=1e-9)


@FORMS
def test_gain_multiplies_the_modulated_convolution_and_noise_is_added_after_it(forms):
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
def test_both_forms_of_modulated_conv_have_the_same_derivatives(up, down, convolve, demodulate, small):
    def run(x, kernel, styles):
        if small:  # as float16 makes them; demodulation then weighs epsilon by another amount
            kernel, styles = small_kernel(kernel), small_styles(styles)
        return modulated_conv(x, kernel, styles, fir_filter(), up, down, demodulate, None, convolve)

    check_forms(run, random(3, 4, 4, 5), random(3, 3, 5, 2), random(3, 5))


@FORMS
@RESIZINGS
@pytest.mark.parametrize(("dtype", "error"), [("bfloat16", 0.02), ("float16", 0.004)])
def test_modulated_conv_in_half_precision_is_near(dtype, error, up, down, convolve, forms):
    x, kernel, styles = random(3, 8, 8, 6), random(3, 3, 6, 6, seed=1), random(3, 6, seed=2)
    want = by_equations(x, kernel, styles, up, down, True, convolve)
    with use_forms(forms):
        given = tf.cast(x, dtype), tf.constant(kernel, tf.float32), tf.constant(styles, tf.float32)
        got = modulated_conv(*given, fir_filter(), up, down, convolve=convolve)
    assert got.dtype == dtype and relative_l2(got, want) < error


@FORMS
def test_float16_does_not_overflow_where_styles_and_kernels_are_large(forms):
    x, kernel, styles = random(2, 8, 8, 64), 3000 * random(3, 3, 64, 4, seed=1), 500 * random(2, 64, seed=2)
    with use_forms(forms):
        got = modulated_conv(tf.cast(x, tf.float16), tf.constant(kernel, tf.float32), tf.constant(styles, tf.float32))
    assert relative_l2(got, by_equations(x, kernel, styles, 1, 1, True, False)) < 0.004


@FORMS
def test_modulated_conv_of_batches_of_unknown_size_and_compiled(forms):
    x, kernel, styles = small_inputs(tf.float32)

    def run(x, styles):
        return modulated_conv(x, kernel, styles, fir_filter(), 2, convolve=True)

    with use_forms(forms):
        want = run(x, styles)
        unknown = tf.function(run, input_signature=[tf.TensorSpec([None, 4, 4, 3]), tf.TensorSpec([None, 3])])
        for function in (unknown, tf.function(run, jit_compile=True)):
            np.testing.assert_allclose(function(x, styles), want, rtol=1e-4, atol=1e-5)
