"""`gan-tf crop-faces` with a replaced detector: results, interruptions, invalid options."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from gan_tf.cli.main import main
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import open_source
from gan_tf.faces import search
from gan_tf.faces.results import PartialResult
from tests.data.encoded import encode, encoded, write
from tests.faces.dots import DotDetector, photo

COUNT = 7  # photographs with a face
OPTIONS = ["--size", "32", "--min-face", "40"]


@pytest.fixture
def photos(tmp_path):
    portraits = [encode(photo((150, 140), [(70 + k, 60, 24 + k, 5 * k)])) for k in range(COUNT)]
    return write(tmp_path / "photos", {f"{'ab'[k % 2]}/{k}.png": portrait for k, portrait in enumerate(portraits)})


@pytest.fixture(autouse=True)
def dots_and_small_windows(monkeypatch):
    monkeypatch.setattr(search, "Detector", DotDetector)
    monkeypatch.setattr(search, "WINDOW", 2)


def test_npz_with_sheet_and_report(photos, tmp_path, done):
    write(photos, {"b/empty.png": encoded(1, (90, 80)), "b/broken.jpg": b"?", "b/phone.heic": b"?"})
    out = done("crop-faces", photos, tmp_path / "faces.npz", *OPTIONS).out
    for part in (
        "searching 9 photographs",
        f"photos: 9 photographs, {COUNT} faces; photographs without a face: 1, unreadable: 1; ",
        "without a face: b/empty.png",
        "unreadable: b/broken.jpg: ",
        "1 .heic",
        "--resolution 32 --model pggan",
    ):
        assert part in out
    images = prepare(open_source(tmp_path / "faces.npz"), size=(32, 32))
    with np.load(tmp_path / "faces.npz") as arrays:
        np.testing.assert_array_equal(images.images, arrays["images"])
    assert len(images) == COUNT and images.class_names == ("a", "b")
    assert Image.open(tmp_path / "faces-sheet.png").size == (3 * 32, 3 * 32)
    report = (tmp_path / "faces-report.txt").read_text()
    assert "Photographs without a face: 1\n  b/empty.png\n" in report and "  b/broken.jpg: " in report
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["faces-report.txt", "faces-sheet.png", "faces.npz", "photos"]


def test_folder_from_an_archive(photos, tmp_path, done):
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", photos)
    out = tmp_path / "my faces"
    printed = done("crop-faces", archive, out, *OPTIONS, "--align", "none", "--faces", "largest", "--size", 1100).out
    # The next command can be pasted.
    assert f"--dataset '{out}' --resolution 1024 --model pggan" in printed
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert names == [*sorted(f"{'ab'[k % 2]}/{k}.png" for k in range(COUNT)), "faces.csv"]


KILLED = """
import os, signal, sys
from gan_tf.cli.main import main
from gan_tf.faces import search
from tests.faces.dots import DotDetector

class Killed(DotDetector):
    def find(self, images, confidence):
        if len(self.searched) >= 8:  # two windows of two photographs, searched twice
            os.kill(os.getpid(), signal.SIGKILL)
        return super().find(images, confidence)

search.Detector, search.WINDOW = Killed, 2
sys.exit(main(sys.argv[1:]))
"""


def test_a_stopped_search_is_continued_to_the_same_bytes(photos, tmp_path, monkeypatch, capsys, done, refused):
    """After a signal, a full disk and SIGKILL; the same command continues."""
    out = tmp_path / "cut.npz"
    command = ("crop-faces", str(photos), str(out), *OPTIONS)

    class Interrupting(DotDetector):
        def find(self, images, confidence):
            if not self.searched:  # a second signal would end the process
                os.kill(os.getpid(), signal.SIGTERM)
            return super().find(images, confidence)

    with monkeypatch.context() as patch:
        patch.setattr(search, "Detector", Interrupting)
        assert main(command) == 42
    assert "SIGTERM" in capsys.readouterr().out and not out.exists()
    with monkeypatch.context() as patch:
        patch.setattr(PartialResult, "add", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        error = refused(*command)
    assert "OUT " in error and "No space left on device" in error and "free some disk space" in error
    assert subprocess.run([sys.executable, "-c", KILLED, *command], capture_output=True).returncode == -signal.SIGKILL
    assert "--margin was 0.2, now 0.3" in refused(*command, "--margin", "0.3")
    assert f"cut.npz: 6 of {COUNT} photographs are done already, 6 faces" in done(*command).out
    done("crop-faces", photos, tmp_path / "whole.npz", *OPTIONS)
    assert out.read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert not (tmp_path / "cut.npz.partial").exists()


@pytest.mark.parametrize("name", ["faces.npz", "faces"])
def test_a_result_is_replaced_only_with_overwrite(photos, tmp_path, done, refused, name):
    out = tmp_path / name
    file = out if name.endswith(".npz") else out / "a" / "0.png"
    command = ("crop-faces", photos, out, *OPTIONS)
    done(*command)
    before = file.read_bytes()
    assert f"{name} exists; give --overwrite" in refused(*command, "--margin", "0.4")
    mine = tmp_path / f"{name}.partial" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    done(*command, "--margin", "0.4", "--overwrite")
    assert [path.name for path in mine.parent.iterdir()] == ["mine.txt"]
    assert file.read_bytes() != before
    if out.is_dir():  # a folder with other files is never replaced
        write(out, {"holiday.jpg": b"mine"})
        assert "holiday.jpg" in refused(*command, "--overwrite")
        assert (out / "holiday.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        ({"a.png": encoded(0, (90, 80))}, ("no face of 40 pixels", "--min-face", "--confidence")),
        ({"a.png": b"?", "b.png": b""}, ("PHOTOS", "no photograph is readable; a.png: ")),
        ({"a.png": encode(photo((150, 140), [(16, 60, 24)]))}, ("--at-edge keep", "--margin")),
    ],
)
def test_no_face_is_an_error_with_advice(tmp_path, done, refused, files, messages):
    command = ("crop-faces", write(tmp_path / "photos", files), tmp_path / "out.npz", *OPTIONS)
    error = refused(*command)
    assert all(message in error for message in messages)
    if "--at-edge keep" in messages:
        done(*command, "--at-edge", "keep")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "{tmp}/out.npz"], "PHOTOS nowhere"),
        (["{tmp}/photos/a/0.png", "{tmp}/out.npz"], "PHOTOS"),
        (["{tmp}/photos/a/..", "{tmp}/photos/out.npz"], "OUT"),
        (["{tmp}/photos", "{tmp}/no/out.npz"], "OUT"),
        (["{tmp}/photos", "{tmp}/out.png"], "OUT"),
        (["{tmp}/photos", "{tmp}/out.npz", "--size", "8"], "--size is 8"),
        (["{tmp}/photos", "{tmp}/out.npz", "--margin", "-0.1"], "--margin is -0.1"),
        (["{tmp}/photos", "{tmp}/out.npz", "--confidence", "80"], "--confidence is 80.0"),
        (["{tmp}/photos", "{tmp}/out.npz", "--min-face", "12"], "--min-face is 12"),
        (["{tmp}/photos", "{tmp}/out.npz", "--faces", "some"], "--faces"),
    ],
)
def test_invalid_options(photos, tmp_path, refused, arguments, message):
    assert message in refused("crop-faces", *(argument.format(tmp=tmp_path) for argument in arguments))
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
