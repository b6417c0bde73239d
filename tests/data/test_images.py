"""Decoding of single images: formats, modes, orientation, fitting, damage."""

import json
import os
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from gan_tf.data import images
from gan_tf.data.colour import parse_colour
from gan_tf.data.images import FORMATS, OPTIONAL, UnreadableImage, load_image
from tests.data.encoded import encode, png_chunk, write

WHITE = (255, 255, 255)


def square(data, resolution=4, fit="crop", colour=WHITE):
    return load_image(data, (resolution, resolution), fit, colour)[0]


def solid(colour, size=(4, 4), mode="RGB"):
    return Image.new(mode, size, colour)


def flat(colour, size=(4, 4)):
    return np.broadcast_to(np.uint8(colour), (*size, 3))


def png(width, height, depth, colour_type, rows, *chunks):
    """Returns a PNG file made from raw rows, for formats that Pillow does not write."""
    header = struct.pack(">2I5B", width, height, depth, colour_type, 0, 0, 0)
    chunks = (png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def palette(transparency):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([9, 9, 9, 250, 0, 0])
    return encode(image, transparency=transparency)


@pytest.mark.parametrize("kind", [*FORMATS, "MPO"])
def test_formats(kind):
    image, original = load_image(encode(solid((200, 40, 90), (9, 7)), kind), (4, 4), "crop", WHITE)
    assert image.shape == (4, 4, 3) and image.dtype == np.uint8
    np.testing.assert_allclose(image, flat((200, 40, 90)), atol=4)
    assert original.size == (9, 7)


def test_an_image_of_the_target_size_is_unchanged():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(square(encode(Image.fromarray(pixels)), 8), pixels)
    np.testing.assert_array_equal(square(pixels, 8), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = Image.fromarray(np.arange(4 * 5 * 3, dtype=np.uint8).reshape(5, 4, 3) * 4)
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that make the stored image
    stored = upright if orientation == 1 else upright.transpose(inverse[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, image = load_image(encode(stored, exif=exif), (4, 4), "crop", WHITE)
    np.testing.assert_array_equal(pixels, square(np.asarray(upright)))
    assert (image.size, image.mode) == ((4, 5), "RGB")  # the upright size is reported


MODES = {  # (data, colour, tolerance); transparent parts show the background, here (7, 8, 255)
    "grey": (encode(solid(90, mode="L")), 90, 0),
    "bilevel": (encode(solid(1, mode="1")), 255, 0),
    "palette": (encode(solid((10, 200, 30)).quantize(4)), (10, 200, 30), 1),
    "CMYK": (encode(solid((0, 255, 255, 0), (16, 16), "CMYK"), "JPEG"), (255, 0, 0), 3),  # inverted, as Adobe does
    "YCbCr": (encode(solid((76, 85, 255), (16, 16), "YCbCr"), "TIFF"), (255, 0, 0), 2),
    "16-bit": (png(4, 4, 16, 2, (b"\0" + struct.pack(">3H", 65535, 32896, 0) * 4) * 4), (255, 128, 0), 0),
    "array": (np.full((4, 4, 1), 77, np.uint8), 77, 0),
    "matrix": (np.full((4, 4), 77, np.uint8), 77, 0),
    "alpha": (np.zeros((4, 4, 4), np.uint8), (7, 8, 255), 0),
    "LA": (encode(solid((50, 0), mode="LA")), (7, 8, 255), 0),
    "RGBA": (encode(solid((200, 0, 0, 128), mode="RGBA")), (104, 4, 127), 1),
    "clear palette": (palette(transparency=0), (7, 8, 255), 0),
    "alphas": (palette(transparency=b"\x80\xff"), (8, 8, 132), 1),
}


@pytest.mark.parametrize(("data", "colour", "tolerance"), MODES.values(), ids=MODES)
def test_modes_become_rgb(data, colour, tolerance):
    np.testing.assert_allclose(square(data, colour=(7, 8, 255)), flat(colour), atol=tolerance)


def test_hidden_colours_do_not_bleed_when_reduced():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4] = (0, 0, 0, 255)
    pixels[:, 4:] = (0, 255, 0, 0)  # transparent green
    result = square(pixels, 4).astype(int)
    assert np.abs(result[..., 1] - result[..., 0]).max() <= 1  # black to white, nothing green


def test_sixteen_bit_grey_is_scaled():
    values = np.array([[0, 128, 129, 32896], [65535, 65407, 65406, 257]] * 2, np.uint16)
    expected = [[0, 0, 1, 128], [255, 255, 254, 1]] * 2  # round(v / 257)
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(square(encode(Image.fromarray(values), kind))[..., 0], expected)


def wide(colour_type, values, *chunks):
    """Returns a 16-bit PNG file of uint16 [H, W, C]."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(values.shape[1], len(values), 16, colour_type, rows, *chunks)


def wide_tiff(values, photometric, order):
    """Returns a 16-bit TIFF file of uint16 [H, W, C]; `order` of bytes is "<" or ">"."""
    height, width, channels = values.shape
    tags = {256: width, 257: height, 258: 16 if channels == 1 else 126, 259: 1, 262: photometric, 273: 132}
    tags |= {277: channels, 278: height, 279: values.nbytes}
    entries = b""
    for tag, value in tags.items():
        several = tag == 258 and channels > 1  # then at an offset
        entries += struct.pack(order + "HHI", tag, 3, channels if several else 1)
        entries += struct.pack(order + ("I" if several else "Hxx"), value)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 9)
    return start + entries + bytes(8) + struct.pack(order + "3H", 16, 16, 16) + values.astype(order + "u2").tobytes()


LEVELS = np.repeat(np.uint16([0, 1, 100, 2048, 4095])[:, None, None], 5, 1)  # of 12 bits
EXPECTED = LEVELS * np.ones(3) / 4095 * 255


@pytest.mark.parametrize("opaque", [4095, 65535])  # alpha uses the same bits, or all
@pytest.mark.parametrize(("colour_type", "colours"), [(0, 1), (2, 3), (4, 1), (6, 3)])
def test_unused_bits(colour_type, colours, opaque):
    values = LEVELS.repeat(colours, 2)
    if colour_type >= 4:
        values = np.append(values, np.full_like(LEVELS, opaque), 2)
    for data in [wide(colour_type, values)] + [wide_tiff(values, 2, order) for order in "<>" if colour_type == 2]:
        pixels, facts = load_image(data, (5, 5), "crop", WHITE, 12)
        np.testing.assert_allclose(pixels, EXPECTED, atol=0.5)
        assert facts.bits == 12
        np.testing.assert_allclose(square(data, 5, colour=(0, 0, 0)), EXPECTED / 16, atol=1 if opaque == 65535 else 16)


def test_sixteen_bit_images_with_a_transparent_colour():
    values = np.repeat(np.uint16([4096, 4097, 40000])[:, None, None], 3, 1)  # the first two are equal in 8 bits
    for colour_type, channels, chunk in ((0, 1, struct.pack(">H", 4097)), (2, 3, struct.pack(">3H", *[4097] * 3))):
        pixels = square(wide(colour_type, values.repeat(channels, 2), png_chunk(b"tRNS", chunk)), 3, colour=(7, 8, 255))
        np.testing.assert_allclose(pixels[:, 0], [[16] * 3, [7, 8, 255], [156] * 3], atol=0.5)


def test_sixteen_bit_tiff_in_which_zero_is_white():
    np.testing.assert_allclose(square(wide_tiff(LEVELS * 16, 0, "<"), 5), 255 - EXPECTED, atol=0.6)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_give_their_first_frame(kind):
    data = encode(solid("red"), kind, save_all=True, append_images=[solid("blue")])
    np.testing.assert_allclose(square(data), flat((255, 0, 0)), atol=4)


def test_crop_reads_only_the_centre():
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 255
    np.testing.assert_array_equal(square(pixels, 4), flat(255))
    np.testing.assert_array_equal(square(pixels.swapaxes(0, 1), 4), flat(255))


def test_pad_centres_on_the_background():
    result = square(np.full((4, 8, 3), 100, np.uint8), 8, "pad", (1, 2, 3))
    np.testing.assert_array_equal(result[2:6], flat(100, (4, 8)))
    np.testing.assert_array_equal(result[[0, 1, 6, 7]], flat((1, 2, 3), (4, 8)))


def test_stretch_keeps_everything():
    pixels = np.zeros((4, 16, 3), np.uint8)
    pixels[:, 8:] = 255
    result = square(pixels, 4, "stretch")[..., 0].astype(int)
    assert (result[:, 0] <= 12).all() and (result[:, -1] >= 243).all() and result.shape == (4, 4)


def test_resizing_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255  # the finest pattern: its mean is grey, sampling it would give black or white
    np.testing.assert_allclose(square(stripes, 8)[1:-1, 1:-1], 127.5, atol=2)


UNREADABLE = {
    "empty": (b"", "empty"),
    "text": (b"not an image", "not an image"),
    "JPEG": (encode(solid("red", (64, 64)), "JPEG")[:300], "(?i)truncated"),
    "PNG": (encode(solid("red", (64, 64)))[:100], "(?i)truncated"),
    "float": (encode(solid(100_000, mode="F"), "TIFF"), "range"),
    "32-bit": (encode(solid(100_000, mode="I"), "TIFF"), "range"),
    "large": (png(10_001, 10_001, 8, 2, b""), "100 megapixels"),
    "huge": (png(50_000, 50_000, 8, 2, b""), "100 megapixels"),  # above Pillow's own limit too
    "float array": (np.zeros((4, 4, 3), np.float32), "float32"),
    "NCHW": (np.zeros((3, 6, 6), np.uint8), r"give image.transpose\(1, 2, 0\)"),
    "no pixels": (np.zeros((0, 4, 3), np.uint8), "no pixels"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # pytest resets the module's own filter
@pytest.mark.parametrize(("data", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_images_have_a_reason_of_one_line(data, reason):
    with pytest.raises(UnreadableImage, match=reason) as caught:
        square(data)
    assert "\n" not in str(caught.value) and "0x" not in str(caught.value)


@pytest.mark.parametrize(("name", "brand"), [("AVIF", b"avif"), ("HEIF", b"heic"), ("HEIF", b"mif1")])
def test_formats_of_other_packages_are_refused_with_the_package(monkeypatch, name, brand):
    monkeypatch.setattr(images, "FORMATS", [kind for kind in FORMATS if kind != name])
    with pytest.raises(UnreadableImage, match=re.escape(OPTIONAL[name][1])):
        square(bytes([0, 0, 0, 24]) + b"ftyp" + brand + bytes(12))


def test_heic_is_read_with_the_package_for_it(tmp_path):
    """A stand-in for pillow-heif registers a decoder of images of 8x8 pixels, as the real one does of HEIC."""
    (tmp_path / "pillow_heif.py").write_text("""if True:
        from PIL import Image, ImageFile
        class Heif(ImageFile.ImageFile):
            format = "HEIF"
            def _open(self):
                tile = ImageFile._Tile("raw", (0, 0, 8, 8), 24, ("RGB", 0, 1))
                self._size, self._mode, self.tile = (8, 8), "RGB", [tile]
        def register_heif_opener():
            Image.register_open("HEIF", Heif, lambda head: head[4:12] == b"ftypheic")
    """)
    write(tmp_path / "set", {"a.heic": bytes([0, 0, 0, 24]) + b"ftypheic" + bytes(12) + bytes([250, 20, 30]) * 64})
    program = [sys.executable, "-m", "gan_tf.cli.main", "inspect", str(tmp_path / "set"), "--resolution", "8", "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    output = subprocess.run(program, env=environment, check=True, capture_output=True, text=True).stdout
    report = json.loads(output)
    assert (report["count"], report["modes"], report["unreadable"]) == (1, {"RGB": 1}, {})


def test_colours():
    assert (parse_colour("white"), parse_colour("#010203")) == (WHITE, (1, 2, 3))
