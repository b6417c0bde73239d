"""`gan-tf progress RUN --out progress.webp`: the training as an animation of the same seeds."""

import dataclasses
import itertools
from typing import Annotated

import tyro

from gan_tf.cli import arguments
from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, user_path
from gan_tf.runs.folder import Run


@dataclasses.dataclass(frozen=True)
class ProgressOptions:
    """Shows how the images of the same seeds changed through training, from the sample grids in the run folder."""

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    out: str = "progress.webp"  # .webp, .gif or .mp4 (needs PyAV), or a folder for frames
    fps: float = 6.0  # frames a second
    images: int | None = None  # show the first so many seeds only; default all of the grid
    size: int = 768  # pixels of a frame's longest side at most
    frames: int = 150  # at most; of more grids, so many evenly spread ones are shown
    hold: float = 2.0  # seconds for which the last frame stays

    def __post_init__(self):
        for name, least in (("images", 1), ("size", 64), ("frames", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"--{name} is {value}; give an integer of at least {least}")
        if not 0 <= self.hold <= 60:
            raise UsageError(f"--hold is {self.hold:g}; give 0 to 60 seconds")


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: a wrong option, no run, no grids, a damaged one, or a file that cannot be written.
    """
    options = arguments.parse(ProgressOptions, argv, prog="gan-tf progress")
    from gan_tf.io import image_files
    from gan_tf.sampling import animation, history

    out = user_path(options.out)
    animation.check_fps(out, options.fps)
    check_writable(out, "--out", folder=not animation.kind_of(out))
    run = Run(user_path(options.run))
    config, _ = run.read_settings()
    grids = run.grids()
    if not grids:
        raise UsageError(f"{run.folder} has no sample grids in samples/ yet; train until the first one is written")
    shown = image_files.evenly_spaced(grids, options.frames)
    held = round(options.hold * options.fps)
    made = history.frames(shown, config.resolution, options.images, options.size)
    first = next(made)
    animation.check(out, options.fps, len(shown) + held, *first.shape[:2], "--frames", "a smaller --size")
    made = itertools.chain([first], made)
    animation.save(out, played(made, len(shown), held), options.fps)
    print(
        f"{out}: {len(shown)} of {len(grids)} sample grids, {shown[0][0]:,} to {shown[-1][0]:,} images, "
        f"{(len(shown) / options.fps + options.hold):.1f} s, {out.stat().st_size / 1e6:.1f} MB"
    )
    return 0


def played(frames, count, held):
    """The frames as they are made, with a progress line; the last one again `held` times."""
    from gan_tf.io.progress import Progress

    with Progress(count, "drawn", "frames") as progress:
        for frame in frames:
            progress.advance()
            yield frame
    for _ in range(held):
        yield frame
