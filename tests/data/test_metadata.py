"""Metadata: it is used for the pixels, and if it cannot be read, the image is not lost."""

import io
import itertools
import struct
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms

from gan_tf.data import colour
from gan_tf.data.images import UnreadableImage, read_image
from gan_tf.errors import UsageError
from tests.data.encoded import encode, icc, png_chunk, rgb_icc, smooth

IMAGE = smooth(0, (40, 60))
EXIF = Image.Exif()
EXIF[0x0112] = 9
ODD = EXIF.tobytes()
EXIF[0x0112] = 1
BOMB = zlib.compress(bytes(100_000_000))  # 100 KB
D50 = {"red": (0.4361, 0.2225, 0.0139), "green": (0.3851, 0.7169, 0.0971), "blue": (0.1431, 0.0606, 0.7141)}  # of sRGB
EXCHANGED = rgb_icc(D50["blue"], D50["green"], D50["red"], 2.2)
# From its specification.
ADOBE = rgb_icc((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457), 563 / 256)
LINEAR = icc(b"GRAY", {b"kTRC": b"curv" + bytes(8)})
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PNG, JPEG = encode(IMAGE), encode(IMAGE, "JPEG")
WEBP = encode(IMAGE, "WEBP", lossless=True, exif=EXIF.tobytes())


def png(*chunks, at=33):
    """Returns a PNG file with chunks after the header, or `at=-12` before the end."""
    return PNG[:at] + b"".join(chunks) + PNG[at:]


def jpeg(marker, body):
    """Returns a JPEG file that begins with a segment."""
    return JPEG[:2] + struct.pack(">BBH", 255, marker, len(body) + 2) + body + JPEG[2:]


def tiff(tag, kind, count, value, **options):
    """Returns a TIFF file with another tag."""
    data = encode(IMAGE, "TIFF", **options)
    [start] = struct.unpack_from("<I", data, 4)
    [entries] = struct.unpack_from("<H", data, start)
    tags = [data[at : at + 12] for at in range(start + 2, start + 2 + 12 * entries, 12)]
    tags = sorted([*tags, struct.pack("<HHII", tag, kind, count, value)], key=lambda entry: entry[1::-1])
    return (
        data[:4] + struct.pack("<I", len(data)) + data[8:] + struct.pack("<H", entries + 1) + b"".join(tags) + bytes(4)
    )


UNUSABLE = {
    "large text": png(png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2_000_000)))),
    "text bomb": png(png_chunk(b"zTXt", b"k\0\0" + BOMB)),
    "text bomb behind": png(png_chunk(b"iTXt", b"k\0\1\0\0\0" + BOMB), at=-12),
    "many texts": png(*[png_chunk(b"tEXt", b"k\0" + bytes(1_000_000))] * 70),
    "text method": png(png_chunk(b"zTXt", b"k\0\5")),
    "cut text": png(png_chunk(b"tEXt", b"k\0" + bytes(1000)), at=-12)[:-600],
    "PNG checksum": png(png_chunk(b"tEXt", b"k\0v", 1)),
    "PNG profile bomb": png(png_chunk(b"iCCP", b"p\0\0" + BOMB)),
    "PNG profile method": png(png_chunk(b"iCCP", b"p\0\7")),
    "PNG profile zlib": png(png_chunk(b"iCCP", b"p\0\0x")),
    "PNG EXIF": png(png_chunk(b"eXIf", b"no TIFF header")),
    "PNG EXIF as text": png(png_chunk(b"tEXt", b"Raw profile type exif\0\n\n\nzz")),
    "PNG gamma": png(png_chunk(b"gAMA", b"1")),
    "animation": png(png_chunk(b"acTL", b"1")),
    "frame": png(png_chunk(b"acTL", struct.pack(">2I", 2, 0)), png_chunk(b"fcTL", bytes(26))),
    "JPEG EXIF": encode(IMAGE, "JPEG", exif=b"Exif\0\0no TIFF header", dpi=(72, 72)),
    "JPEG EXIF alone": jpeg(0xE1, b"Exif\0\0no TIFF header"),
    "JFIF": jpeg(0xE0, b"JFIF\0"),
    "JPEG profile": jpeg(0xE2, b"ICC_PROFILE\0\1\1" + bytes(200)),
    "JPEG profile header": jpeg(0xE2, b"ICC_PROFILE\0"),
    "JPEG profile in parts": jpeg(0xE2, b"ICC_PROFILE\0\1\2" + SRGB),
    "profile of others": encode(IMAGE, "PNG", icc_profile=LINEAR),
    "Adobe": jpeg(0xEE, b"Adobe"),
    "orientation 9": encode(IMAGE, "JPEG", exif=ODD),
    "WebP EXIF": encode(IMAGE, "WEBP", lossless=True, exif=b"no TIFF header"),
    "cut WebP": WEBP[:-20],
    "TIFF profile": tiff(34675, 7, 200, 8, compression="tiff_lzw"),
}
HARMLESS = {  # Pillow skips these
    "XMP": jpeg(0xE1, b"http://ns.adobe.com/xap/1.0/\0<"),
    "MPO index": jpeg(0xE2, b"MPF\0II*\0" + bytes(4)),
    "Photoshop": jpeg(0xED, b"Photoshop 3.0\0" + b"8BIM\x03\xed\0\0\0\0\0\4abcd"),
    "TIFF EXIF": tiff(34665, 4, 1, 10**8),
}


