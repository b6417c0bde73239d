"""`gan-tf train`, which is also `python train.py`: trains a generator, or continues a run."""

import argparse
import contextlib
import dataclasses
import os
import typing
from pathlib import Path

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.datasets import KNOWN_NAMES, resolve
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.config.presets import PRESETS, choose
from gan_tf.config.settings import TrainConfig, reject_other_families
from gan_tf.config.validation import AUTO, LOSSES, RESOLUTIONS, nearest_size
from gan_tf.distributed.cluster_spec import cluster_source
from gan_tf.errors import INTERRUPTED, Diverged, Interrupted, UsageError
from gan_tf.io.files import disk_remedy, printable, raise_fault
from gan_tf.io.locks import locked
from gan_tf.io.shell import quote

GROUPS = {  # {first field of each group in TrainConfig: title in --help}
    "dataset": "model and data",
    "loss": "optimisation",
    "augment": "augmentation",
    "total_kimg": "length and scoring",
    "precision": "computation",
    "run": "session",
    "ngf": "{} networks",
    "batch_size": "{} batches and losses",
}
CHOICES = {"resolution": RESOLUTIONS, "loss": LOSSES}  # {setting: {family: choices}}
FAMILY_NAMES = {"fastgan": "FastGAN", "pggan": "Progressive GAN", "stylegan2": "StyleGAN2"}


def main(argv) -> int:
    """Runs the command. Returns the exit code: 0 or INTERRUPTED; a lost worker ends it with LOST_WORKER."""
    config, preset = parse_arguments(argv)
    start_tensorflow(config.verbose)
    import tensorflow as tf

    from gan_tf.distributed import liveness
    from gan_tf.distributed.workers import start_workers
    from gan_tf.runs.folder import Run

    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    run = Run(config.run_folder)
    try:
        workers = start_workers(config, run.inside(run.folder / "workers"), liveness.StopSignals())
        workers.log(f"run: {run.folder} (preset {preset})")
        train_on(workers, config, run)
        workers.end()
    except Interrupted as signal_name:  # on all workers
        workers.end()
        print(f"{signal_name}: saved; the same command continues the run", flush=True)
        return INTERRUPTED
    except Diverged as error:  # on all workers
        workers.end()
        raise UsageError(str(error)) from error
    except (tf.errors.OpError, OSError, MemoryError, RuntimeError) as error:
        raise_fault(error, run.folder)
        if remedy := disk_remedy(error):  # before memory: TensorFlow raises ResourceExhaustedError for both
            raise UsageError(disk_error(error, remedy, run)) from error
        if isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)):
            raise UsageError(out_of_memory(config)) from error
        if cluster_source() and liveness.is_lost_worker_error(error):
            liveness.end_process(f"another worker is lost ({liveness.first_line(error)})")
        raise
    finally:
        run.close()
    return 0


