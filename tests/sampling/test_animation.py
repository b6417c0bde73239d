"""Animations come back from their files: number, size, colours and speed of the frames, and every refusal."""

import importlib.util

import numpy as np
import pytest
from PIL import Image, ImageSequence

from gan_tf.errors import UsageError
from gan_tf.sampling.animation import check_animation, save_animation

needs_video = pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="PyAV (extra video) is not installed")


def frames(count, height=32, width=48):
    """A white bar that moves down over grey."""
    made = np.full((count, height, width, 3), 90, np.uint8)
    for i in range(count):
        made[i, 2 * i : 2 * i + 4] = 250
    return made


def read(path):
    """(frames uint8 [N, H, W, 3], seconds in all) of a file that Pillow reads."""
    with Image.open(path) as image:
        found, milliseconds = [], 0
        for frame in ImageSequence.Iterator(image):
            found.append(np.asarray(frame.convert("RGB")))
            milliseconds += frame.info["duration"]
    return np.stack(found), milliseconds / 1000


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".WEBP"])
@pytest.mark.parametrize("fps", [30, 8])
def test_frames_and_speed_come_back(tmp_path, suffix, fps):
    made = frames(12)
    path = save_animation(tmp_path / f"new/a{suffix}", iter(made), fps)
    found, seconds = read(path)
    assert found.shape == made.shape
    assert np.abs(found.astype(int) - made).mean() < 3
    assert seconds == pytest.approx(12 / fps, abs=0.0051)
    with Image.open(path) as image:
        assert image.info["loop"] == 0
    assert [other.name for other in path.parent.iterdir()] == [path.name]


@needs_video
def test_mp4_comes_back_with_even_sides(tmp_path):
    import av

    made = frames(12, height=33, width=47)
    path = save_animation(tmp_path / "a.mp4", made, 12.5)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == 12.5
        found = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert found.shape == (12, 34, 48, 3)
    assert np.abs(found[:, :33, :47].astype(int) - made).mean() < 4


def test_one_frame_is_an_animation(tmp_path):
    for suffix in (".webp", ".gif"):
        with Image.open(save_animation(tmp_path / f"a{suffix}", frames(1), 10)) as image:
            assert image.size == (48, 32)


def test_frames_that_do_not_fit_leave_nothing(tmp_path):
    with pytest.raises(ValueError, match="one size"):
        save_animation(tmp_path / "a.webp", [frames(1)[0], frames(1, 16, 16)[0]], 10)
    with pytest.raises(ValueError, match="at least one frame"):
        save_animation(tmp_path / "a.webp", [], 10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "fps", "words"),
    [
        ("a.avi", 10, r"--out .*a.avi: no known kind .* \.webp, \.gif, \.mp4"),
        ("a", 10, "no known kind"),
        ("a.webp", 0, "--fps is 0"),
        ("a.gif", 60, "--fps is 60, but .gif takes .* at most 50"),
        ("a.webp", float("nan"), "--fps is nan"),
    ],
)
def test_what_no_file_can_be_is_refused_in_one_line(tmp_path, name, fps, words):
    with pytest.raises(UsageError, match=words) as error:
        save_animation(tmp_path / name, frames(2), fps)
    assert "\n" not in str(error.value)


def test_a_missing_pyav_is_named_with_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"gan_tf\[video\].*\.webp or \.gif"):
        check_animation(tmp_path / "a.mp4", 10)


def test_too_large_a_frame_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"16384x1 pixels, but \.webp takes 16383"):
        save_animation(tmp_path / "a.webp", np.zeros((1, 1, 16384, 3), np.uint8), 10)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--out .* cannot be written"):
        save_animation(tmp_path / "file" / "a.webp", frames(2), 10)
