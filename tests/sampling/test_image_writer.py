"""Seeds, image files and sheets: an interrupted command ends with the same bytes as an undisturbed one."""

import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gan_tf.data.sources import open_source
from gan_tf.errors import UsageError
from gan_tf.io.image_files import read_png
from gan_tf.sampling.image_writer import (
    UNFINISHED,
    archive_suffix,
    image_writer,
    images_of_other_seeds,
    missing_seeds,
    png_name,
)
from gan_tf.sampling.seeds import LARGEST_SEED, parse_ranges, parse_seeds
from gan_tf.sampling.sheets import COPY, MAX_SIDE, MIN_SIDE, NeighbourRow, neighbour_sheet, neighbour_sheet_size

ROOT = Path(__file__).resolve().parents[2]
SEEDS = [*range(20, 29), 1_000_000]  # 10 images in batches of 4
SIZE = 8


class Stopped(Exception):
    """Ends a command in these tests."""


def image(seed):
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def write_all(out, seeds=SEEDS, weights="a", batches=None, about=None):
    """Writes all images, or stops after some batches; returns the number of images that existed."""
    missing = seeds if archive_suffix(out) else missing_seeds(out, seeds, 4, {"weights": weights})
    with image_writer(out, seeds, (SIZE, SIZE, 3), about) as write:
        for number, first in enumerate(range(0, len(missing), 4)):
            if number == batches:
                raise Stopped
            batch = missing[first : first + 4]
            write(batch, np.stack([image(seed) for seed in batch]))
    return len(seeds) - len(missing)


def content(out):
    """Returns {name: bytes} of a folder or file."""
    return {path.name: path.read_bytes() for path in (out.iterdir() if out.is_dir() else [out])}


def test_batches_with_missing_images_are_generated_again(tmp_path):
    write_all(tmp_path / "whole")
    out = tmp_path / "out"
    with pytest.raises(Stopped):
        write_all(out, batches=2)
    (out / png_name(21)).unlink()
    (out / f"{png_name(28)}.0a1b2c3d.part").write_bytes(b"half")
    assert write_all(out) == 4
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "name"), [({"weights": "b"}, "weights"), ({"seeds": SEEDS[:-1]}, "--seeds or --count")]
)
def test_unfinished_images_with_other_settings_are_kept(tmp_path, change, name):
    with pytest.raises(Stopped):
        write_all(tmp_path, batches=2)
    with pytest.raises(UsageError, match=re.escape(f"({name})")):
        write_all(tmp_path, **change)
    assert write_all(tmp_path) == 8


@pytest.mark.parametrize("text", ["my own list\n", '{"format": 1, "se', "3"])
def test_a_damaged_settings_file_is_rejected(tmp_path, text):
    (tmp_path / UNFINISHED).write_text(text)
    with pytest.raises(UsageError, match=f"{UNFINISHED} is damaged"):
        write_all(tmp_path)


