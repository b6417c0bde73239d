"""`gan-tf interpolate RUN`: interpolates between images, as an animation or as rows of an image."""

import dataclasses
import math
from pathlib import Path
from typing import Literal

import numpy as np

from gan_tf.cli import arguments
from gan_tf.cli.generate import GeneratorOptions, load_from_options, run_on_device
from gan_tf.data.colour import parse_colour
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.files import check_writable, user_path
from gan_tf.io.progress import Progress
from gan_tf.sampling import animation
from gan_tf.sampling.seeds import parse_seeds

STEPS, ROW_STEPS = 60, 9  # images from a seed to the next, in an animation and with --rows
KEYS, PAIRS = 6, 8  # random seeds in an animation; rows of random pairs
MAX_IMAGES = 100_000
MAX_KEYS = 10_000


@dataclasses.dataclass(frozen=True)
class InterpolateOptions(GeneratorOptions):
    """Interpolates smoothly between images: an animated WebP, or with --rows an image of pairs with steps between.

    Noise and class stay those of a walk's first seed, so that only the latent changes.
    """

    seeds: str | None = None  # images to pass through, such as 3,7,11; default: random seeds, which are printed
    keys: int | None = None  # number of random seeds in a walk; default 6, with --rows 2
    seed: int = 0  # of the random seeds
    walks: int | None = None  # walks in a grid, which share the seeds; default 1, with --rows one for each pair
    steps: int | None = None  # images from a seed to the next; default 60, with --rows 9
    loop: bool = False  # return to the first seed, so that the animation repeats without a jump
    rows: bool = False  # an image with a walk in each row
    # A .webp, .gif or .mp4 (needs PyAV), or a folder for frames; with --rows a .png. Default interpolation.webp or .png
    out: str | None = None
    fps: float = 30.0  # images per second
    background: str = "white"  # colour under transparent parts in a GIF or mp4: a name or #rrggbb
    space: Literal["z", "w"] = "z"  # z: on the sphere of latents; w: straight lines in the w of StyleGAN2

    def with_defaults(self):
        """Returns the options with values for --out, --steps, --walks and --keys (seeds in a walk).

        Raises:
            UsageError: a number is out of range, or the seeds cannot be divided among the walks.
        """
        for name, least, most in (("keys", 2, MAX_KEYS), ("walks", 1, MAX_KEYS), ("steps", 1, MAX_IMAGES)):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise UsageError(f"--{name} is {value}; give an integer from {least} to {most}")
        if self.keys is not None and self.seeds is not None:
            raise UsageError(f"--keys is {self.keys}, but --seeds names the images to pass through; give one of them")
        out, steps = self.out or f"interpolation.{'png' if self.rows else 'webp'}", ROW_STEPS if self.rows else STEPS
        walks, keys = self.walks or (PAIRS if self.rows else 1), self.keys or (2 if self.rows else KEYS)
        if self.seeds is not None:
            count = len(parse_seeds(self.seeds, repeated=True))
            walks = self.walks or (max(1, count // 2) if self.rows else 1)
            if count % walks or count < 2 * walks:
                raise UsageError(
                    f"--seeds {self.seeds}: {count} seeds cannot be divided among {walks} walks (--walks); give each "
                    "the same number, 2 or more"
                )
            keys = count // walks
        return dataclasses.replace(self, out=out, steps=self.steps or steps, walks=walks, keys=keys)

    def frames(self):
        """Returns the number of images of a walk."""
        return self.keys * self.steps if self.loop else (self.keys - 1) * self.steps + 1


def main(argv) -> int:
    """Runs the command and returns its exit code."""
    options = arguments.parse(InterpolateOptions, argv, prog="gan-tf interpolate").with_defaults()
    if options.rows and Path(options.out).suffix.lower() != ".png":
        raise UsageError(f"--out {options.out}: --rows writes an image; give a .png, or leave out --rows")
    out = user_path(options.out)
    animation.check_fps(Path("rows") if options.rows else out, options.fps)
    images = options.walks * options.frames()
    if images > MAX_IMAGES:
        raise UsageError(
            f"{options.walks} walks through {options.keys} seeds at --steps {options.steps}: {images} images, and the "
            f"most is {MAX_IMAGES}; give fewer --steps, --keys or --walks"
        )
    check_writable(out, "--out", None if options.rows else animation.existing_frames(out), options.overwrite)
    return run_on_device(interpolate, options)


def interpolate(options) -> int:
    """Generates and writes the images; returns the exit code."""
    from gan_tf.sampling.generate import check_supported
    from gan_tf.sampling.interpolate import interpolated_images, random_seeds

    loaded, out = load_from_options(options), user_path(options.out)
    g, batch_size = loaded.generator, loaded.batch_size
    if options.background != InterpolateOptions.background:
        reason = f"{options.run} has no transparent images" if g.image_channels != 4 else ""
        if out.suffix.lower() not in (".gif", ".mp4"):
            reason = f"--out {options.out} keeps transparency"
        if reason:
            raise UsageError(f"--background is {options.background!r}, but {reason}; leave it out")
    if options.space == "w":
        check_supported(loaded.trained.config, "w", "--space w", options.run)
    if options.seeds is None:
        seeds = random_seeds(options.walks * options.keys, options.seed)
        print("seeds: " + ",".join(map(str, seeds)), flush=True)
    else:
        seeds = parse_seeds(options.seeds, repeated=True)
    walks = [seeds[i : i + options.keys] for i in range(0, len(seeds), options.keys)]
    labels = loaded.labels([walk[0] for walk in walks])
    frames = interpolated_images(
        g, walks, options.steps, options.loop, batch_size, options.truncation, labels, options.space
    )
    write = write_rows if options.rows else write_animation
    with Progress(options.frames() * len(walks), "generated") as progress:
        write(out, options, loaded, walks, counted(frames, progress))
    return 0


def counted(frames, progress):
    """Yields the frames, uint8 [walks, H, W, C], and counts their images."""
    for images in frames:
        yield images
        progress.advance(len(images))


def write_rows(out, options, loaded, walks, frames):
    """Writes an image with a walk in each row. `frames`: of `counted`."""
    count, (height, width, _) = options.frames(), loaded.generator.image_shape
    table = f"--rows: {len(walks)} rows of {count} images of {width}x{height}"
    image_files.check_image_size(count * width, len(walks) * height, table, "give fewer --steps or --walks")
    rows = np.concatenate([image_files.grid(images, 1) for images in frames], axis=1)
    seeds = "; ".join(" ".join(map(str, walk)) for walk in walks)
    about = f"interpolations of {options.run} between seeds {seeds}"
    about += loaded.describe_classes([walk[0] for walk in walks], "; classes of the rows")
    image_files.save_png(out, rows, description=about)
    print(f"{len(walks)} rows of {count} images: {out}")


def write_animation(out, options, loaded, walks, frames):
    """Writes an animation with the walks in a grid. `frames`: of `counted`."""
    count, (height, width, _) = options.frames(), loaded.generator.image_shape
    columns = math.ceil(math.sqrt(len(walks)))
    animation.check(out, options.fps, count, -(-len(walks) // columns) * height, columns * width)
    grids = (image_files.grid(images, columns) for images in frames)
    animation.save(out, grids, options.fps, parse_colour(options.background))
    several = f" of {len(walks)} walks" if len(walks) > 1 else ""
    print(f"{count} frames{several}, {count / options.fps:.1f} s: {out}")
