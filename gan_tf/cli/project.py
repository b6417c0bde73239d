"""`gan-tf project RUN IMAGE`: the latent whose image is nearest to a picture."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, part_file, printable, user_path, writing

FRAME_PIXELS = 256  # of each half of the animation
FPS, HOLD = 15, 1.5  # frames a second; seconds for which the last one stays
MOST_PLACES = 64


@dataclasses.dataclass(frozen=True)
class ProjectOptions:
    """Finds the latent of a picture: what the generator would have to be given to make it, as nearly as it can."""

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    # The picture: JPEG, PNG, WebP, BMP, GIF or TIFF; made square as the run's training images were.
    image: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE")]
    out: str = "projected"  # folder for the image, the latent, both pictures side by side, and the search
    # How two images are compared. lpips: pixels and LPIPS, whose 528 MB are fetched once; l2: pixels alone, on each
    # level of a pyramid, which needs no network.
    distance: Literal["lpips", "l2"] = "lpips"
    # Where it searches. z: latents; w: behind StyleGAN2's mapping network, there the default; w+: a w for each layer,
    # nearer to any picture and further from what the generator makes by itself.
    space: Literal["z", "w", "w+"] | None = None
    steps: int = 500  # of the search
    restarts: int = 4  # places in which it goes on, of which the best is taken
    samples: int = 1000  # random latents tried first, to begin with the best of them
    seed: int = 0  # of the random latents
    animation: Literal["webp", "gif", "mp4"] = "webp"  # of the search; mp4 needs the extra video
    dataset: str | None = None  # the training images, where they have moved: is the picture one of them?
    # The class to search in, by its name or number: for runs with --conditional. Default: that of the nearest of the
    # random latents, whose classes are drawn. In w and w+ it is where the search starts, and no bound.
    class_name: Annotated[str | None, tyro.conf.arg(name="class", metavar="NAME")] = None
    which: str = "best"  # best: the best score; last: the newest checkpoint; 12000: the snapshot at so many images
    memory_gb: float = 4.0  # larger image sets are kept in a file on disk and not in memory
    offline: bool = False  # never fetch anything
    verbose: bool = False  # let TensorFlow speak

    def __post_init__(self):
        for name, least, most in (("steps", 0, 100_000), ("restarts", 1, MOST_PLACES), ("samples", 1, 1_000_000)):
            value = getattr(self, name)
            if not least <= value <= most:
                raise UsageError(f"--{name} is {value}; give an integer from {least} to {most}")
        if self.samples < self.restarts:
            raise UsageError(f"--samples is {self.samples}, fewer than the {self.restarts} of --restarts; give more")


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: a wrong option, no trained generator, a picture that cannot be read, missing weights of LPIPS, or a
            folder that cannot be written.
    """
    options = arguments.parse(ProjectOptions, argv, prog="gan-tf project")
    from gan_tf.sampling import animation

    animation.check(Path(f"search.{options.animation}"), FPS, 1, FRAME_PIXELS, 2 * FRAME_PIXELS)
    check_writable(user_path(options.out), "--out", folder=True)
    start_tensorflow(options.verbose)
    import tensorflow as tf

    try:
        return project(options)
    except tf.errors.ResourceExhaustedError as error:
        raise UsageError(f"out of memory: give fewer --restarts, or --distance l2 ({error.op})") from error


