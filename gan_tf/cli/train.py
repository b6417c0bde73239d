"""`gan-tf train`, which is also `python train.py`: from a command line to a trained generator."""

import dataclasses
import os
import sys

from gan_tf.cli.datasets import resolve
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.cli.train_arguments import parse_arguments
from gan_tf.distributed.cluster_spec import cluster_source
from gan_tf.errors import UsageError
from gan_tf.io.files import disk_remedy, is_temporary, locked
from gan_tf.metrics.score import from_stored
from gan_tf.pretrained.published_networks import SOURCES, folder_of, obtain_source, record_source
from gan_tf.runs.folder import Run, refuse_converted

FAULT = 1  # exit code of what another start may mend
INTERRUPTED = 42  # exit code after SIGINT or SIGTERM: start me again


def main(argv) -> int:
    """Trains, or continues a run. Returns the exit code."""
    config, preset = parse_arguments(argv)
    start_tensorflow(config.verbose)
    return train(config, preset)


def train(config, preset) -> int:
    """The whole of training, once the settings are known. Returns the exit code."""
    import tensorflow as tf

    from gan_tf.distributed import liveness
    from gan_tf.distributed.stop_signals import StopSignals
    from gan_tf.distributed.workers import start_workers
    from gan_tf.training.monitor import Diverged, Interrupted

    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    run = Run(config.run_folder)
    try:
        cluster = start_workers(config, run.workers_folder(), StopSignals())
        cluster.log(f"run: {run.folder} (preset {preset})")
        train_in(cluster, config, run)
        cluster.end()
    except Interrupted as stop:
        print(f"{stop}: saved; the same command continues the run", flush=True)
        return INTERRUPTED
    except Diverged as accident:
        raise UsageError(str(accident)) from accident
    except (tf.errors.OpError, OSError, MemoryError, RuntimeError) as error:
        if is_temporary(error):
            print(
                f"gan-tf: error: {disk_refuses(error, 'nothing is wrong with the settings: wait', run)}",
                file=sys.stderr,
            )
            return FAULT
        if remedy := disk_remedy(error):  # first: TensorFlow calls a full disk an exhausted resource, as it does memory
            raise UsageError(disk_refuses(error, remedy, run)) from error
        if isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)):
            raise UsageError(out_of_memory(config)) from error
        if cluster_source() and liveness.is_lost_worker_error(error):
            liveness.end_process(f"another worker is lost ({liveness.first_line(error)})")
        raise
    finally:
        run.close()
    return 0


def train_in(cluster, config, run):
    """Trains among the workers of `cluster`."""
    from gan_tf.data import class_labels
    from gan_tf.data.prepare import prepare
    from gan_tf.training import forecast, setup, trial
    from gan_tf.training import train as loop

    if run.exists():
        refuse_converted(run.read_settings()[1], run.folder)
    source = resolve(config.dataset, resolution=config.resolution, offline=config.offline)
    images = prepare(
        source,
        resolution=config.resolution,
        fit=config.fit,
        background=config.background,
        limit=config.limit,
        # Several workers read their shares from a file, which those of one machine have in memory once.
        memory_gb=config.memory_gb if cluster.count == 1 else 0.0,
        log=cluster.log,
    )
    cluster.log(images.report.text())
    config = with_classes(config, images)
    data = {"fingerprint": images.fingerprint, "images": len(images), "class_names": list(images.class_names)}
    data["class_counts"] = class_labels.counts_of(images)
    if config.init_from in SOURCES and not run.checkpoints():
        prepare_source(config.init_from, config.offline, cluster.log)
    job = setup.build_job(config, images, run, cluster=cluster)
    if cluster.is_chief:
        cluster.log(forecast.schedule_text(job))
    if config.dry_run:
        trial.dry_run(job)
        return
    setup.continue_or_begin(job, data)
    loop.train(job)
    cluster.log(farewell(run))


def with_classes(config, images):
    """The settings with the number of classes that the images have, if they are to be learnt.

    Raises:
        UsageError: there are fewer than two.
    """
    if not config.conditional:
        return config
    present = len(set(images.labels.tolist())) if images.class_names else 0
    if present < 2:
        found = f"all of one class ({images.class_names[images.labels[0]]})" if present else "of no classes"
        raise UsageError(
            f"--conditional: the {len(images)} images of {config.dataset} are {found}; put those of each class into a "
            "folder of its own within one folder and give that, or leave out --conditional"
        )
    return dataclasses.replace(config, classes=len(images.class_names))


def prepare_source(name, offline, log):
    """Makes the run folder of NVIDIA's networks of a known name, unless the cache has it.

    Raises:
        UsageError: the file cannot be had, or holds no such networks and is to be deleted.
    """
    from gan_tf.cli.convert import convert

    folder = folder_of(name)
    with locked(folder.with_name(name + ".lock")):  # of several workers of a machine one converts
        if Run(folder).exists():
            return
        found = obtain_source(name, offline=offline, log=log)
        try:
            said = convert(found.path, folder)
        except UsageError as error:  # such as a page of words in the place of the file
            raise UsageError(f"{error}; delete {found.path}, so that it is fetched again") from error
        log(said.partition("\nnext:")[0])
        record_source(name, found, log)


def disk_refuses(error, remedy, run):
    """What to do when a file of the run, or one that it needs, cannot be used."""
    file, reason = getattr(error, "filename", None), getattr(error, "strerror", None)
    why = f" ({reason})" if reason else ""
    return (
        f"cannot use {file or run.folder}{why}; {remedy} and start again: the same command continues the run from "
        "its newest checkpoint"
    )


def out_of_memory(config):
    """What to do when a step does not fit."""
    batches = config.phase_batches.values()
    size = config.micro_batch if isinstance(config.micro_batch, int) else max(batches)
    helps = []
    if size > 1 and config.loss != "dual_contrastive":
        smaller = next(n for n in range(size // 2, 0, -1) if all(b <= n or b % n == 0 for b in batches))
        helps.append(f"give --micro-batch {smaller} (or auto) to continue this run")
    if config.precision in ("auto", "float32"):
        helps.append("give --precision bfloat16 to continue this run")
    name = "--phase-batch" if config.grows else "--batch-size"
    helps.append(f"start another with a smaller {name} or --resolution")
    value = config.phase_batch if config.grows else config.batch
    return f"out of memory at --resolution {config.resolution}, {name} {value}: {', or '.join(helps)}"


def farewell(run):
    """The last words: score, grid, and what to do next."""
    best = run.best_meta()
    lines = []
    if best:
        score, seen = best["score"], best["images_seen"]
        lines.append(f"best {from_stored(score).text()} at {seen / 1000:.1f} kimg ({run.best})")
    if run.report.exists():
        lines.append(f"report: {run.report}")
    if grid := run.newest_grid():
        lines.append(f"samples: {grid}")
    folder = os.path.relpath(run.folder)
    lines += [
        "next:",
        f"  gan-tf generate {folder} --seeds 0-63 --out pictures --grid",
        f"  tensorboard --logdir {os.path.dirname(folder) or '.'}",
        "  the same train command with a larger --total-kimg trains on",
    ]
    return "\n".join(lines)
