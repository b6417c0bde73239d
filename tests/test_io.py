"""Files, images and progress lines: atomic writes, unwritable paths, conversion, grids, and the map over threads."""

import errno
import sys
import time

import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.io import image_files, progress
from gan_tf.io.files import cache_root, check_writable, part_file, user_path, write_atomically
from gan_tf.io.locks import locked
from gan_tf.io.progress import Progress, StagedProgress, map_in_order


def full(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("files", [None, ["a.png"]])
def test_checking_a_path_leaves_nothing(tmp_path, files):
    check_writable(tmp_path / "new" / "deep" / "out", "--out", files)
    assert not list(tmp_path.iterdir())
    (tmp_path / "kept").mkdir()
    check_writable(tmp_path / "kept" / "out.png", "--out", files)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    ("name", "files"),
    [("file/a.png", None), ("file/deep/a.png", None), ("file", ["a.png"]), (".", None), ("a" * 260, None)],
)
def test_unwritable_paths_are_refused(tmp_path, name, files):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="^--out .* cannot be written: ") as caught:
        check_writable(tmp_path / name, "--out", files)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_detected(tmp_path, monkeypatch):
    monkeypatch.setattr("gan_tf.io.files.os.fsync", full)
    with pytest.raises(UsageError, match="--out .*: No space left"):
        check_writable(tmp_path / "a.png", "--out")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_names_its_file_and_keeps_the_old_content(tmp_path):
    write_atomically(tmp_path / "new" / "a.png", b"old")
    with pytest.raises(OSError) as error, part_file(tmp_path / "new" / "a.png") as file:
        file.write(b"half")
        full()
    assert str(error.value.filename).startswith(str(tmp_path / "new" / "a.png."))
    [path] = (tmp_path / "new").iterdir()
    assert path.read_bytes() == b"old"


def test_home_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a") == tmp_path / "a"
    with pytest.raises(UsageError, match="~nobody-of-that-name"):
        user_path("~nobody-of-that-name/a")


@pytest.mark.parametrize(
    ("lock", "error", "expected", "message"),
    [
        ("cache/a.lock", (errno.ENOSPC, "full"), UsageError, "GAN_TF_CACHE.*full.*free some disk space"),
        ("cache/a.lock", (errno.EACCES, "denied", "/elsewhere/file"), OSError, "elsewhere"),
        ("cache/a.lock", (errno.EIO, "cannot read", "{tmp}/cache/b"), OSError, "read"),
        ("other.lock", (errno.ENOSPC, "full"), OSError, "full"),
    ],
)
def test_errors_of_the_cache_name_it_and_others_are_unchanged(tmp_path, monkeypatch, lock, error, expected, message):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    number, text, *paths = error
    with pytest.raises(expected, match=message), locked(tmp_path / lock):
        raise OSError(number, text, *(path.format(tmp=tmp_path) for path in paths))


def test_a_cache_below_a_file_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UsageError, match="GAN_TF_CACHE.*file/cache"), locked(tmp_path / "file" / "cache" / "a"):
        pass


def test_rounding_clips_and_inverts_the_scaling():
    values = np.array([-1.5, -1.0, -0.999, 0.0, 1.0, 1.01, 300.0], np.float32)
    np.testing.assert_array_equal(image_files.to_uint8(values), [0, 0, 0, 128, 255, 255, 255])
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(image_files.to_uint8(values.astype(np.float32) / 127.5 - 1.0), values)


@pytest.mark.parametrize(
    ("count", "columns", "layout"),
    [
        (4, None, [[1, 2], [3, 4]]),
        (5, None, [[1, 2, 3], [4, 5, 0]]),
        (3, 1, [[1], [2], [3]]),
        (3, 4, [[1, 2, 3, 0]]),
        (1, None, [[1]]),
    ],
)
def test_grid_is_filled_row_by_row(count, columns, layout):
    images = np.broadcast_to(np.arange(1, count + 1, dtype=np.uint8)[:, None, None, None], (count, 2, 3, 3))
    expected = np.repeat(np.repeat(np.array(layout, np.uint8), 2, axis=0), 3, axis=1)
    np.testing.assert_array_equal(image_files.grid(images, columns), np.repeat(expected[..., None], 3, axis=2))


