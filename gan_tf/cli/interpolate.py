"""`gan-tf interpolate RUN`: a smooth way from image to image, as an animation or as rows of a picture."""

import dataclasses
import math
from pathlib import Path
from typing import Literal

from gan_tf.cli import arguments
from gan_tf.cli.generator_options import GeneratorOptions, check_supported, load_from_options, run_on_device
from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, user_path
from gan_tf.sampling.seeds import parse_seeds

STEPS, ROW_STEPS = 60, 9  # from a seed to the next, in an animation and in a row
KEYS, PAIRS = 6, 8  # random seeds of a walk, and rows of random pairs
MOST_IMAGES = 100_000
MOST_KEYS = 10_000


@dataclasses.dataclass(frozen=True)
class InterpolateOptions(GeneratorOptions):
    """Walks smoothly from image to image: an animated WebP, or with --rows a picture of pairs with steps between.

    Noise and class stay those of a walk's first seed, so that only the latent changes.
    """

    seeds: str | None = None  # images to pass through, such as 3,7,11; default random ones, which are told
    keys: int | None = None  # random seeds in a walk; default 6, in a row 2
    seed: int = 0  # of the random seeds
    walks: int | None = None  # walks side by side, which share the seeds; default 1, with --rows one for each pair
    steps: int | None = None  # images from a seed to the next; default 60, in a row 9
    loop: bool = False  # come back to the first seed, so that the animation has no end
    rows: bool = False  # a picture, a walk in each row
    # A .webp, .gif or .mp4 (needs PyAV), or a folder for frames; with --rows a .png. Default interpolation.webp or .png
    out: str | None = None
    fps: float = 30.0  # images a second
    space: Literal["z", "w"] = "z"  # z: on the sphere of latents; w: straight, behind StyleGAN2's mapping network

    def __post_init__(self):
        super().__post_init__()
        for name, least, most in (("keys", 2, MOST_KEYS), ("walks", 1, MOST_KEYS), ("steps", 1, MOST_IMAGES)):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise UsageError(f"--{name} is {value}; give an integer from {least} to {most}")
        if self.keys is not None and self.seeds is not None:
            raise UsageError(f"--keys is {self.keys}, but --seeds names the images to pass through; give one of them")


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: a wrong option, no trained generator, too little memory, or a file that cannot be written.
    """
    options = arguments.parse(InterpolateOptions, argv, prog="gan-tf interpolate")
    options = dataclasses.replace(options, out=options.out or f"interpolation.{'png' if options.rows else 'webp'}")
    if options.rows and Path(options.out).suffix.lower() != ".png":
        raise UsageError(f"--out {options.out}: --rows makes a picture; give a .png, or leave out --rows")
    from gan_tf.sampling import animation

    out = user_path(options.out)
    animation.check_fps(Path("rows") if options.rows else out, options.fps)
    count, keys = shape_of(options)
    steps = steps_of(options)
    frames = frame_count(keys, steps, options.loop)
    if frames * count > MOST_IMAGES:
        raise UsageError(
            f"{count} walks through {keys} seeds at --steps {steps}: {frames * count} images are too many, at "
            f"most {MOST_IMAGES}: give fewer --steps, --keys or --walks"
        )
    check_writable(out, "--out", folder=not options.rows and not animation.kind_of(out))
    return run_on_device(interpolate, options)


def interpolate(options) -> int:
    """Makes the images and writes them. Returns the exit code."""
    from gan_tf.sampling.generate import check_truncation

    out, walks, steps = user_path(options.out), walks_of(options), steps_of(options)
    frames = frame_count(len(walks[0]), steps, options.loop)
    opened = load_from_options(options)
    model = opened.trained.config.model
    if options.space == "w":
        check_supported(options, model, "w", "--space w")
    check_truncation(options.truncation, model)
    if options.seeds is None:
        print("seeds: " + ",".join(str(seed) for walk in walks for seed in walk), flush=True)
    write = write_rows if options.rows else write_animation
    write(options, opened, walks, steps, frames, out)
    return 0


def steps_of(options):
    """Images from a seed to the next."""
    return options.steps or (ROW_STEPS if options.rows else STEPS)


def frame_count(keys, steps, loop):
    """Moments of a walk through so many keys."""
    return keys * steps if loop else (keys - 1) * steps + 1


def shape_of(options):
    """(number of walks, seeds in each), without making the seeds.

    Raises:
        UsageError: the seeds cannot be shared by the walks.
    """
    if options.seeds is None:
        return options.walks or (PAIRS if options.rows else 1), options.keys or (2 if options.rows else KEYS)
    seeds = parse_seeds(options.seeds, repeated=True)
    walks = options.walks or (max(1, len(seeds) // 2) if options.rows else 1)
    if len(seeds) % walks or len(seeds) < 2 * walks:
        raise UsageError(
            f"{len(seeds)} seeds cannot be shared by {walks} walks; give each the same number, 2 or more (--seeds, "
            "--walks)"
        )
    return walks, len(seeds) // walks


def walks_of(options):
    """The seeds of every walk: lists of one length."""
    from gan_tf.sampling.interpolate import random_seeds

    walks, keys = shape_of(options)
    given = options.seeds is not None
    seeds = parse_seeds(options.seeds, repeated=True) if given else random_seeds(walks * keys, options.seed)
    return [seeds[i : i + keys] for i in range(0, len(seeds), keys)]


def write_rows(options, opened, walks, steps, frames, out):
    """Writes a picture with a walk in each row."""
    from gan_tf.io import image_files
    from gan_tf.sampling.interpolate import rows_picture

    resolution = opened.generator.resolution
    what = f"--rows: {len(walks)} rows of {frames} images at {resolution}x{resolution}"
    image_files.check_image_size(frames * resolution, len(walks) * resolution, what, "give fewer --steps or --walks")
    picture = rows_picture(moments_of(options, opened, walks, steps, frames))
    words = f"interpolations of {options.run} between seeds " + "; ".join(" ".join(map(str, walk)) for walk in walks)
    words += opened.describe_classes([walk[0] for walk in walks], "; classes of the rows")
    image_files.save_png(out, picture, description=words)
    print(f"{len(walks)} rows of {frames} images: {out}")


def write_animation(options, opened, walks, steps, frames, out):
    """Writes an animation with the walks side by side."""
    from gan_tf.io import image_files
    from gan_tf.sampling import animation

    columns = math.ceil(math.sqrt(len(walks)))
    resolution = opened.generator.resolution
    animation.check(out, options.fps, frames, -(-len(walks) // columns) * resolution, columns * resolution)
    moments = moments_of(options, opened, walks, steps, frames)
    animation.save(out, (image_files.grid(images, columns) for images in moments), options.fps)
    several = f" of {len(walks)} walks" if len(walks) > 1 else ""
    print(f"{frames} frames{several}, {frames / options.fps:.1f} s: {out}")


def moments_of(options, opened, walks, steps, frames):
    """Yields the images of all walks, moment by moment, and shows how far it is."""
    from gan_tf.io.progress import Progress
    from gan_tf.sampling.interpolate import walk_images

    labels = opened.labels([walk[0] for walk in walks])
    how = {"truncation": options.truncation, "labels": labels, "space": options.space}
    images = walk_images(opened.generator, walks, steps, options.loop, opened.batch_size, **how)
    with Progress(frames * len(walks), "made") as progress:
        for moment in images:
            yield moment
            progress.advance(len(moment))