def project(options) -> int:
    """Searches and writes. Returns the exit code."""
    import numpy as np
    import tensorflow as tf

    from gan_tf.cli.generator_options import requested_class
    from gan_tf.io.progress import StagedProgress
    from gan_tf.models import FAMILIES
    from gan_tf.runs.folder import Run
    from gan_tf.runs.weights import load_generator
    from gan_tf.sampling.project import distance_to
    from gan_tf.sampling.project import project as search

    run = Run(user_path(options.run))
    trained = load_generator(run, options.which, log)
    wanted = requested_class(options, trained)
    family = FAMILIES[trained.config.model]
    space = space_of(options, trained.config.model)
    g = trained.folded()
    picture = read_picture(options.image, g.resolution, trained.config)
    lpips = perceptual(options, g.resolution)
    how = "pixels and LPIPS" if lpips else "pixels alone (--distance l2), on each level of a pyramid"
    log(f"{run.folder}: {options.which} weights, {trained.images_seen / 1000:.1f} kimg; compared by {how}")
    target = tf.constant(np.float32(picture) / 127.5 - 1.0)
    reals = real_side(options, run, g.resolution)
    watch = StagedProgress({"searched": "steps", "random ones tried": "latents"})
    found = search(
        g,
        distance_to(target, lpips),
        seed=options.seed,
        restarts=options.restarts,
        steps=options.steps,
        samples=options.samples,
        space=space,
        on_sphere=family.on_sphere,
        watch=watch,
        classes=trained.classes,
        wanted=wanted,
    )
    watch.close()
    out = user_path(options.out)
    write(options, out, picture, found, g)
    tell_errors(picture, found, lpips, options, space)
    if found.labels is not None:
        print(f"class {printable(trained.classes.names[found.labels[0]])}")
    if reals:
        tell_copies(options, *reals, picture, found)
    print(f"written to {out}: projected.png, side-by-side.png, latent.npz, search.{options.animation}")
    return 0


def space_of(options, model):
    """Name of the space that is searched.

    Raises:
        UsageError: w of a family that has none.
    """
    from gan_tf.cli.generator_options import check_supported
    from gan_tf.models import FAMILIES

    if options.space in ("w", "w+"):
        check_supported(options, model, "w", f"--space {options.space}")
    return options.space or ("z" if "w" in FAMILIES[model].unsupported else "w")


def read_picture(path, resolution, config):
    """uint8 [R, R, 3] of a picture, made square as the training images were."""
    from gan_tf.data.images import MAX_FILE_BYTES, UnreadableImage, load_square, parse_colour

    file = user_path(path)
    try:
        if not file.is_file():
            raise UsageError(f"IMAGE {path}: no such file")
        if file.stat().st_size > MAX_FILE_BYTES:
            raise UnreadableImage(f"more than {MAX_FILE_BYTES >> 20} MB")
        return load_square(file.read_bytes(), resolution, config.fit, parse_colour(config.background))[0]
    except OSError as error:
        raise UsageError(f"IMAGE {path} cannot be read: {error.strerror}") from error
    except UnreadableImage as error:
        raise UsageError(f"IMAGE {path} cannot be read: {error}; give another picture") from error


def perceptual(options, resolution):
    """LPIPS, or None where pixels alone are asked for."""
    if options.distance == "l2":
        return None
    from gan_tf.pretrained.lpips import SMALLEST, load_lpips

    if resolution < SMALLEST:
        raise UsageError(
            f"--distance is lpips, which needs {SMALLEST} pixels, but the generator makes {resolution}x{resolution}; "
            "give --distance l2"
        )
    return load_lpips(offline=options.offline, log=log, alternative="give --distance l2, which compares pixels alone")


def write(options, out, picture, found, g):
    """Writes the four files."""
    import numpy as np

    from gan_tf.io import image_files
    from gan_tf.sampling import animation

    arrays = {f"noise_{i}": maps[0] for i, maps in enumerate(found.noise)}
    if found.labels is not None:
        arrays["class"] = found.labels[0]
    best = found.latents[0]
    arrays["latent" if best.ndim == 1 else "ws"] = best if best.ndim == 1 else np.asarray(g.ws_of(best[None]))[0]
    with writing(options.out, "--out"):
        out.mkdir(parents=True, exist_ok=True)
        image_files.save_png(out / "projected.png", found.images[0])
        image_files.save_png(out / "side-by-side.png", np.concatenate([picture, found.images[0]], axis=1))
        with part_file(out / "latent.npz") as file:
            np.savez(file, **arrays)
    frames = list(frames_of(picture, found))
    frames += frames[-1:] * round(HOLD * FPS)
    animation.save(out / f"search.{options.animation}", frames, FPS)