@pytest.mark.parametrize("name", [*UNUSABLE, *HARMLESS])
def test_metadata_that_cannot_be_read_do_not_lose_the_pixels(name):
    data = {**UNUSABLE, **HARMLESS}[name]
    tracemalloc.start()
    image, facts = read_image(data, (0, 0, 0))
    assert tracemalloc.get_traced_memory()[1] < 90e6  # Pillow's own limit for all texts is 64 MiB
    tracemalloc.stop()
    expected = Image.open(io.BytesIO(JPEG)) if data[:2] == JPEG[:2] else IMAGE
    np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))
    assert facts.without_metadata == (name in UNUSABLE) and not facts.converted


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_damaged_pixels_are_refused_whatever_the_metadata(form):
    options = {"compression": "tiff_lzw"} if form == "TIFF" else {"lossless": True} if form == "WEBP" else {}
    data = encode(IMAGE, form, exif=EXIF.tobytes(), icc_profile=SRGB, **options)
    with pytest.raises(UnreadableImage):
        read_image(data[: len(data) - (700 if form in ("PNG", "JPEG", "AVIF") else 2000)], (0, 0, 0))


def test_orientation_and_profile_are_used_where_other_metadata_cannot_be_read():
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif.tobytes(), "icc_profile": EXCHANGED}
    large, short = png_chunk(b"zTXt", b"k\0\0" + BOMB), b"\xff\xee\0\7Adobe"
    image = Image.new("RGB", (6, 4), "red")
    for data, part, at in (
        (encode(image, **options), large, 33),
        (encode(image, icc_profile=EXCHANGED + bytes(2_000_000), exif=exif.tobytes()), b"", 33),
        (encode(image, "JPEG", **options), short, 2),
        (encode(image, "TIFF", **options), b"", 0),
        (encode(image, "WEBP", lossless=True, **options), b"", 0),
    ):
        pixels, facts = read_image(data[:at] + part + data[at:], (0, 0, 0))
        assert pixels.size == (4, 6) and facts.without_metadata == (at > 0)
        np.testing.assert_allclose(np.asarray(pixels)[2, 2], (0, 0, 255), atol=2)


def solid(mode, value):
    return Image.new(mode, (8, 8), value)


