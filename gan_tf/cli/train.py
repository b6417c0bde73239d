"""`gan-tf train`, which is also `python train.py`: trains a generator, or continues a run."""

import dataclasses
import os
import sys

from gan_tf.cli.datasets import resolve
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.cli.train_arguments import parse_arguments
from gan_tf.distributed.cluster_spec import cluster_source
from gan_tf.errors import Diverged, Interrupted, UsageError
from gan_tf.io.files import disk_remedy, is_temporary, locked

FAULT = 1  # exit code of an error that another start may not meet
INTERRUPTED = 42  # exit code after SIGINT or SIGTERM: the run is saved and can be started again


def main(argv) -> int:
    """Runs the command. Returns the exit code."""
    config, preset = parse_arguments(argv)
    start_tensorflow(config.verbose)
    return train(config, preset)


def train(config, preset) -> int:
    """Trains with these settings, and turns errors into a line and an exit code.

    Raises:
        UsageError: exit code 2.
    """
    import tensorflow as tf

    from gan_tf.distributed import liveness
    from gan_tf.distributed.stop_signals import StopSignals
    from gan_tf.distributed.workers import start_workers
    from gan_tf.runs.folder import Run

    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    run = Run(config.run_folder)
    try:
        workers = start_workers(config, run.workers_folder(), StopSignals())
        workers.log(f"run: {run.folder} (preset {preset})")
        train_on(workers, config, run)
        workers.end()
    except Interrupted as signal_name:
        print(f"{signal_name}: saved; the same command continues the run", flush=True)
        return INTERRUPTED
    except Diverged as error:
        raise UsageError(str(error)) from error
    except (tf.errors.OpError, OSError, MemoryError, RuntimeError) as error:
        if is_temporary(error):
            message = disk_error(error, "this is not due to the settings: wait", run)
            print(f"gan-tf: error: {message}", file=sys.stderr)
            return FAULT
        if remedy := disk_remedy(error):  # first: TensorFlow reports a full disk as an exhausted resource, like memory
            raise UsageError(disk_error(error, remedy, run)) from error
        if isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)):
            raise UsageError(out_of_memory(config)) from error
        if cluster_source() and liveness.is_lost_worker_error(error):
            liveness.end_process(f"another worker is lost ({liveness.first_line(error)})")
        raise
    finally:
        run.close()
    return 0


def train_on(workers, config, run):
    """Opens the data set, builds the trainer, and trains (or measures, with `--dry-run`)."""
    from gan_tf.data.prepare import prepare
    from gan_tf.pretrained.published_networks import SOURCES
    from gan_tf.runs.folder import refuse_converted
    from gan_tf.training.dry_run import dry_run
    from gan_tf.training.schedule import schedule_text
    from gan_tf.training.train import train
    from gan_tf.training.trainer import build_trainer

    if run.exists():
        refuse_converted(run.read_settings()[1], run.folder)
    source = resolve(config.dataset, resolution=config.resolution, offline=config.offline)
    dataset = prepare(
        source,
        resolution=config.resolution,
        fit=config.fit,
        background=config.background,
        limit=config.limit,
        # Several workers of a machine read their shares from one file, which is in memory once.
        memory_gb=config.memory_gb if workers.count == 1 else 0.0,
        log=workers.log,
    )
    workers.log(dataset.report.text())
    config = with_classes(config, dataset)
    if config.init_from in SOURCES and not run.checkpoints():
        prepare_published_networks(config.init_from, config.offline, workers.log)
    trainer = build_trainer(config, dataset, run, workers)
    workers.log(schedule_text(config, trainer.stages, trainer.epoch_images, trainer.metric))
    if config.dry_run:
        dry_run(trainer)
        return
    train(trainer)
    workers.log(next_steps(run))


def with_classes(config, dataset):
    """The settings with the number of classes of the data set, if the run is conditional.

    Raises:
        UsageError: there are fewer than two classes.
    """
    if not config.conditional:
        return config
    present = len(set(dataset.labels.tolist())) if dataset.class_names else 0
    if present < 2:
        classes = f"all of one class ({dataset.class_names[dataset.labels[0]]})" if present else "without classes"
        raise UsageError(
            f"--conditional: the {len(dataset)} images of {config.dataset} are {classes}; put the images of each class "
            "into a separate folder within one folder and give that, or leave out --conditional"
        )
    return dataclasses.replace(config, classes=len(dataset.class_names))


def prepare_published_networks(name, offline, log):
    """Converts NVIDIA's networks of a known name into a run folder in the cache, unless it exists.

    Raises:
        UsageError: the file cannot be obtained, or has no such networks and must be deleted.
    """
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
    """The message for a file that cannot be read or written."""
    file, reason = getattr(error, "filename", None), getattr(error, "strerror", None)
    file = f"{file or run.folder} ({reason})" if reason else file or run.folder
    return f"cannot use {file}; {remedy} and start again: the same command continues the run from its newest checkpoint"


def out_of_memory(config):
    """The message for a step that does not fit into memory, with the settings that need less."""
    batches = config.phase_batches.values()
    size = config.micro_batch if isinstance(config.micro_batch, int) else max(batches)
    remedies = []
    if size > 1 and config.loss != "dual_contrastive":
        smaller = next(n for n in range(size // 2, 0, -1) if all(b <= n or b % n == 0 for b in batches))
        remedies.append(f"give --micro-batch {smaller} (or auto) to continue this run")
    if config.precision in ("auto", "float32"):
        remedies.append("give --precision bfloat16 to continue this run")
    name = "--phase-batch" if config.grows else "--batch-size"
    remedies.append(f"start another with a smaller {name} or --resolution")
    value = config.phase_batch if config.grows else config.batch
    return f"out of memory at --resolution {config.resolution}, {name} {value}: {', or '.join(remedies)}"


def next_steps(run):
    """The lines at the end of a run: best score, report, sample grid, and commands to try next."""
    from gan_tf.metrics.score import from_stored

    lines = []
    if best := run.best_meta():
        score, seen = from_stored(best["score"]), best["images_seen"]
        lines.append(f"best {score.text()} at {seen / 1000:.1f} kimg ({run.best})")
    if run.report.exists():
        lines.append(f"report: {run.report}")
    if grid := run.newest_grid():
        lines.append(f"samples: {grid}")
    folder = os.path.relpath(run.folder)
    lines += [
        "next:",
        f"  gan-tf generate {folder} --seeds 0-63 --out images --grid",
        f"  tensorboard --logdir {os.path.dirname(folder) or '.'}",
    ]
    return "\n".join(lines)
