"""`gan-tf crop-faces` from the command line, with a stand-in for MTCNN: results, interruptions, mistakes."""

import errno
import io
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401  at the top, so that the devices are split in time
from PIL import Image

from gan_tf.cli.main import main
from gan_tf.data.arrays import open_npz
from gan_tf.faces import detect, search, store
from tests.data.pictures import encoded, write
from tests.faces.dots import DotDetector, photo

COUNT = 7  # photographs with a face
OPTIONS = ["--size", "32", "--min-face", "40"]


def portrait(k):
    file = io.BytesIO()
    photo((150, 140), [(70 + k, 60, 24 + k, 5 * k)]).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def photos(tmp_path):
    return write(tmp_path / "photos", {f"{'ab'[k % 2]}/{k}.png": portrait(k) for k in range(COUNT)})


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(detect, "Detector", DotDetector)
    monkeypatch.setattr(search, "WINDOW", 2)
    monkeypatch.setattr(store, "SAVE_SECONDS", 0)


def run(photos, out, *options):
    return main(["crop-faces", str(photos), str(out), *OPTIONS, *options])


def test_npz_with_sheet_and_report(photos, tmp_path, capsys):
    write(photos, {"b/empty.png": encoded(1, (90, 80)), "b/broken.jpg": b"?", "b/phone.heic": b"?"})
    assert run(photos, tmp_path / "faces.npz") == 0
    said = capsys.readouterr().out
    assert "searching 9 photographs for faces of 40 pixels or more (--min-face) at 60 % of their size" in said
    assert f"photos: 9 photographs, {COUNT} faces; photographs without a face: 1, unreadable: 1; " in said
    assert "without a face: b/empty.png" in said and "unreadable: b/broken.jpg: not a picture" in said
    assert "not looked at: 1 .heic" in said and "--resolution 32 --model pggan" in said
    source = open_npz(tmp_path / "faces.npz")
    assert len(source) == COUNT and source.class_names == ("a", "b")
    assert Image.open(tmp_path / "faces-sheet.png").size == (3 * 32, 3 * 32)
    report = (tmp_path / "faces-report.txt").read_text()
    assert "Photographs without a face: 1\n  b/empty.png\n" in report and "  b/broken.jpg: not a picture" in report
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "faces-report.txt",
        "faces-sheet.png",
        "faces.npz",
        "photos",
    ]


def test_next_command_can_be_pasted(photos, tmp_path, capsys):
    assert run(photos, tmp_path / "my faces.npz", "--size", "1100") == 0
    assert f"--dataset '{tmp_path}/my faces.npz' --resolution 1024 --model pggan" in capsys.readouterr().out


def test_folder_of_an_archive(photos, tmp_path, capsys):
    import shutil

    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", photos)
    assert run(archive, tmp_path / "faces", "--align", "none", "--faces", "largest") == 0
    names = sorted(path.relative_to(tmp_path / "faces").as_posix() for path in (tmp_path / "faces").rglob("*.*"))
    assert names == [*sorted(f"{'ab'[k % 2]}/{k}.png" for k in range(COUNT)), "faces.csv"]


