"""One picture of every kind that people have, to the square that training sees."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from gan_tf.data import images
from gan_tf.data.images import UnreadableImage, load_square, parse_colour
from gan_tf.errors import UsageError

WHITE = (255, 255, 255)


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def square(data, resolution=4, fit="crop", colour=WHITE):
    return load_square(data, resolution, fit, colour)[0]


def solid(colour, size=(4, 4), mode="RGB"):
    return Image.new(mode, size, colour)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "MPO"])
def test_every_format_keeps_its_colour(kind):
    got, header = load_square(encode(solid((200, 40, 90), (9, 7)), kind), 4, "crop", WHITE)
    assert got.shape == (4, 4, 3) and got.dtype == np.uint8
    np.testing.assert_allclose(got, np.broadcast_to([200, 40, 90], got.shape), atol=4)
    assert (header.width, header.height) == (9, 7)


def test_an_image_of_the_target_size_passes_untouched():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(square(encode(Image.fromarray(pixels)), 8), pixels)
    np.testing.assert_array_equal(square(pixels, 8), pixels)


def test_arrays_may_be_grey_or_have_alpha():
    grey = np.full((4, 4, 1), 77, np.uint8)
    np.testing.assert_array_equal(square(grey), np.full((4, 4, 3), 77))
    np.testing.assert_array_equal(square(grey[:, :, 0]), np.full((4, 4, 3), 77))
    clear = np.zeros((4, 4, 4), np.uint8)
    np.testing.assert_array_equal(square(clear, colour=(1, 2, 3)), np.broadcast_to([1, 2, 3], (4, 4, 3)))
    with pytest.raises(UnreadableImage, match="float32"):
        square(np.zeros((4, 4, 3), np.float32))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = Image.fromarray(np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3) * 5)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that make the stored picture
    stored = upright if orientation == 1 else upright.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(square(encode(stored, exif=exif)), np.asarray(upright))


def test_header_gives_the_upright_size():
    exif = Image.Exif()
    exif[0x0112] = 6
    header = load_square(encode(solid("red", (10, 6)), "JPEG", exif=exif), 4, "crop", WHITE)[1]
    assert (header.width, header.height, header.mode) == (6, 10, "RGB")


def test_grey_palette_and_bilevel_become_rgb():
    np.testing.assert_array_equal(square(encode(solid(90, mode="L"))), np.full((4, 4, 3), 90))
    np.testing.assert_array_equal(square(encode(solid(1, mode="1"))), np.full((4, 4, 3), 255))
    palette = solid((10, 200, 30)).quantize(4)
    np.testing.assert_allclose(square(encode(palette)), np.broadcast_to([10, 200, 30], (4, 4, 3)), atol=1)


def test_transparency_shows_the_background():
    half = solid((200, 0, 0, 128), mode="RGBA")
    want = np.broadcast_to([round(200 * 128 / 255), 0, round(255 * 127 / 255)], (4, 4, 3))
    np.testing.assert_allclose(square(encode(half), colour=(0, 0, 255)), want, atol=1)
    np.testing.assert_array_equal(square(encode(solid((50, 0), mode="LA"))), np.full((4, 4, 3), 255))
    clear_palette = Image.new("P", (4, 4), 0)
    clear_palette.putpalette([9, 9, 9, 250, 0, 0])
    data = encode(clear_palette, transparency=0)
    np.testing.assert_array_equal(square(data, colour=(7, 8, 9)), np.broadcast_to([7, 8, 9], (4, 4, 3)))


def test_hidden_colours_do_not_bleed_when_shrunk():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4] = (0, 0, 0, 255)
    pixels[:, 4:] = (0, 255, 0, 0)  # transparent green
    got = square(pixels, 4).astype(int)
    assert np.abs(got[..., 1] - got[..., 0]).max() <= 1  # black to white, nothing green


def test_sixteen_bit_grey_is_scaled():
    values = np.array([[0, 128, 129, 32896], [65535, 65407, 65406, 257]] * 2, np.uint16)
    want = [[0, 0, 1, 128], [255, 255, 254, 1]] * 2  # round(v / 257)
    np.testing.assert_array_equal(square(encode(Image.fromarray(values)))[..., 0], want)
    np.testing.assert_array_equal(square(encode(Image.fromarray(values), "TIFF"))[..., 2], want)


def test_sixteen_bit_colour_is_scaled():
    rows = b"".join(b"\0" + struct.pack(">3H", 65535, 32896, 0) * 4 for _ in range(4))
    got = square(png(width=4, height=4, depth=16, colour_type=2, rows=rows))
    np.testing.assert_array_equal(got, np.broadcast_to([255, 128, 0], (4, 4, 3)))


def test_cmyk_is_converted():
    got = square(encode(solid((0, 255, 255, 0), (16, 16), "CMYK"), "JPEG"))
    np.testing.assert_allclose(got, np.broadcast_to([255, 0, 0], (4, 4, 3)), atol=3)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_a_range_are_refused(mode):
    with pytest.raises(UnreadableImage, match="no stated range"):
        square(encode(solid(100_000, mode=mode), "TIFF"))


def test_animations_give_their_first_frame():
    frames = [solid("red"), solid("blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
        np.testing.assert_allclose(square(data), np.broadcast_to([255, 0, 0], (4, 4, 3)), atol=4)


def test_crop_takes_the_centre_and_nothing_beyond_it():
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 255
    np.testing.assert_array_equal(square(pixels, 4), np.full((4, 4, 3), 255))
    np.testing.assert_array_equal(square(pixels.swapaxes(0, 1), 4), np.full((4, 4, 3), 255))


def test_pad_centres_on_the_background():
    got = square(np.full((4, 8, 3), 100, np.uint8), 8, "pad", (1, 2, 3))
    np.testing.assert_array_equal(got[2:6], np.full((4, 8, 3), 100))
    np.testing.assert_array_equal(got[[0, 1, 6, 7]], np.broadcast_to([1, 2, 3], (4, 8, 3)))


def test_stretch_keeps_everything():
    pixels = np.zeros((4, 16, 3), np.uint8)
    pixels[:, 8:] = 255
    got = square(pixels, 4, "stretch")[..., 0].astype(int)
    assert (got[:, 0] <= 12).all() and (got[:, -1] >= 243).all() and got.shape == (4, 4)


def test_resizing_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255  # the finest pattern there is: its average is grey, sampling it would give black or white
    np.testing.assert_allclose(square(stripes, 8)[1:-1, 1:-1], 127.5, atol=2)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"no picture at all", "not a picture"),
        (encode(solid("red", (64, 64)), "JPEG")[:300], "."),
        (encode(solid("red", (64, 64)))[:100], "."),
    ],
)
def test_damaged_files_are_unreadable_with_a_reason_of_one_line(data, reason):
    with pytest.raises(UnreadableImage, match=reason) as caught:
        square(data)
    assert "\n" not in str(caught.value) and "0x" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # pytest resets the module's own filter
def test_huge_images_are_refused_before_they_are_decoded():
    for side in (10_001, 50_000):  # the second is beyond Pillow's own limit as well
        with pytest.raises(UnreadableImage, match="100 megapixels"):
            square(png(side, side, 8, 2, b""))
    assert images.MAX_PIXELS == 100_000_000


def test_colours():
    assert parse_colour("white") == WHITE
    assert parse_colour("#010203") == (1, 2, 3)
    with pytest.raises(UsageError, match="whitish"):
        parse_colour("whitish")


def png(width, height, depth, colour_type, rows):
    """A PNG file from raw rows, for what Pillow cannot write."""
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">2I5B", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
