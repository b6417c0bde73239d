"""`gan-tf progress`: one frame for each sample grid; damaged runs."""

import json
import zlib

import numpy as np
import pytest
from PIL import Image, ImageSequence

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


def test_a_frame_for_each_grid_in_order(run, tmp_path, done):
    out = tmp_path / "a.webp"
    printed = done("progress", run.folder, "--out", out, "--fps", 4, "--hold", 0).out
    assert f"{out}: 3 of 3 sample grids, 0 to 12,000 images, 0.8 s" in printed
    with Image.open(out) as image:
        frames = np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]).astype(int)
    assert len(frames) == 3 and frames.shape[2] == 256 and frames.shape[1] > 256
    for frame, colour in zip(frames, COLOURS, strict=True):
        assert np.abs(frame[100:250] - colour).max() < 12
        assert frame[:60, :60].min() > 240


def test_frames_have_captions_and_the_requested_size(run):
    captions = [frame[256:] for frame in animation.training_frames(run.grids(), (RESOLUTION, RESOLUTION))]
    assert all((caption > 200).any() and caption.shape[0] >= 14 for caption in captions)
    assert len({caption.tobytes() for caption in captions}) == 3
    [frame, *_] = animation.training_frames(run.grids(), (RESOLUTION, RESOLUTION), images=1)
    assert frame.shape[1] == RESOLUTION and frame[:RESOLUTION].min() == 255
    [frame, *_] = animation.training_frames(run.grids(), (RESOLUTION, RESOLUTION), longest_side=100)
    assert frame.shape[1] == 100


@pytest.mark.parametrize(
    "items, count, kept", [(range(101), 5, [0, 25, 50, 75, 100]), ((1, 2), 5, [1, 2]), ((1, 2), 1, [1])]
)
def test_frames_are_spread_evenly_over_many_grids(items, count, kept):
    assert image_files.evenly_spaced(list(items), count) == kept


def test_the_last_frame_is_held(run, tmp_path, done):
    done("progress", run.folder, "--out", tmp_path / "a.gif", "--fps", 5, "--hold", 2)
    with Image.open(tmp_path / "a.gif") as image:
        seconds = [frame.info["duration"] / 1000 for frame in ImageSequence.Iterator(image)]
    assert sum(seconds) == pytest.approx(3 / 5 + 2) and seconds[:2] == [0.2, 0.2]


def test_grids_of_a_smaller_network_are_enlarged(run):
    small = np.arange(64 * 64 * 3, dtype=np.uint32).reshape(64, 64, 3).astype(np.uint8)
    image_files.save_png(run.grid_path(0), small)
    first, second, _ = animation.training_frames(run.grids(), (RESOLUTION, RESOLUTION))
    assert first.shape == second.shape
    np.testing.assert_array_equal(first[:256], small.repeat(4, axis=0).repeat(4, axis=1))


def test_large_animations_are_rejected_with_the_options_of_this_command(run, tmp_path, done, refused, monkeypatch):
    command = ("progress", run.folder, "--out", tmp_path / "a.webp")
    for name, value, option in (("MAX_HELD_BYTES", 1000, "--frames"), ("MAX_SIDE", {".webp": 200}, "--size")):
        with monkeypatch.context() as patch:
            patch.setattr(animation, name, value)
            assert option in refused(*command)
    done(*command, "--size", 20_000)  # frames are never enlarged


def test_held_frames_count_in_a_folder(run, tmp_path, done, refused):
    command = ("progress", run.folder, "--out", tmp_path / "frames", "--overwrite", "--fps", 2, "--hold")
    for _ in range(2):
        done(*command, 1)
        assert len(list((tmp_path / "frames").iterdir())) == 5
    assert "frame-000004.png" in refused(*command, 0.5)


def test_damaged_runs_are_rejected(run, tmp_path, refused):
    path, arguments = run.grid_path(1000), ("progress", run.folder, "--out", tmp_path / "a.webp")
    path.write_bytes(path.read_bytes()[:60])
    assert f"{path} is damaged" in refused(*arguments)
    content = bytearray(run.grid_path(0).read_bytes())
    content[16:24] = (9000).to_bytes(4, "big") * 2  # width and height in the header
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    run.grid_path(0).write_bytes(content)
    error = refused(*arguments)
    assert str(run.grid_path(0)) in error and "9000x9000" in error
    for path in run.samples.iterdir():
        path.unlink()
    assert "no sample grids" in refused(*arguments)
    (run.folder / "config.json").write_text(json.dumps({"settings": 3}))
    assert "config.json" in refused(*arguments)
    assert not (tmp_path / "a.webp").exists()
