"""Animations are read back: frames, order, durations; and unsupported ones are rejected."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from gan_tf.errors import UsageError
from gan_tf.io.image_files import read_png
from gan_tf.sampling import animation

FPS = 30


def frames(count=12, height=32, width=48):
    """A bright bar that moves right over a ramp, so that all frames differ."""
    ramp = np.broadcast_to(np.linspace(40, 160, width), (height, width))
    images = np.stack([np.repeat(ramp[:, :, None], 3, axis=2)] * count).astype(np.uint8)
    for i in range(count):
        images[i, :, 4 * i : 4 * i + 4] = (250, 200, 40)
    return images


def assert_same_frames(decoded, error):
    """Asserts that each decoded frame is nearest to the original with its number."""
    originals = frames().astype(int)
    assert decoded.shape == originals.shape and np.abs(decoded - originals).mean() < error
    for i, image in enumerate(decoded):
        assert np.argmin(np.abs(originals - image).mean(axis=(1, 2, 3))) == i


@pytest.mark.parametrize("suffix, error", [(".webp", 12), (".gif", 8)])
def test_frames_and_durations_round_trip(tmp_path, suffix, error):
    path = animation.save(tmp_path / f"a{suffix}", iter(frames()), FPS)
    decoded, durations = [], []
    with Image.open(path) as image:
        assert image.info["loop"] == 0  # endless
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            decoded.append(np.asarray(image.convert("RGB")))
            durations.append(image.info["duration"])
    assert_same_frames(np.stack(decoded), error)
    assert abs(sum(durations) - 1000 * 12 / FPS) <= 5


def test_mp4(tmp_path):
    av = pytest.importorskip("av")
    path = animation.save(tmp_path / "a.mp4", iter(frames()), FPS)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == FPS and stream.codec_context.pix_fmt == "yuv420p"
        assert_same_frames(np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]), 12)


def test_a_folder_holds_exact_frames_of_one_animation(tmp_path):
    out = tmp_path / "frames"
    animation.save(out, iter(frames()), FPS)
    names = sorted(path.name for path in out.iterdir())
    assert names == [f"frame-{i:06d}.png" for i in range(12)]
    np.testing.assert_array_equal(read_png(out / names[7]), frames()[7])
    animation.check(out, FPS, 12, 32, 48)
    with pytest.raises(UsageError, match="frame-000011.png"):  # a shorter one would end with frames of this one
        animation.check(out, FPS, 11, 32, 48)


@pytest.mark.parametrize("fps, tick", [(30, 1), (30, 10), (24, 10), (7, 1)])
def test_rounded_durations_add_up(fps, tick):
    durations = animation.frame_durations(301, fps, tick)
    ends = np.cumsum(durations)
    assert np.abs(ends - 1000 * np.arange(1, 302) / fps).max() <= tick / 2
    assert {duration % tick for duration in durations} == {0} and min(durations) > 0


@pytest.mark.parametrize(
    "name, arguments, reason",
    [
        ("frames", (0.001, 10, 64, 64), "--fps is 0.001.* 0.01 to 1000"),
        ("a.webp", (30, 10, 64, 20000), "20000x64 .*16383"),
        ("a.webp", (30, 6000, 1024, 1024), "fewer --steps"),
    ],
)
def test_unsupported_animations_are_rejected_in_advance(tmp_path, name, arguments, reason):
    with pytest.raises(UsageError, match=reason):
        animation.check(tmp_path / name, *arguments)


def test_mp4_without_pyav_names_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "gan_tf\[video\]"'):
        animation.check(tmp_path / "a.mp4", 30, 10, 64, 64)


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_an_interrupted_animation_leaves_no_file(tmp_path, suffix):
    def interrupted():
        yield from frames()[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        animation.save(tmp_path / f"a{suffix}", interrupted(), FPS)
    assert not list(tmp_path.iterdir())
