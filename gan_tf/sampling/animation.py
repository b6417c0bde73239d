"""Writes animations: animated WebP, GIF, mp4, or a folder of PNG frames."""

import fractions
import importlib.util
import itertools
import re

import numpy as np
from PIL import Image

from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.files import list_folder, part_file, writing
from gan_tf.io.packages import install_command
from gan_tf.sampling.sheets import add_caption

SUFFIXES = (".webp", ".gif", ".mp4")
MAX_FPS = {".webp": 120, ".gif": 50, ".mp4": 240, "": 1000}  # browsers show faster GIFs at 10 frames per second
MIN_FPS = 0.01  # a frame of a GIF lasts 655 s at most
MAX_SIDE = {".webp": 16383, ".gif": 65535, ".mp4": 8192, "": 65535}  # pixels
HELD_BYTES = {".webp": 4, ".gif": 1}  # per pixel, which Pillow holds until the last frame is written
MAX_HELD_BYTES = 2 << 30
WEBP_OPTIONS = {"quality": 85, "method": 4}
GIF_TICK = 10  # milliseconds
CRF = "17"  # of x264: visually lossless
FRAME_NAME = "frame-{:06d}.png"
FRAME_PATTERN = re.compile(r"frame-(\d{6,})\.png")


def format_of(path):
    """Returns ".webp", ".gif" or ".mp4" by the suffix of a path, "" for a folder; raises UsageError for another."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return suffix
    if suffix[1:2].isalpha() and not path.is_dir():  # frames-0.5 is a folder
        raise UsageError(f"--out {path}: {suffix} is not an animation; give {', '.join(SUFFIXES)}, or a folder")
    return ""


def existing_frames(path):
    """Returns the names of frames that exist in a folder; None if `path` means a file."""
    if format_of(path):
        return None
    return sorted(file.name for file in list_folder(path, "frame-*.png") if FRAME_PATTERN.fullmatch(file.name))


def check_fps(path, fps):
    """Raises UsageError if the file at `path` cannot have `fps` frames per second, or is not an animation."""
    kind = format_of(path)
    if not MIN_FPS <= fps <= MAX_FPS[kind]:
        raise UsageError(f"--fps is {fps:g}; give {MIN_FPS:g} to {MAX_FPS[kind]} for {kind or 'a folder'}")


def check(path, fps, frames, height, width, fewer="--steps", smaller="fewer --walks"):
    """Raises UsageError if an animation cannot be written. Call it before the frames are generated.

    Args:
        frames: number of frames.
        height, width: of a frame, in pixels.
        fewer, smaller: for messages: the option that reduces `frames`, and the advice for smaller frames.
    """
    kind = format_of(path)
    check_fps(path, fps)
    if max(height, width) > MAX_SIDE[kind]:
        raise UsageError(
            f"--out {path}: a frame of {width}x{height} pixels is too large for {kind or 'a folder'} "
            f"({MAX_SIDE[kind]}); give {smaller}"
        )
    held = HELD_BYTES.get(kind, 0) * frames * height * width
    if held > MAX_HELD_BYTES:
        raise UsageError(
            f"--out {path}: {frames} frames of {width}x{height} pixels need {held / 2**30:.1f} GB while {kind} is "
            f"written; give fewer {fewer}, or an .mp4 or a folder, which hold one frame at a time"
        )
    if kind == ".mp4" and importlib.util.find_spec("av") is None:
        raise UsageError(f"--out {path}: mp4 needs PyAV: {install_command('video')}; or give a .webp or .gif")
    if not kind and path.is_dir():
        numbers = [int(FRAME_PATTERN.fullmatch(name)[1]) for name in existing_frames(path)]
        if max(numbers, default=-1) >= frames:  # the frames of a longer animation would remain
            last = FRAME_NAME.format(max(numbers))
            raise UsageError(f"--out {path} contains {last}, but there are only {frames} frames; give another folder")


def save(path, frames, fps, background=(255, 255, 255)):
    """Writes frames in the format of the path's suffix, and returns the path.

    frames: iterable of uint8 [H, W, C], at least one, all of one shape. For an mp4 the last row or column of an odd
    side is repeated, since H.264 needs even sides. WebP and PNG keep transparency; mp4 and GIF show the background.
    """
    kind = format_of(path)
    if kind in (".mp4", ".gif"):
        frames = (image_files.as_rgb(frame, background) for frame in frames)
    elif kind:
        frames = (image_files.as_rgb(frame) if frame.shape[2] == 1 else frame for frame in frames)
    with writing(path, "--out"):
        if kind == ".mp4":
            _save_mp4(path, frames, fps)
        elif kind:
            gif = kind == ".gif"
            images = [Image.fromarray(frame).quantize(256) if gif else Image.fromarray(frame) for frame in frames]
            options = {"duration": frame_durations(len(images), fps, GIF_TICK if gif else 1), "loop": 0}
            options |= {} if gif else WEBP_OPTIONS
            with part_file(path) as file:
                images[0].save(file, format=kind[1:], save_all=True, append_images=images[1:], **options)
        else:
            for i, frame in enumerate(frames):
                image_files.save_png(path / FRAME_NAME.format(i), frame)
    return path


def frame_durations(count, fps, tick):
    """Returns the milliseconds of each frame: multiples of `tick` whose sums stay within half a tick of exact times."""
    ends = np.rint(np.arange(count + 1) * (1000 / fps) / tick).astype(int) * tick
    return np.diff(ends).tolist()


def _save_mp4(path, frames, fps):
    import av

    def even(frame):  # H.264 needs even sides
        return np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")

    frames = map(even, frames)
    first = next(frames)
    with part_file(path) as file, av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fractions.Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"  # supported by all players and browsers
        stream.options = {"crf": CRF}
        for frame in itertools.chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def training_frames(grids, image_size, images=None, longest_side=768):
    """Makes a frame of each sample grid of a run, with the number of images seen below it.

    Args:
        grids: (images seen, path) of PNG grids, oldest first; at least one. Smaller grids, of a network that had not
            grown yet, are enlarged to the size of the largest.
        image_size: (height, width) of one image in the largest grid.
        images: number of images of a grid to show; None for all.
        longest_side: pixels; larger frames are reduced.

    Yields:
        uint8 [H, W, 3], all of one size.
    """
    size = max((image_files.png_size(path) for _, path in grids), key=lambda size: size[0] * size[1])
    (width, height), (h, w) = size, image_size
    rows, columns = height // h, width // w
    for seen, path in grids:
        grid = image_files.resize(image_files.read_png(path), size)
        if images is not None:
            if height % h or width % w:
                raise UsageError(f"{path} is {width}x{height}, not a grid of {w}x{h} images; remove it")
            if images > rows * columns:
                raise UsageError(f"--images is {images}, but the sample grids of the run show {rows * columns}")
            cells = grid.reshape(rows, h, columns, w, 3).swapaxes(1, 2).reshape(-1, h, w, 3)
            grid = image_files.grid(cells[:images])
        yield add_caption(image_files.shrink(grid, longest_side), f"{seen:,} images")