def frames_of(picture, found):
    """Yields the search, beside the picture, with the step below."""
    import numpy as np

    from gan_tf.io import image_files
    from gan_tf.sampling.captions import with_line

    side = max(1, min(FRAME_PIXELS, len(picture)))
    side *= FRAME_PIXELS // side  # small ones with each pixel repeated
    for step, image in found.path:
        pair = np.concatenate([picture, image], axis=1)
        shown = image_files.resize(pair, (2 * side, side))
        yield with_line(shown, f"step {step}, error {error_of(picture, image):.1f}")


def error_of(picture, image):
    """Root of the mean squared difference of two uint8 images, in grey levels."""
    import numpy as np

    return float(np.sqrt(np.mean((picture.astype(np.float64) - image) ** 2)))


def tell_errors(picture, found, lpips, options, space):
    """Prints how near the search came."""
    errors = [error_of(picture, image) for image in found.images]
    others = f"; the other places {', '.join(f'{error:.1f}' for error in errors[1:])}" if errors[1:] else ""
    print(
        f"error {errors[0]:.1f} of 255 grey levels (root mean square over pixels and channels{others}); "
        f"the best of {options.samples} random latents had {error_of(picture, found.start):.1f}"
    )
    name = "LPIPS and mean squares of pixels" if lpips else "mean squares of pixels"
    length = "length of the latent" if found.latents[0].ndim == 1 else f"distance of {space} from the mean w"
    print(f"distance {found.distances[0]:.4g} ({name} in [-1, 1]); {length} {found.length:.2f} of a random one's")


def real_side(options, run, resolution):
    """(metrics.reals.Reals, their names): the training images. None, and a line that says why, where there are none."""
    from gan_tf.cli import training_images
    from gan_tf.metrics.reals import reals_at

    try:
        # Without --dataset nothing is fetched for it: the picture was asked for, this is a remark beside it.
        offline = options.offline or options.dataset is None
        image_set = training_images.of_run(run, options.dataset, offline=offline, memory_gb=options.memory_gb, log=log)
    except UsageError as error:
        if options.dataset is not None:
            raise
        log(f"whether the picture is a training image was not looked up: {error}")
        return None
    if len(image_set) < 2:
        log("whether the picture is a training image was not looked up: there is only one")
        return None
    return reals_at(image_set, resolution, run.read_settings()[0].mirror), image_set.names


def tell_copies(options, reals, names, picture, found):
    """Prints whether the picture is a training image, and if so, whether the generator repeats it."""
    from gan_tf.metrics import memorisation
    from gan_tf.metrics.reals import measurable

    images = [measurable(image[None]) for image in (picture, found.start, found.images[0])]
    index, ratios = memorisation.ratios_to_nearest(reals.images, reals.mirror, images[0], images[1:])
    print(words_of_copies(printable(names[index]), ratios, memorisation.THRESHOLD, options.samples))


def words_of_copies(name, ratios, bound, samples):
    """What the copy check says of the picture, the best random image and the found one."""
    own, start, end = ratios
    rule = f"the copy check calls {bound:g} and less a copy"
    if own >= bound:
        return f"the picture is no training image: the nearest is {name}, at ratio {own:.2f} ({rule})"
    is_one = f"the picture is the training image {name}, or a copy of it (ratio {own:.2f}; {rule})"
    if start < bound:
        return (
            f"{is_one}. The generator has memorised it: it was found at once, the best of {samples} random latents "
            f"makes it at ratio {start:.2f}, the search at {end:.2f}"
        )
    if end < bound:
        return (
            f"{is_one}. The search came to ratio {end:.2f}, which counts as a copy; the best of {samples} random "
            f"latents is at {start:.2f}, so the generator can make it, and seldom does"
        )
    return f"{is_one}. The generator has not memorised it: the search came to ratio {end:.2f}, no copy"


def log(line):
    """Speaks on standard error: standard output is for what was found."""
    print(line, file=sys.stderr, flush=True)
