"""Animations: frames into an animated WebP, a GIF or an MP4, as the file's name says."""

import importlib.util
import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from gan_tf.errors import UsageError
from gan_tf.files import part_file, printable

SUFFIXES = (".webp", ".gif", ".mp4")
FASTEST = {".webp": 100, ".gif": 50, ".mp4": 120}  # frames a second that programs show
LONGEST_SIDE = {".webp": 16383, ".gif": 65535, ".mp4": 4096}  # pixels: of the format, or of what players decode
WEBP_QUALITY = 85
H264_QUALITY = "18"  # constant rate factor: hardly to be told from the frames


def check_animation(path, fps, option="--out"):
    """Refuses what `save_animation` could not write, before the frames are made.

    Args:
        path: file to be written.
        fps: frames a second.
        option: flag that gave `path`, for the message.

    Raises:
        UsageError: no known suffix, PyAV is missing, or a speed that the format does not have.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{option} {path}: no known kind of animation; give a name that ends in {', '.join(SUFFIXES)}")
    if suffix == ".mp4" and importlib.util.find_spec("av") is None:
        raise UsageError(f'{option} {path} needs PyAV: pip install "gan_tf[video]", or give a name in .webp or .gif')
    if not 0 < fps <= FASTEST[suffix]:
        raise UsageError(f"--fps is {fps:g}, but {suffix} takes more than 0 and at most {FASTEST[suffix]}")


def save_animation(path, frames, fps, option="--out"):
    """Writes frames as one file that plays for ever where the format can; it appears whole or not at all.

    Args:
        path: of a .webp, .gif or .mp4. GIF has 256 colours a frame, and times in hundredths of a second; MP4 is H.264
            with even sides: an odd one is made even by repeating its last row or column.
        frames: iterable of uint8 [H, W, 3], all of one size, at least one. It is gone through once; a WebP or a GIF
            needs memory for all of them.
        fps: frames a second.
        option: flag that gave `path`, for messages.

    Returns:
        The path.

    Raises:
        UsageError: as `check_animation`, or frames larger than the format has, or a file that cannot be written.
        ValueError: no frame, or frames of several sizes.
    """
    check_animation(path, fps, option)
    path, suffix = Path(path), Path(path).suffix.lower()
    frames = _checked(frames, path, suffix, option)
    try:
        with part_file(path) as file:
            if suffix == ".mp4":
                _write_mp4(file, frames, fps)
            else:
                _write_with_pillow(file, frames, fps, suffix)
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be written: {printable(error.strerror or error)}") from error
    return path


def _checked(frames, path, suffix, option):
    """The frames, each looked at; the first one at once."""
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("an animation needs at least one frame")
    if max(first.shape[:2]) > LONGEST_SIDE[suffix]:
        raise UsageError(
            f"{option} {path}: frames of {first.shape[1]}x{first.shape[0]} pixels, but {suffix} takes "
            f"{LONGEST_SIDE[suffix]} a side at most; make them smaller"
        )

    def checked():
        for frame in itertools.chain([first], frames):
            if frame.shape != first.shape or frame.dtype != np.uint8 or frame.shape[2:] != (3,):
                raise ValueError(
                    f"frames must be uint8 [H, W, 3] of one size, got {frame.dtype} {list(frame.shape)} "
                    f"and before it {list(first.shape)}"
                )
            yield frame

    return checked()


def _write_with_pillow(file, frames, fps, suffix):
    pictures = [Image.fromarray(frame) for frame in frames]
    # Not the rounded length of one frame again and again: at 30 a second a GIF would gain a tenth.
    unit = 10 if suffix == ".gif" else 1  # milliseconds
    ends = [round(1000 * (i + 1) / fps / unit) * unit for i in range(len(pictures))]
    durations = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    kind = {"format": "GIF"} if suffix == ".gif" else {"format": "WEBP", "quality": WEBP_QUALITY}
    pictures[0].save(file, **kind, save_all=True, append_images=pictures[1:], duration=durations, loop=0)


def _write_mp4(file, frames, fps):
    import av

    rate = Fraction(fps).limit_denominator(1000)
    # "faststart" needs a file that can be read again, which a file open for writing cannot: players do without.
    with av.open(file, "w", format="mp4") as container:
        stream = None
        for frame in map(_even, frames):
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options={"crf": H264_QUALITY})
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _even(frame):
    """A frame with even sides."""
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
