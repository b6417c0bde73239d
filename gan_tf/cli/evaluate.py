"""`gan-tf evaluate RUN|FOLDER|ZIP`: scores of a trained generator, or of images that any program made."""

import dataclasses
import json
import sys
from typing import Annotated, Literal

import tyro

from gan_tf.cli import arguments, per_class, training_images
from gan_tf.cli.datasets import resolve
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, user_path, write_atomically, writing
from gan_tf.runs.folder import Run, read_json

PERCENT = ("memorisation",)  # scores that are shares


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Scores the generator of a run, or a folder or zip of images, against a data set."""

    # Folder of a run, such as checkpoints/panda; or images: a folder, a .zip, an .npz or a known name.
    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FOLDER|ZIP")]
    dataset: str | None = None  # the real images: a known name, a folder, a .zip or an .npz; default those of the run
    metrics: str | None = None  # comma-separated; default FID, KID, precision and recall, and the copy check
    per_class: bool = False  # also score each class of a conditional run against the real images of that class
    which: str = "best"  # weights of the run: best, last, or the image count of a snapshot
    resolution: int | None = None  # pixels; default the run's, or the size of the images
    fit: Literal["crop", "pad", "stretch"] | None = None  # how real images become square; default the run's, or crop
    resize: Literal["pytorch", "clean", "tf1"] = "pytorch"  # how images come to Inception's size
    weights: str | None = None  # a file of Inception's weights in place of the official one
    feature_precision: Literal["float32", "bfloat16"] = "float32"  # of Inception; bfloat16: scores of another name
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of the run's generator
    seed: int = 0  # of the generated images
    memory_gb: float = 4.0  # larger image sets are kept in a file on disk and not in memory
    out: str | None = None  # folder for scores.json and copies.png; default in the run: evaluations/IMAGES-SEEN
    json: bool = False  # print one JSON object
    offline: bool = False  # never fetch anything
    verbose: bool = False  # let TensorFlow speak


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: a wrong option, nothing to evaluate, or weights that cannot be had.
    """
    options = arguments.parse(EvaluateOptions, argv, prog="gan-tf evaluate")
    run = Run(user_path(options.target))
    if not run.exists() and options.dataset is None:
        raise UsageError(f"--dataset is missing: {options.target} is no run, so name the real images to compare with")
    names_of(options.metrics)
    if options.out:
        check_writable(user_path(options.out), "--out", folder=True)
    start_tensorflow(options.verbose)
    import tensorflow as tf

    try:
        return evaluate(options, run)
    except tf.errors.ResourceExhaustedError as error:
        raise UsageError(f"out of memory: give --precision bfloat16, or fewer metrics at once ({error.op})") from error


def evaluate(options, run) -> int:
    """Measures, prints and writes. Returns the exit code."""
    from gan_tf.io.progress import StagedProgress
    from gan_tf.metrics.evaluate import Evaluator
    from gan_tf.metrics.networks import networks_of

    reals, fakes, folder, parts = of_run(options, run) if run.exists() else (*of_images(options), ())
    names = metric_names(options.metrics, len(reals.images), fakes.available)
    stages = StagedProgress()
    networks = networks_of(options, log)
    evaluator = Evaluator(names, reals, networks)
    for name in names:
        evaluator.count(name, fakes)  # refuses what cannot be measured before anything long begins
    evaluator.load_networks()
    result = evaluator(fakes, progress=stages)
    scores = [*result.scores.values(), *per_class.scores_of(parts, names, fakes, networks, stages, log)]
    stages.close()
    report = {"target": options.target, "scores": [dataclasses.asdict(score) for score in scores]}
    print(json.dumps(report, indent=2) if options.json else table(scores), flush=True)
    if folder := write(report, result.panel, options.out or folder):
        log(f"written to {folder}")
    return 0


def of_run(options, run):
    """(Reals, fakes, folder, parts) of a run's generator and the images that it was trained on, or others.

    `parts` is what `per_class.parts_of` returns, () without --per-class.
    """
    from gan_tf.distributed import devices
    from gan_tf.metrics.reals import reals_at
    from gan_tf.runs.weights import load_generator
    from gan_tf.sampling.sampler import Sampler

    trained = load_generator(run, options.which, log)
    if options.per_class:
        per_class.refuse_unconditional(options, trained)
    folder = None if options.out else run.evaluation_folder(trained.images_seen)
    if folder:
        check_writable(folder, "--out", folder=True)
    config = trained.config
    if options.resolution not in (None, config.resolution):
        raise UsageError(f"--resolution is {options.resolution}, but the run was trained at {config.resolution}")
    given = {"offline": options.offline, "memory_gb": options.memory_gb, "log": log}
    images = training_images.of_run(run, options.dataset, options.fit, **given)
    precision, why = devices.choose_precision(options.precision)
    if any(name.startswith("ppl") for name in names_of(options.metrics) or ()):
        if options.precision == "bfloat16":
            raise UsageError("--precision is bfloat16, in which the tiny steps of ppl drown; give float32")
        precision, why = "float32", "ppl takes tiny steps"
    log(f"{run.folder}: {options.which} weights, {trained.images_seen / 1000:.1f} kimg; precision: {precision} ({why})")
    folded = trained.folded(devices.KERAS_POLICIES[precision])
    sampler = Sampler(folded, options.seed, classes=trained.classes)
    parts = per_class.parts_of(options, trained, images, sampler.resolution) if options.per_class else ()
    return reals_at(images, sampler.resolution, config.mirror), sampler, folder, parts


