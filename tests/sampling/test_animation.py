"""Animations, read back: frames, order, times; and what no format can hold."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from gan_tf.errors import UsageError
from gan_tf.io.image_files import read_png
from gan_tf.sampling import animation

FPS = 30


def frames(count=12, height=32, width=48):
    """A bright bar that moves right over a ramp: every frame differs, and says its number."""
    ramp = np.broadcast_to(np.linspace(40, 160, width), (height, width))
    made = np.stack([np.repeat(ramp[:, :, None], 3, axis=2)] * count).astype(np.uint8)
    for i in range(count):
        made[i, :, 4 * i : 4 * i + 4] = (250, 200, 40)
    return made


def read(path):
    """(uint8 [N, H, W, 3], milliseconds [N]) of an animation of Pillow's."""
    with Image.open(path) as image:
        found, times = [], []
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            found.append(np.asarray(image.convert("RGB")))
            times.append(image.info["duration"])
        return np.stack(found), times


@pytest.mark.parametrize("suffix, error", [(".webp", 12), (".gif", 8)])
def test_frames_come_back(tmp_path, suffix, error):
    wanted = frames()
    path = animation.save(tmp_path / f"a{suffix}", iter(wanted), FPS)
    found, times = read(path)
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() < error
    for i in range(len(wanted)):  # each is nearest to its own
        assert np.argmin(np.abs(wanted.astype(int) - found[i]).mean(axis=(1, 2, 3))) == i
    assert abs(sum(times) - 1000 * len(wanted) / FPS) <= 5
    with Image.open(path) as image:
        assert image.info["loop"] == 0  # for ever


def test_mp4(tmp_path):
    av = pytest.importorskip("av")
    wanted = frames()
    path = animation.save(tmp_path / "a.mp4", iter(wanted), FPS)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == FPS and stream.codec_context.pix_fmt == "yuv420p"
        found = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() < 12
    for i in range(len(wanted)):
        assert np.argmin(np.abs(wanted.astype(int) - found[i]).mean(axis=(1, 2, 3))) == i


def test_a_folder_of_frames_is_exact(tmp_path):
    wanted = frames()
    animation.save(tmp_path / "frames", iter(wanted), FPS)
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == [f"frame-{i:06d}.png" for i in range(12)]
    np.testing.assert_array_equal(read_png(tmp_path / "frames" / names[7]), wanted[7])


def test_a_shorter_animation_does_not_mix_with_a_longer_one(tmp_path):
    animation.save(tmp_path / "frames", iter(frames()), FPS)
    animation.check(tmp_path / "frames", FPS, 12, 32, 48)
    with pytest.raises(UsageError, match="frame-000011.png, and these are 11"):
        animation.check(tmp_path / "frames", FPS, 11, 32, 48)


@pytest.mark.parametrize("fps, tick", [(30, 1), (30, 10), (24, 10), (7, 1)])
def test_times_add_up(fps, tick):
    times = animation.frame_durations(301, fps, tick)
    ends = np.cumsum(times)
    assert np.abs(ends - 1000 * np.arange(1, 302) / fps).max() <= tick / 2
    assert {time % tick for time in times} == {0} and min(times) > 0


@pytest.mark.parametrize(
    "name, arguments, words",
    [
        ("a.avi", (30, 10, 64, 64), ".avi is no animation; give .webp, .gif, .mp4"),
        ("a.gif", (60, 10, 64, 64), "--fps is 60; give a number from 0.01 on, for .gif at most 50"),
        ("a.webp", (30, 10, 64, 20000), "20000x64 pixels is too large for .webp"),
        ("a.webp", (30, 6000, 1024, 1024), "give fewer --steps, or an .mp4 or a folder"),
        (
            "a.webp",
            (30, 6000, 1024, 1024, "--frames", "a smaller --size"),
            "give fewer --frames, or an .mp4 or a folder",
        ),
        ("a.webp", (30, 10, 64, 20000, "--frames", "a smaller --size"), "(16383); give a smaller --size"),
        ("a.gif", (float("nan"), 10, 64, 64), "--fps is nan"),
        ("frames", (0.001, 10, 64, 64), "--fps is 0.001; give a number from 0.01 on, for a folder at most 1000"),
    ],
)
def test_what_cannot_be_written_is_refused_before(tmp_path, name, arguments, words):
    with pytest.raises(UsageError) as error:
        animation.check(tmp_path / name, *arguments)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_mp4_without_pyav_is_one_line_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="mp4 needs PyAV; run: pip install") as error:
        animation.check(tmp_path / "a.mp4", 30, 10, 64, 64)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_an_interrupted_animation_leaves_nothing(tmp_path, suffix):
    def stops():
        yield from frames()[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        animation.save(tmp_path / f"a{suffix}", stops(), FPS)
    assert not list(tmp_path.iterdir())
