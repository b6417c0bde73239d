"""`gan-tf project RUN IMAGE`: finds the latent whose image is nearest to a given image."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from gan_tf.cli import arguments, training_images
from gan_tf.cli.generate import requested_class, run_on_device
from gan_tf.data.colour import parse_colour
from gan_tf.data.images import MAX_FILE_BYTES, UnreadableImage, load_image
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.files import check_writable, part_file, printable, raise_fault, user_path
from gan_tf.io.progress import StagedProgress, log
from gan_tf.metrics import memorisation
from gan_tf.metrics.image_sets import measurable, reals_at
from gan_tf.runs.folder import Run
from gan_tf.sampling import animation
from gan_tf.sampling.sheets import add_caption

FRAME_PIXELS = 256  # side of each half of a frame of the animation
FPS, HOLD_SECONDS = 15, 1.5  # of the animation; the last frame is held
MAX_RESTARTS = 64


@dataclasses.dataclass(frozen=True)
class ProjectOptions:
    """Finds the latent whose image is as near as possible to a given image."""

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    # Image to find: JPEG, PNG, WebP, AVIF, BMP, GIF or TIFF; prepared as the training images of the run were.
    image: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE")]
    # Folder for the image found, the latent, a comparison, and an animation of the search; default projected/NAME for
    # an image NAME.png
    out: str | None = None
    # Distance between images. lpips: pixels and LPIPS, whose weights (528 MB) are downloaded once; l2: pixels on each
    # level of a pyramid, which needs no network
    distance: Literal["lpips", "l2"] = "lpips"
    # Space to search. z: latents; w: output of StyleGAN2's mapping network, there the default; w+: a w for each layer,
    # which fits any image better, but is less likely under the generator
    space: Literal["z", "w", "w+"] | None = None
    steps: int = 500  # of the search
    restarts: int = 4  # random latents that are optimised, of which the best is kept
    samples: int = 1000  # random latents evaluated first, to start from the best of them
    seed: int = 0  # of the random latents
    animation: Literal["webp", "gif", "mp4"] = "webp"  # of the search; mp4 needs the extra video
    dataset: str | None = None  # training images, if they have moved; reports whether IMAGE is one of them
    # Name or number of the class to search, for runs trained with --conditional. Default: that of the nearest random
    # latent. In w and w+ it only determines where the search starts
    class_name: Annotated[str | None, tyro.conf.arg(name="class", metavar="NAME")] = None
    which: str = "best"  # best: best score; last: newest checkpoint; 12000: snapshot saved at 12,000 images
    memory_gb: float = 4.0  # larger datasets are kept in a file on disk instead of in memory
    offline: bool = False  # do not download anything
    overwrite: bool = False  # replace existing files
    verbose: bool = False  # show TensorFlow's log messages

    def __post_init__(self):
        for name, least, most in (("steps", 0, 100_000), ("restarts", 1, MAX_RESTARTS), ("samples", 1, 1_000_000)):
            value = getattr(self, name)
            if not least <= value <= most:
                raise UsageError(f"--{name} is {value}; give an integer from {least} to {most}")
        if self.samples < self.restarts:
            raise UsageError(f"--samples is {self.samples}, less than --restarts {self.restarts}; give more")
        if self.out is None:
            object.__setattr__(self, "out", str(Path("projected", Path(self.image).stem)))

    @property
    def files(self):
        """Names of the files in `out`."""
        return "projected.png", "side-by-side.png", "latent.npz", f"search.{self.animation}"


def main(argv) -> int:
    """Runs the command and returns its exit code."""
    options = arguments.parse(ProjectOptions, argv, prog="gan-tf project")
    animation.check(Path(f"search.{options.animation}"), FPS, 1, FRAME_PIXELS, 2 * FRAME_PIXELS)
    check_writable(user_path(options.out), "--out", options.files, options.overwrite)
    return run_on_device(project, options, "fewer --restarts, or --distance l2")


def project(options) -> int:
    """Searches and writes the results; returns the exit code."""
    from gan_tf.models import family_of
    from gan_tf.ops.pixels import from_uint8
    from gan_tf.runs.weights import load_generator
    from gan_tf.sampling import project as projection
    from gan_tf.sampling.generate import check_supported

    run = Run(user_path(options.run))
    trained = load_generator(run, options.which, log)
    class_number = requested_class(options.class_name, options.run, trained, log)
    if options.space in ("w", "w+"):
        check_supported(trained.config, "w", f"--space {options.space}", options.run)
    space = options.space or ("z" if "w" in family_of(trained.config).unsupported else "w")
    g = trained.folded()
    image = read_target(options.image, g.image_shape[:2], trained.config)
    lpips = load_lpips(options, g.image_shape) if options.distance == "lpips" else None
    compared = "pixels and LPIPS" if lpips else "pixels alone (--distance l2), on each level of a pyramid"
    log(f"{run.folder}: {options.which} weights, {trained.images_seen / 1000:.1f} kimg; compared by {compared}")
    reals = training_reals(options, run, g.image_shape[0])
    stages = StagedProgress({"done": "steps", "evaluated": "random latents"})
    result = projection.project(
        g,
        projection.distance_to(from_uint8(image), lpips),
        seed=options.seed,
        restarts=options.restarts,
        steps=options.steps,
        samples=options.samples,
        space=space,
        on_sphere=family_of(trained.config).on_sphere,
        progress=stages,
        classes=trained.classes,
        class_number=class_number,
    )
    stages.close()
    class_name = trained.classes.describe(None if result.labels is None else result.labels[:1])
    write_files(options, image, result, g, class_name)
    print("\n".join(result_lines(options, image, result, space)))
    if class_name:
        print(f"class {printable(class_name)}")
    if reals:
        images, names = reals
        queries = [measurable(one[None]) for one in (image, result.start, result.images[0])]
        index, ratios = memorisation.ratios_to_nearest(images.images, images.mirror, queries[0], queries[1:])
        print(describe_copy(printable(names[index]), ratios, memorisation.THRESHOLD, options.samples))
    print(f"written to {user_path(options.out)}: {', '.join(options.files)}")
    return 0


def read_target(path, size, config):
    """Reads an image as uint8 [H, W, C] of `size` (H, W), prepared as the training images were."""
    file = user_path(path)
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise UnreadableImage(f"more than {MAX_FILE_BYTES >> 20} MB")
        colour = parse_colour(config.background)
        image = load_image(file.read_bytes(), size, config.fit, colour, config.bits, config.channels)[0]
        return image * (image[..., 3:] > 0) if config.channels == "rgba" else image  # no colours that nobody sees
    except (OSError, UnreadableImage) as error:
        raise_fault(error, file)
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"IMAGE {path} cannot be read: {reason}; give another image") from error


def load_lpips(options, image_shape):
    """Returns the LPIPS network. Raises UsageError for images that are too small for it."""
    from gan_tf.pretrained import lpips

    height, width, _ = image_shape
    if min(height, width) < lpips.SMALLEST:
        raise UsageError(
            f"--distance lpips needs {lpips.SMALLEST} pixels, but the generator makes {width}x{height}; give "
            "--distance l2"
        )
    alternative = "give --distance l2, which compares pixels alone"
    return lpips.load_lpips(offline=options.offline, log=log, alternative=alternative)


def training_reals(options, run, height):
    """Returns (RealImages, names) of the training images; logs a line and returns None if they are not available."""
    try:
        # Without --dataset nothing is downloaded only for this check.
        offline = options.offline or options.dataset is None
        image_set = training_images.of_run(run, options.dataset, offline=offline, memory_gb=options.memory_gb, log=log)
        if len(image_set) > 1:
            return reals_at(image_set, height, training_images.may_be_mirrored(run)), image_set.names
        reason = "there is only one training image"
    except UsageError as error:
        if options.dataset is not None:
            raise
        reason = error
    log(f"did not check whether IMAGE is a training image: {reason}")
    return None


def write_files(options, image, result, g, class_name):
    """Writes the projected image, a comparison, the latent with its noise maps, and an animation of the search."""
    arrays = {f"noise_{i}": maps[0] for i, maps in enumerate(result.noise)}
    if result.labels is not None:
        arrays |= {"class": result.labels[0], "class_name": np.array(class_name)}
    best = result.latents[0]
    arrays["latent" if best.ndim == 1 else "ws"] = best if best.ndim == 1 else np.asarray(g.ws_of(best[None]))[0]
    out = user_path(options.out)
    image_files.save_png(out / "projected.png", result.images[0])
    image_files.save_png(out / "side-by-side.png", side_by_side(image, result.images[0]))
    with part_file(out / "latent.npz") as file:
        np.savez(file, **arrays)
    height, width = image_files.shrink(image, FRAME_PIXELS).shape[:2]
    factor = FRAME_PIXELS // max(height, width)  # small images are enlarged by repeating pixels
    frames = []
    for step, shown in result.path:
        pair = image_files.resize(side_by_side(image, shown), (2 * factor * width, factor * height))
        frames.append(add_caption(pair, f"step {step}, error {rms_error(image, shown):.1f}"))
    frames += frames[-1:] * round(HOLD_SECONDS * FPS)
    animation.save(out / f"search.{options.animation}", frames, FPS)


def side_by_side(image, other):
    """Returns two images next to each other, as RGB."""
    return image_files.on_checkerboard(np.concatenate([image, other], axis=1))


def rms_error(image, other):
    """Returns the root mean square difference of two uint8 images, in grey levels."""
    return float(np.sqrt(np.mean((image.astype(np.float64) - other) ** 2)))


def result_lines(options, image, result, space):
    """Returns the lines to print about a search for `image`, uint8 [H, W, C], in `space`: errors, distance, length."""
    error, *others = [f"{rms_error(image, one):.1f}" for one in result.images]
    others = f"; other restarts {', '.join(others)}" if others else ""
    measure = "LPIPS and mean squares of pixels" if options.distance == "lpips" else "mean squares of pixels"
    length = "length of the latent" if space == "z" else f"distance of {space} from the mean w"
    return [
        f"error {error} of 255 grey levels (root mean square over pixels and channels{others}); the best of "
        f"{options.samples} random latents had {rms_error(image, result.start):.1f}",
        f"distance {result.distances[0]:.4g} ({measure} in [-1, 1]); {length} {result.length:.2f} relative to random "
        "latents",
    ]


def describe_copy(name, ratios, threshold, samples):
    """Describes whether the image is a training image and, if so, whether the generator has memorised it.

    Args:
        name: of the nearest training image.
        ratios: the copy check's ratio of the given image, the best random one and the result.
        threshold: images with a smaller ratio count as copies.
        samples: number of random latents.
    """
    given, start, end = ratios
    rule = f"below {threshold:g} the copy check counts a copy"
    if given >= threshold:
        return f"IMAGE is not a training image: the nearest is {name}, at ratio {given:.2f} ({rule})"
    line = f"IMAGE is the training image {name}, or a copy of it (ratio {given:.2f}; {rule}). The generator "
    if start < threshold:
        line += f"has memorised it: the best of {samples} random latents has ratio {start:.2f}, the result {end:.2f}"
    elif end < threshold:
        line += f"can make it, but rarely does: the result has ratio {end:.2f}, which counts as a copy, the best of "
        line += f"{samples} random latents {start:.2f}"
    else:
        line += f"has not memorised it: the result has ratio {end:.2f}, not a copy"
    return line
