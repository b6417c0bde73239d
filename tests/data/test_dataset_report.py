"""Dataset report: contents, text, duplicates."""

import numpy as np
import pytest
from PIL import Image

from gan_tf.data import dataset_report
from gan_tf.data.dataset_report import near_groups
from gan_tf.data.images import FORMATS
from gan_tf.data.prepare import prepare, survey
from gan_tf.data.sources import FolderSource
from tests.data.encoded import encode, encoded, rgb_icc, write


def thumbs(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)


@pytest.fixture
def source(tmp_path):
    files = {
        "cat/a.png": encoded(1, (40, 30)),
        "cat/same.png": encoded(1, (40, 30)),
        "cat/again.jpg": encoded(1, (40, 30), "JPEG", quality=60),
        "dog/b.png": encoded(2, (12, 20)),
        "dog/c.gif": encoded(3, (30, 30), "GIF"),
        "dog/bad.png": encoded(4)[:60],
        "dog/empty.webp": b"",
        "readme.txt": b"",
    }
    return FolderSource(write(tmp_path / "pets", files))


def test_report_of_a_folder(source):
    report = survey(source, size=(16, 16))
    assert report.count == 5
    assert report.sizes == {"40x30": 3, "12x20": 1, "30x30": 1}
    assert (report.smallest, report.median, report.largest) == ("12x20", "40x30", "40x30")
    assert report.modes == {"RGB": 4, "P": 1}
    assert report.classes == {"cat": 3, "dog": 2}
    assert set(report.unreadable) == {"dog/bad.png", "dog/empty.webp"}
    assert report.exact == [["cat/a.png", "cat/same.png"]]
    assert report.near == [["cat/a.png", "cat/again.jpg"]]
    assert report.upscaled == ["dog/b.png"]
    assert report.ignored == {".txt": 1}
    text = report.text()
    for part in ("pets: 5 images", "12x20 to 40x30, median 40x30", "RGB 4, P 1", "cat 3, dog 2", "dog/empty.webp: "):
        assert part in text
    assert "cat/a.png = cat/same.png" in text and "cat/a.png ~ cat/again.jpg" in text


def test_what_files_state_of_their_pixels_is_counted(tmp_path):
    values = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
    wide = {f"{name}.png": encode(Image.fromarray(values >> shift)) for name, shift in (("a", 0), ("b", 0), ("c", 4))}
    profile = rgb_icc((0.1431, 0.0606, 0.7141), (0.3851, 0.7169, 0.0971), (0.4361, 0.2225, 0.0139), 2.2)
    others = {"d.png": encoded(1, icc_profile=profile), "e.png": encoded(2, icc_profile=b"?"), "f.heic": b""}
    source = FolderSource(write(tmp_path, wide | others))
    report = survey(source, size=(8, 8))
    assert (report.converted, report.without_metadata, report.bits) == (1, ["e.png"], {"8": 1, "12": 2})
    text = report.text()
    for part in ("3 images: 1 use 8, 2 use 12 bits at most; --bits 12 ", "1 converted to sRGB", "1 with unreadable"):
        assert part in text
    if "HEIF" not in FORMATS:
        assert ".heic 1; for .heic: pip install pillow-heif" in text
    assert "at most (--bits 12)" in survey(source, size=(8, 8), bits=12).text()
    assert "--bits 8 clips them, give --bits 12" in survey(source, size=(8, 8), bits=8).text()
    dark, bright = (prepare(source, size=(8, 8), bits=bits).images[0].max() for bits in (16, 12))
    assert dark < 20 and bright == 255


def test_long_lists_are_shortened(tmp_path):
    files = {f"{i:03}.png": b"" for i in range(100)} | {"ok.png": encoded(0)}
    text = survey(FolderSource(write(tmp_path, files)), size=(8, 8)).text()
    assert "100 skipped" in text and "and 91 more" in text
    assert len(text.splitlines()) < 30


def test_upscaled_images_of_fit_pad_are_smaller_on_both_sides(source):
    assert survey(source, size=(16, 16), fit="pad").upscaled == []
    assert survey(source, size=(32, 32), fit="pad").upscaled == ["dog/b.png", "dog/c.gif"]


def test_small_changes_are_near_duplicates_and_chains_make_one_group():
    assert near_groups(thumbs(300)) == near_groups(thumbs(1)) == []
    base = thumbs(3)
    brighter = np.clip(base[0].astype(int) + 4, 0, 255).astype(np.uint8)
    noisy = np.clip(brighter.astype(int) + np.random.default_rng(1).integers(-3, 4, brighter.shape), 0, 255)
    images = np.stack([base[0], base[1], brighter, base[2], noisy.astype(np.uint8), base[1]])
    assert near_groups(images) == [[0, 2, 4], [1, 5]]


def test_flat_images_differ_by_their_colour():
    flat = np.zeros((4, 8, 8, 3), np.uint8)
    flat[1], flat[2], flat[3] = 255, (255, 0, 0), 1
    assert near_groups(flat) == [[0, 3]]


def test_groups_do_not_depend_on_the_block_size(monkeypatch):
    images = np.concatenate([thumbs(50), thumbs(50)])[np.random.default_rng(2).permutation(100)]
    whole = near_groups(images)
    assert len(whole) == 50
    monkeypatch.setattr(dataset_report, "BLOCK", 7)
    assert near_groups(images) == whole