def test_finished_images_are_generated_again_and_other_files_stay(tmp_path):
    write_all(tmp_path)
    for name in ("seed-000001.png", "seed-123456789.png", "seed-5.png", "mine.txt"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(Stopped):
        write_all(tmp_path, weights="b", batches=1)
    assert write_all(tmp_path, weights="b") == 4  # none of the images made with weights "a"
    assert images_of_other_seeds(tmp_path, SEEDS) == ["seed-000001.png", "seed-123456789.png"]
    assert len(content(tmp_path)) == 14 and (tmp_path / "mine.txt").read_text() == "mine"


KILLED = """
import os, pathlib, signal, sys
from tests.sampling import test_image_writer
replace, calls = os.replace, []

def kill_at_last(*arguments):
    calls.append(arguments)
    if len(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*arguments)

os.replace = kill_at_last
test_image_writer.write_all(pathlib.Path(sys.argv[1]))
"""


@pytest.mark.parametrize(("name", "renames"), [("images", 5), ("images.zip", 1), ("images.npz", 1)])
def test_a_killed_process_leaves_nothing_behind(tmp_path, name, renames):
    write_all(tmp_path / "whole" / name)
    out = tmp_path / "killed" / name
    process = subprocess.run([sys.executable, "-c", KILLED, str(out), str(renames)], cwd=ROOT, env=os.environ)
    assert process.returncode == -signal.SIGKILL
    assert list(out.parent.rglob("*.part")) and out.exists() == (name == "images")
    write_all(out)
    assert content(out) == content(tmp_path / "whole" / name)
    assert [path.name for path in out.parent.iterdir()] == [name]


def test_zip_and_npz_contain_the_images_in_order(tmp_path):
    about = {seed: f"rank of {seed}" for seed in SEEDS}
    for name in ("a.zip", "a.npz"):
        write_all(tmp_path / name, about=about)
        assert len(open_source(str(tmp_path / name))) == 10  # usable as datasets
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None and archive.namelist() == [png_name(seed) for seed in SEEDS]
        archive.extract(png_name(25), tmp_path)
    np.testing.assert_array_equal(read_png(tmp_path / png_name(25)), image(25))
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["images"].dtype == np.uint8
        np.testing.assert_array_equal(arrays["images"], np.stack([image(seed) for seed in SEEDS]))
        assert arrays["seeds"].tolist() == SEEDS and arrays["about"].tolist() == list(about.values())


def test_other_kinds_of_files_are_rejected(tmp_path):
    with pytest.raises(UsageError, match="--out .*a.tar"):
        archive_suffix(tmp_path / "a.tar")
    assert archive_suffix(tmp_path / "v1.0") == ""  # folders can have such names
    (tmp_path / "samples.tar").mkdir()
    assert archive_suffix(tmp_path / "samples.tar") == ""


# Sheets of generated images with their nearest training images


def row(side=64, ratios=(0.2, 0.9), seed=7):
    """A generated image of value 10 with neighbours of 100 and 101."""
    images = np.full((3, side, side, 3), 10, np.uint8)
    images[1:] = np.array([100, 101])[:, None, None, None]
    return NeighbourRow(images[0], seed, "pixels", images[1:], ("a", "b"), (1.5, 2.5), ratios)


def test_images_are_in_order_and_copies_have_a_red_frame():
    sheet = neighbour_sheet([row()], 0.45)
    middle = sheet[sheet.shape[0] // 2]
    values = middle[:, 0].tolist()
    assert [values.count(value) for value in (10, 100, 101)] == [MIN_SIDE] * 3
    assert values.index(10) < values.index(100) < values.index(101)
    red = np.flatnonzero((middle == COPY).all(axis=1))
    assert red.min() < values.index(10) and red.max() < values.index(101)  # the first pair, not the second
    assert red.size == 4 * (MIN_SIDE // 32)
    assert not (neighbour_sheet([row(ratios=(0.5, 0.9))], 0.45) == COPY).all(axis=2).any()


def test_the_size_is_computed_in_advance_and_limited():
    for side, rows in ((16, 1), (64, 3), (1024, 2)):
        sheet = neighbour_sheet([row(side=side)] * rows, 0.45)
        assert neighbour_sheet_size(rows, 2, (side, side, 3)) == sheet.shape[1::-1]
    sheet = neighbour_sheet([row(side=1024)], 0.45)
    assert (sheet[sheet.shape[0] // 2][:, 0] == 100).sum() == MAX_SIDE  # large images are reduced


def test_rows_are_below_each_other_with_their_captions():
    one, two = neighbour_sheet([row()], 0.45), neighbour_sheet([row(), row(seed=8)], 0.45)
    assert two.shape == (2 * one.shape[0], *one.shape[1:])
    np.testing.assert_array_equal(two[: one.shape[0]], one)
    assert not np.array_equal(two[one.shape[0] :], one)  # the other seed's number


# Seeds and layers as integers and ranges


@pytest.mark.parametrize(
    "text, seeds",
    [
        ("0-3", [0, 1, 2, 3]),
        ("7,4-4", [7, 4]),
        ("9, 2 - 4 ,3,0", [9, 2, 3, 4, 0]),
        (str(LARGEST_SEED), [LARGEST_SEED]),
    ],
)
def test_integers_and_ranges(text, seeds):
    assert parse_seeds(text) == seeds


def test_repeated_seeds_and_open_ranges():
    assert parse_seeds("3,1-3", repeated=True) == [3, 1, 2, 3]
    assert parse_ranges("1,7-", "--layers", 9, "7-", open_ended=True) == [(1, 1), (7, 9)]


@pytest.mark.parametrize(
    "text, reason",
    [
        *((text, "not a number or range") for text in ("", "1,,2", "a-b", "-3", "3-", "1.5", "٣", "9" * 5000)),
        ("5-2", "give 2-5"),
        (str(LARGEST_SEED + 1), "too large"),
        ("0-1000000", "at most 1000000"),
        ("0-600000,700000-1200000", "at most 1000000"),
    ],
)
def test_invalid_seeds_are_rejected(text, reason):
    with pytest.raises(UsageError, match=f"--seeds .*{reason}"):
        parse_seeds(text)
