"""`gan-tf progress RUN --out progress.webp`: shows training as an animation of the sample grids."""

import dataclasses
import itertools
from typing import Annotated

import tyro

from gan_tf.cli import arguments
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.files import check_writable, user_path
from gan_tf.io.progress import Progress
from gan_tf.runs.folder import Run
from gan_tf.sampling import animation


@dataclasses.dataclass(frozen=True)
class ProgressOptions:
    """Makes an animation of the sample grids in the run folder, which show the same seeds throughout training."""

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    out: str = "progress.webp"  # .webp, .gif or .mp4 (needs PyAV), or a folder for frames
    fps: float = 6.0  # frames per second
    images: int | None = None  # number of seeds to show; default: all of the grid
    size: int = 768  # longest side of a frame in pixels, at most
    frames: int = 150  # at most; evenly spaced ones are chosen from more grids
    hold: float = 2.0  # seconds for which the last frame is shown
    overwrite: bool = False  # replace existing files

    def __post_init__(self):
        for name, least in (("images", 1), ("size", 64), ("frames", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"--{name} is {value}; give an integer of at least {least}")
        if not 0 <= self.hold <= 60:
            raise UsageError(f"--hold is {self.hold:g}; give 0 to 60 seconds")


def main(argv) -> int:
    """Runs the command and returns its exit code."""
    options = arguments.parse(ProgressOptions, argv, prog="gan-tf progress")
    out = user_path(options.out)
    animation.check_fps(out, options.fps)
    check_writable(out, "--out", animation.existing_frames(out), options.overwrite)
    run = Run(user_path(options.run))
    config, _ = run.read_settings()
    grids = run.grids()
    if not grids:
        raise UsageError(f"{run.folder} has no sample grids in samples/ yet; train until the first one is written")
    shown = image_files.evenly_spaced(grids, options.frames)
    held = round(options.hold * options.fps)
    frames = animation.training_frames(shown, config.image_size, options.images, options.size)
    first = next(frames)
    animation.check(out, options.fps, len(shown) + held, *first.shape[:2], "--frames", "a smaller --size")

    def played(progress):
        for frame in itertools.chain([first], frames):
            progress.advance()
            yield frame
        yield from itertools.repeat(frame, held)

    with Progress(len(shown), "drawn", "frames") as progress:
        animation.save(out, played(progress), options.fps)
    print(
        f"{out}: {len(shown)} of {len(grids)} sample grids, {shown[0][0]:,} to {shown[-1][0]:,} images, "
        f"{(len(shown) / options.fps + options.hold):.1f} s"
        + (f", {out.stat().st_size / 1e6:.1f} MB" if out.is_file() else "")
    )
    return 0
