"""`gan-tf interpolate RUN`: interpolates between images, as an animation or as rows of an image."""

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
KEYS, PAIRS = 6, 8  # random seeds in an animation, and rows of random pairs
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
    space: Literal["z", "w"] = "z"  # z: on the sphere of latents; w: straight lines in the w of StyleGAN2

    def __post_init__(self):
        super().__post_init__()
        for name, least, most in (("keys", 2, MAX_KEYS), ("walks", 1, MAX_KEYS), ("steps", 1, MAX_IMAGES)):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise UsageError(f"--{name} is {value}; give an integer from {least} to {most}")
        if self.keys is not None and self.seeds is not None:
            raise UsageError(f"--keys is {self.keys}, but --seeds names the images to pass through; give one of them")


def main(argv) -> int:
    """Runs the command and returns its exit code."""
    options = arguments.parse(InterpolateOptions, argv, prog="gan-tf interpolate")
    options = dataclasses.replace(
        options,
        out=options.out or f"interpolation.{'png' if options.rows else 'webp'}",
        steps=options.steps or (ROW_STEPS if options.rows else STEPS),
    )
    if options.rows and Path(options.out).suffix.lower() != ".png":
        raise UsageError(f"--out {options.out}: --rows writes an image; give a .png, or leave out --rows")
    from gan_tf.sampling import animation

    out = user_path(options.out)
    animation.check_fps(Path("rows") if options.rows else out, options.fps)
    walks, keys = walk_shape(options)
    images = walks * frame_count(options, keys)
    if images > MAX_IMAGES:
        raise UsageError(
            f"{walks} walks through {keys} seeds at --steps {options.steps}: {images} images, and the most is "
            f"{MAX_IMAGES}; give fewer --steps, --keys or --walks"
        )
    check_writable(out, "--out", folder=not options.rows and not animation.format_of(out))
    return run_on_device(interpolate, options)


def interpolate(options) -> int:
    """Generates and writes the images; returns the exit code."""
    from gan_tf.sampling.generate import check_truncation

    walks = seeds_of_walks(options)
    loaded = load_from_options(options)
    model = loaded.trained.config.model
    if options.space == "w":
        check_supported(options, model, "w", "--space w")
    check_truncation(options.truncation, model)
    if options.seeds is None:
        print("seeds: " + ",".join(str(seed) for walk in walks for seed in walk), flush=True)
    (write_rows if options.rows else write_animation)(options, loaded, walks, user_path(options.out))
    return 0


def walk_shape(options):
    """Returns (number of walks, seeds in each), without drawing random seeds.

    Raises:
        UsageError: the seeds cannot be divided among the walks.
    """
    if options.seeds is None:
        return options.walks or (PAIRS if options.rows else 1), options.keys or (2 if options.rows else KEYS)
    count = len(parse_seeds(options.seeds, repeated=True))
    walks = options.walks or (max(1, count // 2) if options.rows else 1)
    if count % walks or count < 2 * walks:
        raise UsageError(
            f"{count} seeds cannot be divided among {walks} walks; give each the same number, 2 or more (--seeds, "
            "--walks)"
        )
    return walks, count // walks


def seeds_of_walks(options):
    """Returns the seeds of each walk, lists of one length."""
    from gan_tf.sampling.interpolate import random_seeds

    walks, keys = walk_shape(options)
    if options.seeds is None:
        seeds = random_seeds(walks * keys, options.seed)
    else:
        seeds = parse_seeds(options.seeds, repeated=True)
    return [seeds[i : i + keys] for i in range(0, len(seeds), keys)]


def frame_count(options, keys):
    """Returns the number of frames of a walk through `keys` seeds."""
    return keys * options.steps if options.loop else (keys - 1) * options.steps + 1


def write_rows(options, loaded, walks, out):
    """Writes an image with a walk in each row."""
    from gan_tf.io import image_files
    from gan_tf.sampling.interpolate import rows_image

    resolution, frames = loaded.generator.resolution, frame_count(options, len(walks[0]))
    table = f"--rows: {len(walks)} rows of {frames} images at {resolution}x{resolution}"
    image_files.check_image_size(frames * resolution, len(walks) * resolution, table, "give fewer --steps or --walks")
    image = rows_image(generated_frames(options, loaded, walks))
    about = f"interpolations of {options.run} between seeds " + "; ".join(" ".join(map(str, walk)) for walk in walks)
    about += loaded.describe_classes([walk[0] for walk in walks], "; classes of the rows")
    image_files.save_png(out, image, description=about)
    print(f"{len(walks)} rows of {frames} images: {out}")


def write_animation(options, loaded, walks, out):
    """Writes an animation that shows the walks in a grid."""
    from gan_tf.io import image_files
    from gan_tf.sampling import animation

    columns, frames = math.ceil(math.sqrt(len(walks))), frame_count(options, len(walks[0]))
    resolution = loaded.generator.resolution
    animation.check(out, options.fps, frames, -(-len(walks) // columns) * resolution, columns * resolution)
    grids = (image_files.grid(images, columns) for images in generated_frames(options, loaded, walks))
    animation.save(out, grids, options.fps)
    several = f" of {len(walks)} walks" if len(walks) > 1 else ""
    print(f"{frames} frames{several}, {frames / options.fps:.1f} s: {out}")


def generated_frames(options, loaded, walks):
    """Yields the images of all walks, frame by frame, and shows progress."""
    from gan_tf.io.progress import Progress
    from gan_tf.sampling.interpolate import interpolated_images

    labels = loaded.labels([walk[0] for walk in walks])
    images = interpolated_images(
        loaded.generator,
        walks,
        options.steps,
        options.loop,
        loaded.batch_size,
        options.truncation,
        labels,
        options.space,
    )
    with Progress(frame_count(options, len(walks[0])) * len(walks), "generated") as progress:
        for frame in images:
            yield frame
            progress.advance(len(frame))