def parse_arguments(argv):
    """Returns (TrainConfig, name of the preset). `--preset` and `--model` are read first: they set the defaults.

    Raises:
        UsageError: an unknown flag, preset or value, a flag of another family, or no dataset.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag in ("--preset", "--model"):
        parser.add_argument(flag, nargs="?", const="")  # without a value: "", which `choose` rejects
    given, rest = parser.parse_known_args(argv)
    preset, defaults = choose(given.preset, given.model)
    names = {word[2:].partition("=")[0].replace("-", "_") for word in rest if word.startswith("--")}
    reject_other_families({*names, *(name.removeprefix("no_") for name in names)}, defaults.model)
    presets = "; ".join(f"{family}: {', '.join(table)}" for family, table in PRESETS.items())
    description = (
        "Trains a generator, or continues a run.\n\n"
        f"Shown are the settings of --model {defaults.model} and the defaults of --preset {preset}; another --model "
        f"or --preset with --help shows those.\n\nPresets of {presets}."
    )
    options = arguments.parse(grouped_options(defaults, preset), rest, prog="gan-tf train", description=description)
    changes = {name: value for group in vars(options).values() for name, value in vars(group).items()}
    changes.pop("preset")
    config = dataclasses.replace(defaults, **changes)
    if "resolution" in names and config.resolution != changes["resolution"]:
        raise UsageError(f"--size {changes['size']} and --resolution {changes['resolution']}: leave one of them out")
    if not config.dataset:
        raise UsageError(f"--dataset is missing; give a folder, a .zip, an .npz, or one of {', '.join(KNOWN_NAMES)}")
    return config, preset


def grouped_options(defaults, preset):
    """Returns a dataclass of groups, each a dataclass of flags: the fields of the family, and `--preset`."""
    annotations = typing.get_type_hints(TrainConfig)
    groups = {}
    for field in dataclasses.fields(TrainConfig):
        if field.name in GROUPS:
            members = groups.setdefault(GROUPS[field.name].format(FAMILY_NAMES[defaults.model]), [])
        if defaults.model in field.metadata["models"] and field.metadata["help"]:
            annotation = annotations[field.name]
            if field.name in CHOICES:
                annotation = typing.Literal[CHOICES[field.name][defaults.model]]
            annotation = typing.Annotated[annotation, tyro.conf.arg(help=field.metadata["help"])]
            members.append((field.name, annotation, getattr(defaults, field.name)))
        if field.name == "model":
            help = "named settings, which set the defaults of the other flags"
            members.append(("preset", typing.Annotated[str, tyro.conf.arg(help=help)], preset))
    classes = {title: dataclasses.make_dataclass("Group", members) for title, members in groups.items()}
    return dataclasses.make_dataclass(
        "TrainOptions",
        [(f"group{n}", typing.Annotated[classes[title], tyro.conf.arg(name=title)]) for n, title in enumerate(classes)],
    )


def train_on(workers, config, run):
    """Opens the dataset, builds the trainer, and trains; with `--dry-run` only measures."""
    from gan_tf.augment.choice import mirror_text, turn_text
    from gan_tf.data.prepare import prepare
    from gan_tf.pretrained.published_networks import SOURCES
    from gan_tf.training.resume import check_start
    from gan_tf.training.schedule import schedule_text
    from gan_tf.training.train import train
    from gan_tf.training.trainer import build_trainer
    from gan_tf.training.trial import dry_run

    if run.exists() and AUTO in (config.size, config.channels):  # it has decided
        stored = run.read_settings()[0]
        automatic = {name for name in ("size", "channels") if getattr(config, name) == AUTO}
        config = dataclasses.replace(config, **{name: getattr(stored, name) for name in automatic})
        workers.log(f"auto: this run has {stored.size_text} images in {stored.channels}")
    check_start(run, config, workers.is_chief)  # before a download; `open_run` compares the images
    if config.dry_run:
        run.close()  # the run may be started meanwhile
    square = (config.resolution, config.resolution)
    size = square if config.size == AUTO else config.image_size
    source = resolve(config.dataset, size=size, offline=config.offline)
    if config.conditional:
        try:
            source.read_label_file(run.read_settings()[1]["fingerprint"] if run.exists() else "")
        except UsageError as error:
            raise UsageError(f"{error}, or leave out --conditional") from error
    config = with_automatic_settings(config, source, workers.log)
    dataset = prepare(
        source,
        size=config.image_size,
        channels=config.channels,
        fit=config.fit,
        background=config.background,
        bits=config.bits,
        limit=config.limit,
        # Several workers of a machine read their shares from one memory map, which is in memory once.
        memory_gb=config.memory_gb if workers.count == 1 else 0.0,
        log=workers.log,
    )
    workers.log(dataset.report.text())
    if config.channels == "rgba" and not run.exists():
        refuse_opaque_images(config, dataset)
    workers.log(mirror_text(config, continued=run.exists()))
    if text := turn_text(config):
        workers.log(text)
    config = with_classes(config, dataset)
    if config.init_from in SOURCES and not run.checkpoints():
        if config.size is not None or config.channels != "rgb":
            given = f"--size is {config.size}" if config.size else f"--channels is {config.channels!r}"
            raise UsageError(f"{given}, but --init-from {config.init_from} has networks of RGB squares; leave it out")
        prepare_published_networks(config.init_from, config.offline, workers.log)
    dataset = with_stored_order(dataset, config, run)
    trainer = build_trainer(config, dataset, run, workers)
    workers.log(schedule_text(config, trainer.stages, trainer.epoch_images, trainer.metric))
    if config.dry_run:
        dry_run(trainer)
        return
    train(trainer)
    workers.log(next_steps(run))


def with_automatic_settings(config, source, log):
    """Returns the settings, with channels and shape of the images of a source where these are "auto"."""
    from gan_tf.data.automatic import survey_shapes

    if AUTO not in (config.size, config.channels):
        return config
    found, changes = survey_shapes(source, config.limit, config.bits), {}
    if config.channels == AUTO:
        changes["channels"] = found.channels
        counts = f"{found.grey} of {found.count} images are grey, {found.transparent} have transparent parts"
        log(f"--channels {found.channels}: {counts}")
    if config.size == AUTO:
        changes["size"] = nearest_size(found.aspect, config.resolution, RESOLUTIONS[config.model])
        log(f"--size {changes['size']}: the median of width / height is {found.aspect:.2f}")
    return dataclasses.replace(config, **changes)


def refuse_opaque_images(config, dataset):
    """Raises UsageError if RGBA images have no transparent pixel, all of them or some."""
    from gan_tf.data.cache import read_rows

    opaque = []
    for first in range(0, len(dataset), 64):
        rows = range(first, min(first + 64, len(dataset)))
        alpha = read_rows(dataset.images, list(rows))[..., 3]
        opaque += [dataset.names[i] for i, least in zip(rows, alpha.min(axis=(1, 2)), strict=True) if least == 255]
    if opaque:
        raise UsageError(
            f"--channels is 'rgba', but {len(opaque)} of {len(dataset)} images of {config.dataset} have no transparent "
            f"parts, such as {printable(opaque[0])}; remove them, or give --channels rgb"
        )


def with_classes(config, dataset):
    """Returns the settings, with the number of classes of the dataset if the run is conditional.

    Raises UsageError if a conditional run has images of fewer than two classes.
    """
    if not config.conditional:
        return config
    present = len(set(dataset.labels.tolist())) if dataset.class_names else 0
    if present < 2:
        classes = f"all of one class ({dataset.class_names[dataset.labels[0]]})" if present else "without classes"
        raise UsageError(
            f"--conditional: the {len(dataset)} images of {config.dataset} are {classes}; put the images of each class "
            "into a separate folder within one folder and give that, or a dataset.json with labels, or leave out "
            "--conditional"
        )
    return dataclasses.replace(config, classes=len(dataset.class_names))


def with_stored_order(dataset, config, run):
    """Returns the images with their classes in the order of the run, or of that of `--init-from`, if names agree."""
    from gan_tf.data.class_labels import in_order
    from gan_tf.pretrained.published_networks import folder_of
    from gan_tf.runs.folder import Run

    begun = Run(folder_of(config.init_from)) if config.init_from and not run.exists() else run
    with contextlib.suppress(UsageError):  # of a damaged run: the start refuses it
        return in_order(dataset, begun.read_settings()[1].get("class_names", []))
    return dataset


def prepare_published_networks(name, offline, log):
    """Downloads and converts NVIDIA's networks of a name such as "ffhq256" into a run folder in the cache, once."""
    from gan_tf.cli.convert import convert
    from gan_tf.pretrained.published_networks import folder_of, obtain_source, record_source
    from gan_tf.runs.folder import Run

    folder = folder_of(name)
    with locked(folder.with_name(name + ".lock")):  # one of several workers of a machine converts
        if Run(folder).exists():
            return
        source = obtain_source(name, offline=offline, log=log)
        try:
            summary = convert(source.path, folder)
        except UsageError as error:  # such as a web page in place of the file
            raise UsageError(f"{error}; delete {source.path}, so that it is downloaded again") from error
        log(summary.partition("\nnext:")[0])
        record_source(name, source, log)