def cmyk_icc():
    """Returns a CMYK profile that shows cyan as red, black as black and everything else as white, in CIELAB."""
    white, red, black = (255, 128, 128), (138, 209, 198), (0, 128, 128)
    corners = itertools.product((0, 1), repeat=4)
    cells = [black if k else red if c and not (m or y) else white for c, m, y, k in corners]
    identity, matrix = bytes(range(256)), struct.pack(">9i", *[65536, 0, 0, 0] * 2, 65536)
    table = b"mft1" + bytes([0, 0, 0, 0, 4, 3, 2, 0]) + matrix + identity * 4 + bytes(sum(cells, ())) + identity * 3
    return icc(b"CMYK", {b"A2B0": table})


def lab(colour):
    """Returns a CIELAB image of an sRGB colour."""
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(solid("RGB", colour), *profiles, outputMode="LAB")


@pytest.mark.parametrize(
    ("image", "profile", "expected"),
    [
        (lab((200, 100, 50)), None, (200, 100, 50)),
        (solid("RGB", (200, 100, 50)), ADOBE, (227, 100, 42)),
        (solid("RGB", (200, 100, 50)).quantize(2), ADOBE, (227, 100, 42)),
        (solid("RGBA", (200, 100, 50, 0)), ADOBE, (7, 8, 255)),
        (solid("RGBA", (255, 0, 0, 128)), EXCHANGED, (3, 4, 255)),
        (solid("RGB", (255, 0, 0)), EXCHANGED, (0, 0, 255)),
        (solid("L", 100), EXCHANGED, (100, 100, 100)),
        (solid("L", 55), LINEAR, (128, 128, 128)),
        (solid("LA", (55, 255)), LINEAR, (128, 128, 128)),
        (Image.fromarray(np.full((8, 8), 55 * 257, np.uint16)), LINEAR, (128, 128, 128)),
        (solid("CMYK", (255, 0, 0, 0)), cmyk_icc(), (255, 0, 0)),
        (solid("CMYK", (0, 0, 0, 255)), cmyk_icc(), (0, 0, 0)),
    ],
)
def test_colours_are_converted_to_srgb(image, profile, expected):
    """Known answers; those of Adobe RGB follow from its specification."""
    forms = {"PNG": {}, "TIFF": {}, "JPEG": {"quality": 100}, "WEBP": {"lossless": True}, "AVIF": {"quality": 100}}
    modes = {"JPEG": "RGB L CMYK", "PNG": "RGB RGBA P L LA I;16", "TIFF": "RGB CMYK L LAB"}
    for form, options in forms.items():
        if image.mode in modes.get(form, "RGB RGBA").split():
            pixels, facts = read_image(encode(image, form, icc_profile=profile, **options), (7, 8, 255))
            np.testing.assert_allclose(pixels.getpixel((4, 4)), expected, atol=3, err_msg=form)
            assert facts.converted


@pytest.mark.parametrize("profile", [SRGB, rgb_icc(*D50.values(), 2.2)], ids=["sRGB", "gamma 2.2"])
def test_pixels_with_an_srgb_profile_stay_exactly_as_they_are(profile):
    image, facts = read_image(encode(IMAGE, icc_profile=profile), (0, 0, 0))
    changed = np.asarray(image) != np.asarray(IMAGE)
    assert changed.any() == facts.converted == (profile != SRGB)


def test_threads_convert_alike():
    files = [encode(smooth(i, (90, 90)), icc_profile=(ADOBE, EXCHANGED)[i % 2]) for i in range(40)]
    alone = [read_image(data, (0, 0, 0))[0].tobytes() for data in files]
    colour._transform.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda data: read_image(data, (0, 0, 0))[0].tobytes(), files)) == alone


def test_a_pillow_without_littlecms_is_refused_for_images_with_profiles_only(monkeypatch):
    monkeypatch.setattr(colour.features, "check", lambda name: False)
    read_image(PNG, (0, 0, 0))
    with pytest.raises(UsageError, match="LittleCMS.*pip install"):
        read_image(encode(IMAGE, icc_profile=SRGB), (0, 0, 0))