def of_images(options):
    """(Reals, fakes, None) of two sets of images."""
    from gan_tf.metrics.fakes import StoredFakes
    from gan_tf.metrics.reals import Reals

    if options.per_class:
        per_class.refuse(options, "is no run and has no generator to be asked for a class")
    for name, default in (("which", "best"), ("precision", "auto"), ("seed", 0)):
        if (value := getattr(options, name)) != default:
            raise UsageError(f"--{name} is {value}, but {options.target} is no run and has no generator; leave it out")
    try:
        source = open_images(options, options.target, options.resolution)
    except UsageError as error:  # which takes it for a data set
        raise UsageError(str(error).removeprefix("--dataset ")) from error
    resolution = options.resolution or size_of(source)
    fakes = prepared(options, source, resolution)
    if options.resolution is None and len(fakes.report.sizes) > 1:
        most, other = list(fakes.report.sizes)[:2]
        raise UsageError(
            f"--resolution is missing: the images of {options.target} are of {len(fakes.report.sizes)} sizes, such as "
            f"{most} and {other}; name the one to measure them at"
        )
    reals = prepared(options, open_images(options, options.dataset, resolution), resolution)
    size = f"{resolution}x{resolution}"
    log(f"{options.target}: {len(fakes)} images, against {len(reals)} of {options.dataset}, at {size}")
    stored = StoredFakes(fakes.images, f"{len(fakes)} images of {fakes.name}")
    return Reals(reals.images, reals.key, reals.name), stored, None


def open_images(options, name, resolution):
    """An image source by its name or path."""
    return resolve(name, resolution=resolution or 256, offline=options.offline, log=log)


def prepared(options, source, resolution):
    """An ImageSet of a source."""
    from gan_tf.data.prepare import prepare

    fit = options.fit or "crop"
    images = prepare(source, resolution=resolution, fit=fit, memory_gb=options.memory_gb, log=log)
    if images.report.unreadable:
        log(f"{source.where or source.name}: {len(images.report.unreadable)} unreadable images left out")
    return images


def size_of(source):
    """Side of the first readable image.

    Raises:
        UsageError: it is not square, so that --resolution has to say what is meant.
    """
    from gan_tf.data.images import UnreadableImage, open_image

    for i in range(len(source)):
        try:
            image = open_image(source.read(i))
        except UnreadableImage:
            continue
        if image.width != image.height:
            raise UsageError(f"--resolution is missing: {source.names[i]} is {image.width}x{image.height}, not square")
        return image.width
    raise UsageError(f"{source.where or source.name}: none of {len(source)} images is readable")


def names_of(given):
    """The names that `--metrics` gives, each once; None where it is left out.

    Raises:
        UsageError: it names none.
    """
    if given is None:
        return None
    names = list(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    if not names:
        raise UsageError(f"--metrics is {given!r}; give names such as fid5k,memorisation")
    return names


def metric_names(given, reals, available):
    """Names of the metrics: those given, or the usual ones for so many reals and fakes (None: endless)."""
    if given is not None:
        return names_of(given)
    from gan_tf.metrics.definitions import METRICS, default_metric

    gate = default_metric(reals)
    short = available is not None and available < METRICS[gate].fakes
    return [*(("fid", "kid") if short else (gate, "kid5k")), "precision_recall", "memorisation"]


def table(scores):
    """The scores for people, with what they were measured with: first what is common to all of them."""
    rows = []
    for score in scores:
        value = f"{score.value:.1%}" if score.name in PERCENT else score.text().removeprefix(f"{score.name} ")
        parts = {name: part for name, part in score.parts.items() if name != "standard_error"}
        rows.append((score.name, value, ", ".join(f"{words(name)} {part:.4g}" for name, part in parts.items())))
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    lines = [f"{name:<{widths[0]}}  {value:<{widths[1]}}  {more}".rstrip() for name, value, more in rows]
    protocols = [score.protocol for score in scores]
    common = {key: v for key, v in protocols[0].items() if all(key in p and p[key] == v for p in protocols)}
    lines += ["", "measured with " + facts({key: v for key, v in common.items() if key != "versions"})]
    for score in scores:
        if own := {key: value for key, value in score.protocol.items() if key not in common}:
            lines.append(f"  {score.name}: {facts(own)}")
    lines.append("measured by " + facts(common["versions"]))
    return "\n".join(lines)


def facts(values):
    """A dict as words, long digests cut."""
    return ", ".join(f"{words(key)} {str(value)[:16] if key == 'network' else value}" for key, value in values.items())


def words(name):
    """A key as words."""
    return name.replace("_", " ")


def write(report, panel, folder):
    """Writes scores.json, and the closest pairs as copies.png, into a folder; returns it.

    Other scores that are there stay: those of another name, protocol or source of fakes.
    """
    if folder is None:
        return None
    from gan_tf.io import image_files

    folder = user_path(folder)
    report = {**report, "scores": [*other_scores(folder / "scores.json", report), *report["scores"]]}
    with writing(folder, "--out"):
        write_atomically(folder / "scores.json", (json.dumps(report, indent=2) + "\n").encode())
        if panel is not None:
            image_files.save_png(folder / "copies.png", panel)
    return folder


def other_scores(path, report):
    """The scores in a scores.json of the same target that `report` does not measure anew."""

    def measured(score):
        return score["name"], {key: value for key, value in score["protocol"].items() if key != "versions"}

    try:
        before = read_json(path)
        anew = [measured(score) for score in report["scores"]]
        return [s for s in before["scores"] if before["target"] == report["target"] and measured(s) not in anew]
    except (OSError, ValueError, KeyError, TypeError):  # missing, or not written by this program
        return []


def log(line):
    """Speaks on standard error: standard output is for the scores."""
    print(line, file=sys.stderr, flush=True)
