"""`gan-tf evaluate RUN|FOLDER|ZIP`: scores a trained generator, or image files."""

import contextlib
import dataclasses
import functools
import os
from typing import Annotated, Literal

import tyro

from gan_tf.cli import arguments, training_images
from gan_tf.cli.datasets import resolve
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.config.validation import size_text
from gan_tf.data.images import UnreadableImage, read_image
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import ArraySource
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.files import check_writable, raise_fault, user_path, writing
from gan_tf.io.json_text import json_text
from gan_tf.io.progress import StagedProgress, log
from gan_tf.metrics.image_sets import RealImages, StoredImages, reals_at
from gan_tf.metrics.memorisation import COPY_CHECK
from gan_tf.metrics.score import number
from gan_tf.runs.files import read_json, write_json
from gan_tf.runs.folder import Run


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Scores the generator of a run, or a folder or zip of images, against real images."""

    # Folder of a run, such as checkpoints/panda; or images: a folder, a .zip, an .npz or a dataset name.
    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FOLDER|ZIP")]
    dataset: str | None = None  # real images: a dataset name, a folder, a .zip or an .npz; default: those of the run
    # Comma-separated; default: FID, KID, precision and recall on the best available network, and the copy check.
    metrics: str | None = None
    per_class: bool = False  # also score each class of a conditional run against the real images of that class
    which: str = "best"  # weights of the run: best, last, or the image count of a snapshot
    resolution: int | None = None  # pixels; default: that of the run, or the size of the images
    size: str | None = None  # WIDTHxHEIGHT of images that are not square, in place of --resolution
    channels: Literal["rgb", "grey", "rgba"] | None = None  # of the images; default: those of the run, or rgb
    fit: Literal["crop", "pad", "stretch"] | None = None  # shapes real images; default: as the run, or crop
    resize: Literal["pytorch", "clean", "tf1"] = "pytorch"  # method that resizes images for Inception
    weights: str | None = None  # file of Inception's weights; default: the official one
    feature_precision: Literal["float32", "bfloat16"] = "float32"  # of Inception; bfloat16 changes the scores' names
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of the run's generator
    seed: int = 0  # of the generated images
    memory_gb: float = 4.0  # larger datasets are kept in a file on disk, not in memory
    out: str | None = None  # folder for scores.json and copies.png; default: evaluations/IMAGES-SEEN in the run
    json: bool = False  # print one JSON object
    offline: bool = False  # do not download anything
    verbose: bool = False  # show TensorFlow's messages

    def __post_init__(self):
        if self.metrics is not None and not self.names:
            raise UsageError(f"--metrics is {self.metrics!r}; give names such as fid5k,memorisation")

    @property
    def names(self):
        """The names in --metrics, each once."""
        names = dict.fromkeys(name.strip() for name in (self.metrics or "").split(","))
        return [name for name in names if name]


def main(argv) -> int:
    """Runs the command and returns its exit code."""
    options = arguments.parse(EvaluateOptions, argv, prog="gan-tf evaluate")
    run = Run(user_path(options.target))
    if not run.exists() and options.dataset is None:
        raise UsageError(f"--dataset is missing: {options.target} is not a run; give the real images to compare with")
    if options.out:
        check_writable(user_path(options.out), "--out", files=())
        refuse_other_results(user_path(options.out), options.target)
    start_tensorflow(options.verbose)
    import tensorflow as tf

    try:
        return evaluate(options, run)
    except tf.errors.ResourceExhaustedError as error:
        raise UsageError(f"out of memory: give --precision bfloat16, or fewer --metrics ({error.op})") from error


def evaluate(options, run) -> int:
    """Measures, prints and saves the scores; returns the exit code."""
    from gan_tf.metrics.definitions import metric_of, warn_of_relatives
    from gan_tf.metrics.evaluate import Evaluator
    from gan_tf.metrics.features import networks_of

    for name in options.names:
        metric_of(name)  # raises UsageError before images are read
    if run.exists():
        reals, sampler, folder, classes = load_run(options, run)
    else:
        (reals, sampler), folder, classes = load_image_sets(options), options.out, []
    progress, networks = StagedProgress(), networks_of(options, log)
    names = options.names or default_metrics(len(reals.images), sampler.available, networks)
    if run.exists():
        warn_of_relatives(names, run.read_settings()[0], log)
    evaluator = Evaluator(names, reals, networks)
    for name in names:
        count = evaluator.image_count(name, sampler)  # raises UsageError before slow work starts
        if sampler.available is not None and sampler.available < count:
            log(f"{name} takes {count} images: the {sampler.available} of {options.target} are repeated")
    evaluator.load_networks()
    result = evaluator(sampler, progress=progress)
    scores = [*result.scores.values(), *score_classes(classes, names, sampler, networks, progress)]
    progress.close()
    report = {"target": options.target, "scores": [dataclasses.asdict(score) for score in scores]}
    print(json_text(report, indent=2) if options.json else format_scores(scores), flush=True)
    if folder:
        folder = user_path(folder)
        with writing(folder, "--out"):
            report["scores"] = [*other_scores(folder / "scores.json", report), *report["scores"]]
            write_json(folder / "scores.json", report)
            if result.panel is not None:
                image_files.save_png(folder / "copies.png", result.panel)
        log(f"written to {folder}")
    return 0


def load_run(options, run):
    """Loads the generator of a run and the images that it was trained on, or those of --dataset.

    Returns:
        (RealImages, Sampler, output folder, classes). classes: for --per-class, a list of (number, name, function that
        returns the RealImages of the class); else empty.
    """
    from gan_tf.distributed import devices
    from gan_tf.runs.weights import load_generator
    from gan_tf.sampling.sampler import Sampler

    trained = load_generator(run, options.which, log)
    config = trained.config
    if options.per_class and not trained.classes:
        raise UsageError(f"--per-class: {options.target} is a run of unconditional networks; leave out --per-class")
    folder = options.out or run.evaluation_folder(trained.images_seen)
    check_writable(user_path(folder), "--out", files=())
    given = {"resolution": options.resolution, "size": options.size, "channels": options.channels}
    trained_with = {"resolution": config.resolution, "size": config.size_text, "channels": config.channels}
    for name, value in given.items():
        if value not in (None, trained_with[name]):
            raise UsageError(f"--{name} is {value}, but the run was trained with {trained_with[name]}; leave it out")
    precision, reason = devices.choose_precision(options.precision)
    if any(name.startswith("ppl") for name in options.names):
        if options.precision == "bfloat16":
            raise UsageError("--precision is bfloat16, which is too coarse for the tiny steps of ppl; give float32")
        precision, reason = "float32", "ppl takes tiny steps"
    images = training_images.of_run(
        run, options.dataset, options.fit, offline=options.offline, memory_gb=options.memory_gb, log=log
    )
    weights = f"{options.which} weights, {trained.images_seen / 1000:.1f} kimg"
    log(f"{run.folder}: {weights}; precision: {precision} ({reason})")
    sampler = Sampler(trained.folded(devices.KERAS_POLICIES[precision]), options.seed, classes=trained.classes)
    height = sampler.generator.image_shape[0]
    reals_of = functools.partial(reals_at, images, height, training_images.may_be_mirrored(run))
    class_names = trained.classes.names if options.per_class else ()
    if missing := [name for name in class_names if name not in images.class_names]:
        raise UsageError(f"--per-class: --dataset {options.dataset} has no class {missing[0]!r}; leave out --per-class")
    classes = [(number, name, functools.partial(reals_of, name)) for number, name in enumerate(class_names)]
    return reals_of(), sampler, folder, classes


def load_image_sets(options):
    """Loads the images of the target and of --dataset at one size. Returns (RealImages, StoredImages)."""
    for name in ("per_class", "which", "precision", "seed"):
        if (value := getattr(options, name)) != getattr(EvaluateOptions, name):
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} is {value}, but {options.target} is not a run and has no generator; leave it out")
    try:
        given = arguments.size_of_options(options) if options.resolution or options.size else None
        source = resolve(options.target, size=given or (256, 256), offline=options.offline, log=log)
    except UsageError as error:  # its message names --dataset
        raise UsageError(str(error).removeprefix("--dataset ")) from error
    size = given or size_of(source)
    fakes = prepared(options, source, size)
    if given is None and len(fakes.report.sizes) > 1:
        first, second = list(fakes.report.sizes)[:2]
        raise UsageError(
            f"--resolution or --size is missing: the images of {options.target} have {len(fakes.report.sizes)} sizes, "
            f"such as {first} and {second}; give the size for the comparison"
        )
    real_source = resolve(options.dataset, size=size, offline=options.offline, log=log)
    reals = prepared(options, real_source, size)
    compared = f"{len(fakes)} images, against {len(reals)} of {options.dataset}"
    log(f"{options.target}: {compared}, at {size_text(size)}")
    for name, images in ((options.target, fakes), (options.dataset, reals)):
        if resized := resizing(images):
            log(f"{name}: {resized}")
    jpeg = {mostly_jpeg(real_source, reals): options.dataset, mostly_jpeg(source, fakes): options.target}
    if {True, False} <= jpeg.keys():
        log(f"warning: {jpeg[True]} has JPEG files, and {jpeg[False]} has not: compression changes the scores")
    details = [f"{len(fakes)} images of {fakes.name}", "JPEG" * bool(mostly_jpeg(source, fakes)), resizing(fakes)]
    stored = StoredImages(fakes.images, ", ".join(filter(None, details)))
    # The images may be those of a generator trained on mirrored images: the copy check compares with both.
    return RealImages(reals.images, reals.key, reals.name, mirror=True), stored


def resizing(images):
    """Returns how many images of an ImageSet were resized or cropped, as text; "" if none."""
    size = size_text(images.shape)
    others = {other: count for other, count in images.report.sizes.items() if other != size}
    if not others:
        return ""
    enlarged = f", {len(images.report.upscaled)} of them enlarged" if images.report.upscaled else ""
    return f"{sum(others.values())} resized to {size}, most from {next(iter(others))}{enlarged}"


def mostly_jpeg(source, images):
    """Returns True if most files of an ImageSet are JPEG files; None if its images are arrays."""
    if isinstance(source, ArraySource):
        return None
    return 2 * sum(name.lower().endswith((".jpg", ".jpeg", ".jpe", ".jfif")) for name in images.names) > len(images)


def prepared(options, source, size):
    """Reads the images of a source at a size (height, width), and logs how many are unreadable. Returns an ImageSet."""
    channels, fit = options.channels or "rgb", options.fit or "crop"
    images = prepare(source, size=size, channels=channels, fit=fit, memory_gb=options.memory_gb, log=log)
    if images.report.unreadable:
        log(f"{source.where or source.name}: {len(images.report.unreadable)} unreadable images left out")
    return images


def size_of(source):
    """Returns (height, width) of the first readable image. Raises UsageError if there is none."""
    for i in range(len(source)):
        with contextlib.suppress(UnreadableImage):
            image, _ = read_image(source.read(i), (255, 255, 255))
            return image.height, image.width
    raise UsageError(f"{source.where or source.name}: none of {len(source)} images is readable")


def default_metrics(reals, available, networks):
    """Returns the default metrics for numbers of real images and of generated images (None: unlimited)."""
    from gan_tf.metrics.definitions import INCEPTION, METRICS, default_metric, family_of

    network = networks.choose_network()
    if not network:
        return ["swd2k", "precision_recall-pixels", COPY_CHECK]
    fid, suffix = default_metric(reals, network), "" if network == INCEPTION else f"-{network}"
    too_few = available is not None and available < METRICS[fid].fakes
    kid = f"kid{'' if too_few else '5k'}{suffix}"
    return [family_of(fid) if too_few else fid, kid, f"precision_recall{suffix}", COPY_CHECK]


def score_classes(classes, names, sampler, networks, progress):
    """Scores each class of `load_run` against its own real images: a list of Score, called METRIC/CLASS.

    Path lengths are not measured by class. The copy check is not either: a copy of an image of another class is a copy.
    """
    from gan_tf.metrics.definitions import PATHS
    from gan_tf.metrics.evaluate import Evaluator, metric_of

    names = [name for name in names if metric_of(name).needs not in (COPY_CHECK, PATHS)]
    scores = []
    for label, class_name, reals_of_class in classes:
        reals = reals_of_class()  # the images of one class in memory at a time
        if too_few := [name for name in names if len(reals.images) < metric_of(name).least]:
            log(f"class {class_name}: {len(reals.images)} real images are too few for {', '.join(too_few)}")
        sampler.only = label
        evaluator = Evaluator([name for name in names if name not in too_few], reals, networks)
        for score in evaluator(sampler, progress=progress).scores.values():
            protocol = {**score.protocol, "class": class_name}
            scores.append(dataclasses.replace(score, name=f"{score.name}/{class_name}", protocol=protocol))
    sampler.only = None
    return scores


def format_scores(scores):
    """Returns the scores as a table, followed by the common entries of their protocols, then by the others."""
    rows = []
    for score in scores:
        value = f"{score.value:.1%} copies" if score.name == COPY_CHECK else score.text().removeprefix(f"{score.name} ")
        shown = {key: part for key, part in score.parts.items() if key != "standard_error"}
        texts = {key: f"{part:.1%}" if key.startswith("share") else number(part) for key, part in shown.items()}
        parts = [f"{key.replace('_', ' ')} {text}" for key, text in texts.items()]
        rows.append((score.name, value, ", ".join(parts)))
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    lines = [f"{name:<{widths[0]}}  {value:<{widths[1]}}  {parts}".rstrip() for name, value, parts in rows]
    protocols = [score.protocol for score in scores]
    common = {key: v for key, v in protocols[0].items() if all(key in p and p[key] == v for p in protocols)}
    lines += ["", "measured with " + format_entries({key: v for key, v in common.items() if key != "versions"})]
    for score in scores:
        if different := {key: value for key, value in score.protocol.items() if key not in common}:
            lines.append(f"  {score.name}: {format_entries(different)}")
    lines.append("measured by " + format_entries(common["versions"]))
    return "\n".join(lines)


def format_entries(entries):
    """Returns a dict as text, with long digests shortened."""
    shown = {key: str(value)[:16] if key == "network" else value for key, value in entries.items()}
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in shown.items())


def refuse_other_results(folder, target):
    """Raises UsageError if a folder has scores of another target, or other files of the names of results."""
    scores = folder / "scores.json"
    try:
        if user_path(read_json(scores)["target"]) == user_path(target):
            return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise_fault(error, scores)
    for path in (scores, folder / "copies.png"):
        if os.path.lexists(path):
            raise UsageError(f"--out: {path} exists and is not a result for {target}; give another folder")


def other_scores(path, report):
    """Returns the scores in a scores.json that remain: those not replaced by others in `report`."""

    def identity(score):
        return score["name"], {key: value for key, value in score["protocol"].items() if key != "versions"}

    try:
        stored = read_json(path)
        new = [identity(score) for score in report["scores"]]
        return [s for s in stored["scores"] if identity(s) not in new]
    except (OSError, ValueError, KeyError, TypeError) as error:  # no file, or another format
        raise_fault(error, path)
        return []
