"""Animations: frames as they are made -> animated WebP, GIF, mp4, or a folder of PNG files.

A frame is shown from its own moment on, rounded to what the format can say, so that the length of the whole is right.
"""

import fractions
import importlib.util
import itertools
import re

import numpy as np
from PIL import Image

from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.files import part_file, writing

SUFFIXES = (".webp", ".gif", ".mp4")
MOST_FPS = {
    ".webp": 120,
    ".gif": 50,
    ".mp4": 240,
    "": 1000,
}  # browsers show a GIF that is faster at a tenth of its speed
LEAST_FPS = 0.01  # a frame that stays longer than 100 s is none, and GIF cannot say it much longer
MOST_SIDE = {".webp": 16383, ".gif": 65535, ".mp4": 8192, "": 65535}  # pixels
COLLECTED_BYTES = {".webp": 4, ".gif": 1}  # of a pixel, which Pillow holds until the last frame is there
MOST_BYTES = 2 << 30
WEBP_QUALITY = 85
GIF_TICK = 10  # milliseconds
CRF = "17"  # of x264: hardly to be told from the original
FRAME = "frame-{:06d}.png"
FRAMES = re.compile(r"frame-(\d{6,})\.png")
VIDEO_ADVICE = 'run: pip install "av>=14" (the extra "video" of gan_tf), or give a .webp or .gif'


def kind_of(path):
    """ ".webp", ".gif" or ".mp4" by a path's suffix, "" for a folder.

    Raises:
        UsageError: another suffix.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return suffix
    if suffix[1:2].isalpha() and not path.is_dir():  # frames-0.5 is a folder
        raise UsageError(f"--out {path}: {suffix} is no animation; give {', '.join(SUFFIXES)}, or a folder for frames")
    return ""


def check_fps(path, fps):
    """Refuses frames a second that the file at a path cannot have.

    Raises:
        UsageError: so it is, or the file is no animation.
    """
    kind = kind_of(path)
    if not LEAST_FPS <= fps <= MOST_FPS[kind]:
        what = kind or "a folder"
        raise UsageError(f"--fps is {fps:g}; give a number from {LEAST_FPS:g} on, for {what} at most {MOST_FPS[kind]}")


def check(path, fps, frames, height, width, fewer="--steps", smaller="fewer --walks"):
    """Refuses what cannot be written, before the first frame is made.

    Args:
        path: pathlib.Path.
        fps: frames a second.
        frames: how many.
        height, width: pixels of a frame.
        fewer: the flag for their number. smaller: what to give for a smaller size; both for messages.

    Raises:
        UsageError: so it is.
    """
    kind = kind_of(path)
    what = kind or "a folder"
    check_fps(path, fps)
    if max(height, width) > MOST_SIDE[kind]:
        raise UsageError(
            f"--out {path}: a frame of {width}x{height} pixels is too large for {what} ({MOST_SIDE[kind]}); give "
            f"{smaller}"
        )
    held = COLLECTED_BYTES.get(kind, 0) * frames * height * width
    if held > MOST_BYTES:
        raise UsageError(
            f"--out {path}: {frames} frames of {width}x{height} pixels take {held / 2**30:.1f} GB while {what} is "
            f"written; give fewer {fewer}, or an .mp4 or a folder, which hold one at a time"
        )
    if kind == ".mp4" and importlib.util.find_spec("av") is None:
        raise UsageError(f"--out {path}: mp4 needs PyAV; {VIDEO_ADVICE}")
    if not kind and path.is_dir():
        _refuse_other_frames(path, frames)


def save(path, frames, fps):
    """Writes frames as the path's suffix says.

    Args:
        path: pathlib.Path.
        frames: iterable of uint8 [H, W, 3], all of one size, at least one; in an mp4 an odd side is made even by
            repeating its last row or column.
        fps: frames a second.

    Returns:
        The path.

    Raises:
        UsageError: it cannot be written.
    """
    with writing(path, "--out"):
        WRITERS[kind_of(path)](path, frames, fps)
    return path


def durations(count, fps, tick):
    """Milliseconds of each frame, multiples of `tick` whose sums stay within half a tick of the exact moments."""
    ends = np.rint(np.arange(count + 1) * (1000 / fps) / tick).astype(int) * tick
    return np.diff(ends).tolist()


def _webp(path, frames, fps):
    first, *others = [Image.fromarray(frame) for frame in frames]
    times = durations(1 + len(others), fps, 1)
    with part_file(path) as file:
        first.save(
            file,
            format="WEBP",
            save_all=True,
            append_images=others,
            duration=times,
            loop=0,
            quality=WEBP_QUALITY,
            method=4,
        )


def _gif(path, frames, fps):
    first, *others = [Image.fromarray(frame).quantize(256) for frame in frames]
    times = durations(1 + len(others), fps, GIF_TICK)
    with part_file(path) as file:
        first.save(file, format="GIF", save_all=True, append_images=others, duration=times, loop=0)


def _mp4(path, frames, fps):
    import av

    frames = map(_even, frames)
    first = next(frames)
    with part_file(path) as file, av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fractions.Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"  # what every player and browser shows
        stream.options = {"crf": CRF}
        for frame in itertools.chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _even(frame):
    """A frame with even sides, which H.264 needs."""
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _folder(path, frames, fps):
    for i, frame in enumerate(frames):
        image_files.save_png(path / FRAME.format(i), frame)


def _refuse_other_frames(path, frames):
    """A shorter animation in the folder of a longer one would end with the other's frames."""
    numbers = [int(match[1]) for match in map(FRAMES.fullmatch, (entry.name for entry in path.iterdir())) if match]
    if numbers and max(numbers) >= frames:
        last = FRAME.format(max(numbers))
        raise UsageError(f"--out {path} holds frames up to {last}, and these are {frames}; give another folder")


WRITERS = {".webp": _webp, ".gif": _gif, ".mp4": _mp4, "": _folder}
