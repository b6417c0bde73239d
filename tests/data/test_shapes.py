"""Images of other shapes and channels: decoding, smaller sizes, automatic settings, and back to the originals."""

import numpy as np
import pytest
from PIL import Image

from gan_tf.data.automatic import survey_shapes
from gan_tf.data.images import load_image, padded_box, undo_fit
from gan_tf.data.prepare import box_means, prepare, smaller_shapes
from gan_tf.data.sources import ArraySource
from gan_tf.io.image_files import as_rgb, to_uint8
from gan_tf.ops.pixels import float_rgb, from_uint8, minus_one_where_transparent, zero_where_transparent
from tests.data.encoded import encode

WHITE = (255, 255, 255)


def gradient(height, width):
    """uint8 [height, width, 3]: red grows to the right, green down."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), 0 * x], axis=2).astype(np.uint8)


def test_each_fit_to_a_wide_shape():
    image = gradient(60, 60)
    cropped, padded, stretched = (load_image(image, (20, 30), fit, WHITE)[0] for fit in ("crop", "pad", "stretch"))
    assert cropped.shape == padded.shape == stretched.shape == (20, 30, 3)
    assert cropped[0, 0, 1] > 35 and cropped[-1, 0, 1] < 220 and cropped[0, 0, 0] < 12  # rows are cut off, columns not
    assert (padded[:, :5] == 255).all() and (padded[:, 25:] == 255).all() and padded[0, 6, 0] < 20
    assert stretched[0, 0].max() < 12 and stretched[-1, -1, :2].min() > 243


@pytest.mark.parametrize("fit", ["pad", "stretch"])
@pytest.mark.parametrize("size", [(90, 60), (40, 70)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_undoing_a_fit_gives_the_original(fit, size, channels):
    colours, opaque = gradient(size[1], size[0]), np.full((size[1], size[0], 1), 255, np.uint8)
    name = {1: "grey", 3: "rgb", 4: "rgba"}[channels]
    original = {1: np.repeat(colours[..., :1], 3, axis=2), 3: colours, 4: np.dstack([colours, opaque])}[channels]
    fitted = load_image(original, (64, 64), fit, WHITE, channels=name)[0]
    again = undo_fit(fitted, fit, size)
    assert again.shape == (size[1], size[0], channels)
    inner = (slice(3, -3), slice(3, -3))
    np.testing.assert_allclose(again[inner].astype(int), original[inner][..., :channels].astype(int), atol=6)


def test_a_padded_box_is_centred():
    assert padded_box((100, 50), (64, 64)) == (0, 16, 64, 48)
    assert padded_box((50, 100), (64, 96)) == (32, 0, 64, 64)


def test_transparent_pixels_do_not_bleed_into_edges():
    """The colours under transparent pixels are magenta: none of it may be seen after resizing."""
    image = np.full((32, 32, 4), (0, 200, 0, 255), np.uint8)
    image[:, 13:] = (255, 0, 255, 0)
    small = load_image(image, (8, 8), "crop", WHITE, channels="rgba")[0]
    assert {0, 255} < set(small[..., 3].ravel().tolist())
    visible = small[small[..., 3] > 8]
    assert visible[:, 0].max() < 30 and visible[:, 1].min() > 170


def test_padding_of_rgba_is_transparent():
    padded = load_image(np.full((10, 20, 4), 255, np.uint8), (16, 16), "pad", WHITE, channels="rgba")[0]
    assert (padded[:4, :, 3] == 0).all() and (padded[5:11, :, 3] == 255).all()


def test_grey_is_the_luma():
    image = Image.new("RGB", (8, 8), (255, 0, 0))
    assert load_image(encode(image), (4, 4), "crop", WHITE, channels="grey")[0].tolist() == [[[76]] * 4] * 4


def test_grey_images_of_16_bits_keep_their_range():
    values = np.full((8, 8), 4095, np.uint16)
    values[4:] = 819
    image = encode(Image.fromarray(values))
    for bits, want in ((12, [255, 51]), (16, [16, 3])):
        pixels = load_image(image, (8, 8), "crop", WHITE, bits, "grey")[0]
        assert pixels[[0, -1], 0, 0].tolist() == want


def test_smaller_sizes_of_other_shapes():
    assert smaller_shapes((64, 96, 4)) == [(32, 48, 4), (16, 24, 4), (8, 12, 4), (4, 6, 4), (2, 3, 4)]
    assert smaller_shapes((48, 80, 1)) == [(24, 40, 1), (12, 20, 1), (6, 10, 1), (3, 5, 1)]
    assert smaller_shapes((32, 32, 3)) == [(16, 16, 3), (8, 8, 3), (4, 4, 3)]
    assert smaller_shapes((24, 24, 3))[-1] == (3, 3, 3)
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 1), np.uint8)
    wide = prepare(ArraySource("wide", images), size=(16, 24), channels="grey").at(4)
    want = np.rint(images.reshape(3, 4, 4, 6, 4, 1).mean(axis=(2, 4)))
    np.testing.assert_array_equal(wide.images, want)


def test_smaller_sizes_of_rgba_weight_colours_by_alpha(tmp_path):
    image = np.zeros((1, 8, 8, 4), np.uint8)
    image[:, ::2] = (200, 100, 50, 255)
    image[:, 1::2] = (0, 255, 255, 0)
    [small, smaller] = box_means(image, [4, 2])
    for means in (small, smaller):
        assert (means == (200, 100, 50, 128)).all()  # alpha 127.5, rounded to even
    assert (box_means(0 * image, [4])[0] == 0).all()
    assert (box_means(0 * image + 255, [2])[0] == 255).all()
    source = ArraySource("set", np.random.default_rng(0).integers(0, 256, (5, 16, 16, 4), np.uint8))
    options = {"size": (16, 16), "channels": "rgba", "cache_dir": tmp_path, "log": lambda line: None}
    mapped, memory = prepare(source, memory_gb=0, **options), prepare(source, **options)
    assert mapped.mapped and mapped.shape == memory.shape == (16, 16, 4)
    np.testing.assert_array_equal(mapped.at(8).images, memory.at(8).images)


def test_uint8_and_floats_with_premultiplied_alpha_are_inverse():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 50, 4), np.uint8)
    again = to_uint8(from_uint8(pixels)).astype(int)
    np.testing.assert_array_equal(again[..., 3], pixels[..., 3])
    error = np.abs(again[..., :3] - pixels[..., :3].astype(int)).max(axis=2)
    assert error[pixels[..., 3] > 0].max() <= 1 and (again[pixels[..., 3] == 0] == 0).all()
    images = from_uint8(pixels)
    np.testing.assert_allclose(minus_one_where_transparent(zero_where_transparent(images)), images, atol=1e-6)
    np.testing.assert_allclose(float_rgb(images), as_rgb(pixels, (127.5,) * 3) / 127.5 - 1, atol=0.005)


@pytest.mark.parametrize(
    ("modes", "channels"),
    [(("L", "RGB grey"), "grey"), (("L", "RGB"), "rgb"), (("L", "RGBA"), "rgba"), (("RGB", "RGBA opaque"), "rgb")],
)
def test_automatic_channels(modes, channels):
    colours = {"L": [9], "RGB grey": [9, 9, 9], "RGB": [9, 8, 7], "RGBA": [1, 2, 3, 254], "RGBA opaque": [1, 2, 3, 255]}
    images = [np.full((10, 15, len(colours[mode])), colours[mode], np.uint8) for mode in modes]
    found = survey_shapes(ArraySource("set", images))
    assert (found.channels, found.count, found.aspect) == (channels, 2, 1.5)