def disk_error(error, remedy, run):
    """Returns the error message for a file that cannot be read or written."""
    file, reason = getattr(error, "filename", None), getattr(error, "strerror", None)
    file = f"{file or run.folder} ({reason})" if reason else file or run.folder
    continues = ""
    with contextlib.suppress(OSError):  # reads no file: the end of a message
        if run.checkpoints():
            continues = ": the same command continues the run from its newest checkpoint"
    return f"cannot use {file}; {remedy} and start again{continues}"


def out_of_memory(config):
    """Returns the error message for a step that does not fit into memory, with settings that need less."""
    from gan_tf.distributed import devices

    batches = config.batch_sizes.values()
    size = config.micro_batch if isinstance(config.micro_batch, int) else max(batches)
    remedies = []
    if size > 1 and config.loss != "dual_contrastive":
        smaller = next(n for n in range(size // 2, 0, -1) if all(b <= n or b % n == 0 for b in batches))
        remedies.append(f"give --micro-batch {smaller} (or auto) to continue this run")
    if devices.choose_precision(config.precision, training=True)[0] == "float32":
        remedies.append("give --precision bfloat16 to continue this run")
    name = "--phase-batch" if config.grows else "--batch-size"
    remedies.append(f"start another with a smaller {name} or {config.size_flag.split()[0]}")
    value = config.phase_batch if config.grows else config.batch
    return f"out of memory at {config.size_flag}, {name} {value}: {', or '.join(remedies)}"


def next_steps(run):
    """The lines at the end of a run: best score, report, sample grid, and commands to try next."""
    from gan_tf.metrics.score import from_stored

    lines = []
    if best := run.best_meta():
        lines.append(f"best {from_stored(best['score']).text()} at {best['images_seen'] / 1000:.1f} kimg ({run.best})")
    if run.report.exists():
        lines.append(f"report: {run.report}")
    if grid := run.newest_grid():
        lines.append(f"samples: {grid}")
    folder, seen = Path(os.path.relpath(run.folder)), best["images_seen"] if best else 0
    # Other weights get another folder: `generate` does not replace images.
    out, which = Path(f"{run.folder.name}-{seen}"), "" if best else " --which last"
    lines += ["next:", f"  gan-tf generate {quote(folder)}{which} --seeds 0-63 --out {quote(out)} --grid"]
    return "\n".join([*lines, f"  tensorboard --logdir {quote(folder.parent)}"])