def test_an_interrupted_search_goes_on(photos, tmp_path, monkeypatch, capsys):
    assert run(photos, tmp_path / "whole.npz") == 0

    class Interrupting(DotDetector):
        def find(self, pictures, confidence):
            if not self.searched:  # a second signal would end the process at once
                os.kill(os.getpid(), signal.SIGTERM)
            return super().find(pictures, confidence)

    monkeypatch.setattr(detect, "Detector", Interrupting)
    assert run(photos, tmp_path / "cut.npz") == 42
    assert "SIGTERM: saved; the same command continues the search" in capsys.readouterr().out
    assert not (tmp_path / "cut.npz").exists()
    monkeypatch.setattr(detect, "Detector", DotDetector)
    assert run(photos, tmp_path / "cut.npz") == 0
    assert f"cut.npz: 2 of {COUNT} photographs are done already, 2 faces" in capsys.readouterr().out
    assert (tmp_path / "cut.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert not (tmp_path / "cut.npz.partial").exists()


KILLED = """
import os, signal, sys
from gan_tf.cli.main import main
from gan_tf.faces import detect, search, store
from tests.faces.dots import DotDetector

class Killed(DotDetector):
    def find(self, pictures, confidence):
        if len(self.searched) >= 8:  # two windows of two photographs, looked at twice
            os.kill(os.getpid(), signal.SIGKILL)
        return super().find(pictures, confidence)

detect.Detector, search.WINDOW, store.SAVE_SECONDS = Killed, 2, 0
sys.exit(main(sys.argv[1:]))
"""


def test_a_killed_search_goes_on_to_the_same_result(photos, tmp_path, capsys):
    assert run(photos, tmp_path / "whole.npz") == 0
    command = [sys.executable, "-c", KILLED, "crop-faces", str(photos), str(tmp_path / "cut.npz"), *OPTIONS]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    assert run(photos, tmp_path / "cut.npz", "--margin", "0.3") == 2
    assert "--margin was 0.2, now 0.3" in capsys.readouterr().err
    assert run(photos, tmp_path / "cut.npz") == 0
    assert f"cut.npz: 4 of {COUNT} photographs are done already, 4 faces" in capsys.readouterr().out
    assert (tmp_path / "cut.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_a_full_disk_ends_in_one_line_and_the_search_goes_on(photos, tmp_path, monkeypatch, capsys):
    add = store.Store.add

    def full(self, *arguments):
        if self.photos:
            raise OSError(errno.ENOSPC, "No space left on device")
        add(self, *arguments)

    monkeypatch.setattr(store.Store, "add", full)
    assert run(photos, tmp_path / "faces.npz") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "faces.npz cannot be written (No space left on device); free some disk space and start again" in line
    monkeypatch.setattr(store.Store, "add", add)
    assert run(photos, tmp_path / "faces.npz") == 0
    assert f"2 of {COUNT} photographs are done already" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["faces.npz", "faces"])
def test_a_result_is_replaced_only_when_asked(photos, tmp_path, capsys, name):
    out = tmp_path / name
    assert run(photos, out) == 0
    assert run(photos, out, "--margin", "0.4") == 2
    assert f"{name} exists; give --overwrite to replace it" in capsys.readouterr().err
    before = out.read_bytes() if out.is_file() else (out / "a" / "0.png").read_bytes()
    assert run(photos, out, "--margin", "0.4", "--overwrite") == 0
    after = out.read_bytes() if out.is_file() else (out / "a" / "0.png").read_bytes()
    assert after != before


def test_a_folder_with_other_files_is_never_replaced(photos, tmp_path, capsys):
    write(tmp_path / "faces", {"holiday.jpg": b"mine"})
    assert run(photos, tmp_path / "faces", "--overwrite") == 2
    assert "holds files that are no faces of an earlier search (holiday.jpg)" in capsys.readouterr().err
    assert (tmp_path / "faces" / "holiday.jpg").read_bytes() == b"mine"


def test_no_face_ends_in_one_line_that_helps(tmp_path, capsys):
    empty = write(tmp_path / "empty", {"a.png": encoded(0, (90, 80))})
    assert run(empty, tmp_path / "out.npz") == 2
    assert "no face of 40 pixels or more in 1 photographs" in capsys.readouterr().err
    broken = write(tmp_path / "broken", {"a.png": b"?", "b.png": b""})
    assert run(broken, tmp_path / "out.npz") == 2
    assert "no photograph is readable; a.png: not a picture" in capsys.readouterr().err
    file = io.BytesIO()
    photo((150, 140), [(16, 60, 24)]).save(file, "PNG")
    edge = write(tmp_path / "edge", {"a.png": file.getvalue()})
    assert run(edge, tmp_path / "out.npz") == 2
    assert "every face found" in (line := capsys.readouterr().err) and "--at-edge keep" in line
    assert run(edge, tmp_path / "out.npz", "--at-edge", "keep") == 0  # nothing of the failed searches is in the way


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "{tmp}/out.npz"], "PHOTOS nowhere: there is no such file or folder"),
        (["{tmp}/photos/a/0.png", "{tmp}/out.npz"], "must be a folder or a .zip of photographs"),
        (["{tmp}/photos/a/..", "{tmp}/photos/out.npz"], "lies in"),
        (["{tmp}/photos", "{tmp}/no/out.npz"], "there is no folder"),
        (["{tmp}/photos", "{tmp}/out.png"], "must be an .npz file or a folder"),
        (["{tmp}/photos", "{tmp}/out.npz", "--size", "8"], "--size is 8; give a number from 16 to 2048"),
        (["{tmp}/photos", "{tmp}/out.npz", "--margin", "-0.1"], "--margin is -0.1; give a number from 0 to 2"),
        (["{tmp}/photos", "{tmp}/out.npz", "--confidence", "80"], "--confidence is 80.0; give a number from 0 to 1"),
        (["{tmp}/photos", "{tmp}/out.npz", "--min-face", "12"], "--min-face is 12; give at least 20"),
        (["{tmp}/photos", "{tmp}/out.npz", "--faces", "some"], "some"),
    ],
)
def test_mistakes_end_in_one_line(photos, tmp_path, capsys, arguments, message):
    assert main(["crop-faces", *(argument.format(tmp=tmp_path) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gan-tf: error: ") and message in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_training_reads_the_result(photos, tmp_path):
    from gan_tf.data.prepare import prepare

    assert run(photos, tmp_path / "faces.npz") == 0
    images = prepare(open_npz(tmp_path / "faces.npz"), resolution=32)
    with np.load(tmp_path / "faces.npz") as arrays:
        np.testing.assert_array_equal(images.images, arrays["images"])
    assert images.class_names == ("a", "b")


def test_help_does_not_import_tensorflow():
    script = (
        "import sys; from gan_tf.cli.main import main\ntry: main(['crop-faces', '--help'])\nexcept SystemExit: pass\n"
    )
    script += "sys.exit('tensorflow' in sys.modules or 'PIL' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0 and "PHOTOS" in result.stdout
