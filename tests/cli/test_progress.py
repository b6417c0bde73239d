"""`gan-tf progress`: a frame for each sample grid, at one size, with its image count, and every mistake in one line."""

import json
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageSequence

from gan_tf.cli.main import run_command
from gan_tf.io import image_files
from gan_tf.sampling import animation
from tests.scored import make_run

RESOLUTION = 64
COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]


@pytest.fixture
def run(tmp_path):
    """A run with grids of 4x4 images at 0, 1,000 and 12,000 images, each of one colour; the first image is white."""
    run = make_run(tmp_path / "run", [], resolution=RESOLUTION)
    for seen, colour in zip((0, 1000, 12_000), COLOURS, strict=True):
        grid = np.empty((4 * RESOLUTION, 4 * RESOLUTION, 3), np.uint8)
        grid[:] = colour
        grid[:RESOLUTION, :RESOLUTION] = 255
        image_files.save_png(run.grid_path(seen), grid)
    return run


def progress(run, *arguments):
    return run_command("progress", [str(run.folder), *map(str, arguments)])


def read(path):
    with Image.open(path) as image:
        return np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]).astype(int)


def test_a_frame_for_each_grid_in_order(run, tmp_path, capsys):
    out = tmp_path / "a.webp"
    assert progress(run, "--out", out, "--fps", 4, "--hold", 0) == 0
    frames = read(out)
    assert len(frames) == 3 and frames.shape[2] == 256 and frames.shape[1] > 256
    for frame, colour in zip(frames, COLOURS, strict=True):
        assert np.abs(frame[100:250] - colour).max() < 12
        assert frame[:60, :60].min() > 240
    said = capsys.readouterr().out
    assert f"{out}: 3 of 3 sample grids, 0 to 12,000 images, 0.8 s" in said


def test_the_count_stands_below_each_frame(run):
    shown = list(animation.training_frames(run.grids(), RESOLUTION))
    lines = [frame[256:] for frame in shown]
    for line in lines:
        assert (line > 200).any() and line.shape[0] >= 14
    assert len({line.tobytes() for line in lines}) == 3


def test_the_first_seeds_alone(run):
    [frame, *_] = animation.training_frames(run.grids(), RESOLUTION, images=1)
    assert frame.shape[1] == RESOLUTION and frame[:RESOLUTION].min() == 255


def test_the_last_frame_stays(run, tmp_path):
    progress(run, "--out", tmp_path / "a.gif", "--fps", 5, "--hold", 2)
    with Image.open(tmp_path / "a.gif") as image:
        seconds = [frame.info["duration"] / 1000 for frame in ImageSequence.Iterator(image)]
    assert sum(seconds) == pytest.approx(3 / 5 + 2) and seconds[:2] == [0.2, 0.2]


def test_grids_of_a_smaller_network_are_brought_to_one_size(run):
    small = np.arange(64 * 64 * 3, dtype=np.uint32).reshape(64, 64, 3).astype(np.uint8)
    image_files.save_png(run.grid_path(0), small)
    first, second, _ = animation.training_frames(run.grids(), RESOLUTION)
    assert first.shape == second.shape
    np.testing.assert_array_equal(first[:256], small.repeat(4, axis=0).repeat(4, axis=1))


def test_large_grids_are_made_smaller(run):
    [frame, *_] = animation.training_frames(run.grids(), RESOLUTION, longest_side=100)
    assert frame.shape[1] == 100


def test_of_many_grids_the_first_and_the_last_are_shown():
    assert image_files.spread(list(range(101)), 5) == [0, 25, 50, 75, 100]
    assert image_files.spread([1, 2], 5) == [1, 2]
    assert image_files.spread([1, 2, 3], 1) == [1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "a.avi"], "is no animation; give"),
        (["--fps", "0"], "--fps is 0"),
        (["--fps", "inf"], "--fps is inf; give a number from 0.01 on, for .webp at most 120"),
        (["--fps", "nan"], "--fps is nan"),
        (["--fps", "1e-9"], "--fps is 1e-09"),
        (["--out", "run/config.json/a.gif"], "--out run/config.json/a.gif cannot be written"),
        (["--images", "17"], "--images is 17, but the sample grids of the run show 16"),
        (["--images", "0"], "--images is 0"),
        (["--hold", "-1"], "--hold is -1"),
        (["--sise", "3"], "sise"),
    ],
)
def test_a_wrong_option_is_named_in_one_line(run, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert progress(run, *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and "\n" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_advice_names_its_own_flags(run, tmp_path, capsys, monkeypatch):
    for name, words in (("MAX_HELD_BYTES", "give fewer --frames"), ("MAX_SIDE", "give a smaller --size")):
        with monkeypatch.context() as patch:
            patch.setattr(animation, name, 1000 if name == "MAX_HELD_BYTES" else {".webp": 200})
            assert words in refused(run, capsys, "--out", tmp_path / "a.webp")
    assert progress(run, "--size", 20_000, "--out", tmp_path / "a.webp") == 0  # frames are never made larger


def test_frames_in_a_folder_are_counted_as_they_are(run, tmp_path, capsys):
    """Three grids, of which the last one stays: fewer than --frames."""
    out = tmp_path / "frames"
    assert progress(run, "--out", out, "--fps", 2, "--hold", 1) == 0
    assert len(list(out.iterdir())) == 5
    assert progress(run, "--out", out, "--fps", 2, "--hold", 1) == 0
    assert "frame-000004.png, and these are 4" in refused(run, capsys, "--out", out, "--fps", 2, "--hold", 0.5)


def refused(run, capsys, *arguments):
    assert progress(run, *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    return error


def test_runs_that_have_nothing_to_show(run, tmp_path, capsys):
    assert run_command("progress", [str(tmp_path / "missing")]) == 2
    assert "no run folder" in capsys.readouterr().err
    for path in run.samples.iterdir():
        path.unlink()
    assert "no sample grids" in refused(run, capsys)


def test_a_damaged_grid_is_named(run, tmp_path, capsys):
    path = run.grid_path(1000)
    path.write_bytes(path.read_bytes()[:60])
    assert f"{path} is damaged" in refused(run, capsys, "--out", tmp_path / "a.webp")
    assert not (tmp_path / "a.webp").exists()


def test_a_picture_that_promises_too_much_is_refused(run, tmp_path, capsys):
    content = bytearray(run.grid_path(0).read_bytes())
    content[16:24] = (9000).to_bytes(4, "big") * 2  # width and height in the header
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    run.grid_path(0).write_bytes(content)
    told = refused(run, capsys, "--out", tmp_path / "a.webp")
    assert f"{run.grid_path(0)} is damaged (9000x9000 pixels)" in told


def test_a_link_out_of_the_run_is_no_grid(run, tmp_path):
    image_files.save_png(tmp_path / "private.png", np.zeros((4, 4, 3), np.uint8))
    run.grid_path(500).symlink_to(tmp_path / "private.png")
    assert [seen for seen, _ in run.grids()] == [0, 1000, 12_000]


def test_a_run_of_a_damaged_config(run, capsys):
    (run.folder / "config.json").write_text(json.dumps({"settings": 3}))
    assert "config.json is damaged" in refused(run, capsys)


def test_help_does_not_load_tensorflow():
    code = "import sys\nfrom gan_tf.cli.progress import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