def test_resizing_repeats_or_averages_pixels():
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(image_files.resize(image, (8, 8)), image.repeat(2, axis=0).repeat(2, axis=1))
    means = image.reshape(2, 2, 2, 2, 3).mean(axis=(1, 3))
    assert np.abs(image_files.resize(image, (2, 2)) - means).max() <= 0.5
    assert image_files.shrink(image[:2], 2).shape == (1, 2, 3) and image_files.shrink(image, 4) is image


@pytest.mark.parametrize(("width", "height"), [(16385, 10), (10, 16385)])
def test_too_long_sides_are_refused(width, height):
    image_files.check_image_size(16384, 16384, "--grid", "give fewer")
    with pytest.raises(UsageError, match=f"--grid.*{width}x{height}.*give fewer$"):
        image_files.check_image_size(width, height, "--grid", "give fewer")


def test_png_files_are_read_back(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    path = image_files.save_png(tmp_path / "grid.png", image)
    np.testing.assert_array_equal(image_files.read_png(path), image)
    assert image_files.png_size(path) == (7, 5)
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def clock(monkeypatch):
    """Seconds since the start, in a list that a test changes."""
    seconds = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[0])
    return seconds


@pytest.mark.parametrize(("step", "counts"), [(0.02, []), (1, ["30", "60", "90"])])
def test_lines_in_a_log_come_every_30_seconds(clock, capsys, step, counts):
    with Progress(100, "decoded") as work:
        for _ in range(100):
            clock[0] += step
            work.advance()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("/")[0] for line in lines] == counts
    assert not lines or lines[0] == "30/100 images decoded, 1.0 images/s, 70 s left"


def test_bar_on_a_terminal(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Progress(528_000_000, "fetched", "MB", scale=1_000_000) as work:
        clock[0] = 11.0
        work.advance(132_000_000)
    shown = capsys.readouterr().err
    assert shown.startswith("\r[#####...............] 132/528 MB fetched, 12 MB/s, 33 s left")
    assert shown.endswith(" \n") and len(shown) == 1 + progress.LINE + 1


@pytest.mark.parametrize(
    ("work", "done", "line"),
    [
        ((0, "fetched", "MB", 1_000_000), 20_000_000, "20 MB fetched, 0.5 MB/s\n"),  # unknown total
        ((2, "decoded"), 3, "3/2 images decoded, 0.1 images/s, 0 s left\n"),
        ((100, "decoded", "images", 1, 10), 0, "10/100 images decoded, 0.0 images/s\n"),  # no division by zero
    ],
)
def test_unknown_and_exceeded_totals_and_no_progress(clock, capsys, work, done, line):
    with Progress(*work) as progress_line:
        clock[0] = 40.0
        progress_line.advance(done)
    assert capsys.readouterr().err == line


def test_a_stage_starts_with_another_verb_or_less_done(clock, capsys):
    stages = StagedProgress()
    for verb, total in (("fakes measured", 100), ("fakes measured", 100), ("steps measured", 50)):
        for done in range(10, total + 1, 10):
            clock[0] += 10
            stages(done, total, verb)
    stages.close()
    stages.close()
    lines = capsys.readouterr().err.splitlines()
    first = ["40/100 images fakes measured, 1.0 images/s, 60 s left", "70/100", "100/100"]
    expected = [*first, *first, "40/50 images steps"]
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True)), lines


def test_map_is_ordered_bounded_and_raises(monkeypatch):
    monkeypatch.setattr(progress.os, "cpu_count", lambda: 2)
    started = []

    def slow_first(i):
        started.append(i)
        time.sleep(0.05 if i == 0 else 0)
        return 1 / (i - 30)

    results = map_in_order(slow_first, range(100))
    assert next(results) == -1 / 30 and len(started) <= 5
    with pytest.raises(ZeroDivisionError):
        list(results)


def test_the_default_cache_folder(tmp_path, monkeypatch):
    home, xdg = tmp_path / "home", tmp_path / "xdg"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("GAN_TF_CACHE")
    for base, expected in (("", home / ".cache"), ("relative", home / ".cache"), (str(xdg), xdg)):
        monkeypatch.setenv("XDG_CACHE_HOME", base)
        assert cache_root() == expected / "gan_tf"
    (home / ".cache" / "gan_tf").mkdir(parents=True)  # of an earlier version: its files stay in use
    assert cache_root() == home / ".cache" / "gan_tf"
    monkeypatch.setenv("GAN_TF_CACHE", "~/mine")
    assert cache_root() == home / "mine"
