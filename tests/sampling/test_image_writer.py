"""Image outputs: an interrupted command ends with the same bytes as an undisturbed one."""

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
    with image_writer(out, seeds, SIZE, about) as write:
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


@pytest.mark.parametrize(("name", "renames"), [("pictures", 5), ("pictures.zip", 1), ("pictures.npz", 1)])
def test_a_killed_process_leaves_nothing_behind(tmp_path, name, renames):
    write_all(tmp_path / "whole" / name)
    out = tmp_path / "killed" / name
    process = subprocess.run([sys.executable, "-c", KILLED, str(out), str(renames)], cwd=ROOT, env=os.environ)
    assert process.returncode == -signal.SIGKILL
    assert list(out.parent.rglob("*.part"))
    write_all(out)
    assert content(out) == content(tmp_path / "whole" / name)
    assert [path.name for path in out.parent.iterdir()] == [name]


def test_zip_and_npz_contain_the_images_in_order(tmp_path):
    about = {seed: f"rank of {seed}" for seed in SEEDS}
    for name in ("a.zip", "a.npz"):
        write_all(tmp_path / name, about=about)
        assert len(open_source(str(tmp_path / name))) == 10  # usable as data sets
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
