"""Starts a run: a new one creates its folder, an existing one continues from its newest complete checkpoint."""

import functools
import os
import platform
import re
import sys

import keras
import numpy as np
import tensorflow as tf

import gan_tf
from gan_tf.config.settings import architecture_fields, as_argument, changed, flag, stored_settings
from gan_tf.data import class_labels
from gan_tf.data.cache import check_space
from gan_tf.distributed import devices
from gan_tf.errors import UsageError
from gan_tf.io.files import refuse_no_access, user_path
from gan_tf.io.shell import quote
from gan_tf.runs.files import write_images
from gan_tf.training.schedule import growing_stages
from gan_tf.training.selection import expected_score_seconds
from gan_tf.training.state import restore_checkpoint, restore_newest, save_state, state_bytes
from gan_tf.training.transfer import begin_with_run


def check_start(run, config, is_chief=True, writes=False):
    """Raises UsageError if a start is refused whatever the images are.

    The chief locks an existing run. With `writes`, it creates the folders of the run.
    """
    if os.path.realpath(run.folder) == os.path.realpath(user_path(config.dataset)):
        raise UsageError(
            f"--run: {run.folder} would be the run folder, but is --dataset; give another --run or --checkpoints"
        )
    if is_chief:
        run.create(writes=writes)
    if not run.exists():
        return
    before, data = run.read_settings()
    if origin := data.get("converted_from"):
        raise UsageError(
            f"--run: {run.folder} was converted from {origin} and has no training images, so it cannot be continued; "
            f"start a run from it: --init-from {quote(run.folder)} --run NAME"
        )
    refuse_identity_change(before, config, run)


def open_run(trainer) -> int | None:
    """Does all that can refuse a start, and restores the newest checkpoint. With `--dry-run` it writes nothing.

    Returns:
        the number of images seen; None without a checkpoint.

    Raises:
        UsageError: another process trains here, an identity setting or the data changed, the disk is too small for a
            checkpoint, or no checkpoint of a trained run can be read.
    """
    run, config = trainer.run, trainer.config
    if trainer.workers.is_chief:
        check_space(run.folder, state_bytes(trainer.state), "a checkpoint", "free some, or give another --checkpoints")
        check_start(run, config, writes=not config.dry_run)  # again: another process may have started the run
        if run.exists():
            before, stored = run.read_settings()
            refuse_data_change(before, config, stored, trainer.dataset, run)
    seen = restore(trainer)
    # `build_trainer` loads these networks into a run without checkpoints. Here the only one, of image 0, is damaged.
    if seen is None and config.init_from and run.checkpoints():
        begin_with_run(trainer.state, config, trainer.log.print)
    return seen


def start_run(trainer) -> int:
    """Starts or continues the run in its folder. Returns the number of images seen. Raises as `open_run`.

    Also renames damaged best weights.
    """
    run, config, log, existed = trainer.run, trainer.config, trainer.log, trainer.run.exists()
    seen = open_run(trainer)
    if not trainer.workers.is_chief:
        return seen or 0
    pairs = changed(run.read_settings()[0], config, "run") if existed else {}
    changes = [f"{flag(name)}: {old} -> {new}" for name, (old, new) in pairs.items()]
    run.write_settings(config, data_of(trainer.dataset))
    write_images(run.images, trainer.dataset.contents)
    run.write_environment(environment(trainer))
    log.cut(-1 if seen is None else seen)
    if seen is None:
        if existed:
            log.print(f"{run.folder} has no complete checkpoint yet: starting from the beginning")
        log.text(0, "settings", settings_table(config))
    else:
        log.print(f"continuing {run.folder} from {seen} images ({seen / 1000:.1f} kimg)")
        for change in changes:
            log.print(f"changed {change}")
        if changes:
            log.record(seen, "change", {"changes": changes})
    log.close()
    try:
        if run.best.exists():
            run.best_weights()
    except UsageError as error:
        refuse_no_access(error, run.best)
        aside = run.best.replace(run.best.with_suffix(".damaged"))
        log.print(f"warning: {error}; it is now {aside.name}, and the next score replaces it")
    if not seen:
        save_checkpoint(trainer)  # for a rollback in the first epoch
    if (seen or 0) < config.total_images:
        log.expect_score = functools.partial(expected_score_seconds, trainer)
    return seen or 0


def data_of(dataset) -> dict:
    """Returns the description of the training images that config.json stores."""
    return {
        "fingerprint": dataset.fingerprint,
        "images": len(dataset),
        "original_size": dataset.report.median,  # before --fit
        "class_names": list(dataset.class_names),
        "class_counts": class_labels.counts_of(dataset),
    }


def refuse_identity_change(before, after, run):
    """Raises UsageError if `after` changes a setting that must stay the same for the whole run."""
    pairs = changed(before, after, "identity")
    pairs.pop("classes", None)  # not a flag: it follows from --conditional and the images
    if not pairs:
        return
    changes = [f"{flag(name)} is {new!r} and was {old!r}" for name, (old, new) in pairs.items()]
    flags = " ".join(as_argument(name, old) for name, (old, _) in pairs.items())
    other = "--run NAME to start another"
    same_networks = not {*architecture_fields(before.model), "model", "conditional", "init_from"} & pairs.keys()
    if same_networks and gives_networks(run, before):
        other += f" (with --init-from {quote(run.folder)} it begins with the networks of this one)"
    raise UsageError(f"{', '.join(changes)}: give {flags} to continue the run {run.folder}, or {other}")


def refuse_data_change(before, after, stored, dataset, run):
    """Raises UsageError if the images, or the number of their classes, are not those that the run was started with.

    `stored`: the description of its images in config.json; `dataset`: ImageSet of this start.
    """
    if stored["fingerprint"] == dataset.fingerprint and before.classes == after.classes:
        return
    where, remedy = f"--dataset {after.dataset}", "restore them, or give --run NAME to start another run"
    if before.classes != after.classes:
        where = f"--dataset has {after.classes} classes, and had {before.classes}"
    elif gives_networks(run, before):
        remedy += f", with --init-from {quote(run.folder)} to continue from these weights on the new images"
    raise UsageError(
        f"{where}: its images changed since the run {run.folder} was started: "
        f"{run.describe_changes(stored['images'], dataset)}; {remedy}"
    )


def gives_networks(run, config) -> bool:
    """Returns True if `--init-from` can load the networks of a run with these settings."""
    fully_grown = not config.grows or run.trained_images() >= growing_stages(config)[-1].first_image
    return fully_grown and bool(run.checkpoints())


def restore(trainer) -> int | None:
    """Restores the newest complete checkpoint, the same on all workers; returns its image count, None without one."""
    workers, state, run = trainer.workers, trainer.state, trainer.run
    seen = restore_newest(state, run, trainer.log.print) if workers.is_chief else None
    [shared] = workers.broadcast(-1 if seen is None else seen)
    if shared < 0:
        return None
    if not workers.is_chief:
        restore_checkpoint(state, int(shared), run.checkpoint_prefix(int(shared)))
    workers.broadcast()  # the chief may write to the same files next
    return int(shared)


def save_checkpoint(trainer):
    """Writes a checkpoint on the chief; other workers do nothing.

    TensorBoard events are flushed first: a run that continues from the checkpoint does not write them again.
    """
    if trainer.workers.is_chief:
        trainer.log.flush()
        save_state(trainer.state, trainer.run, trainer.config.keep)
        trainer.timer.record_save()


def environment(trainer) -> dict:
    """Returns versions and devices for environment.json."""
    return {
        "gan_tf": gan_tf.__version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "devices": devices.describe(),
        "replicas": trainer.strategy.num_replicas_in_sync,
        "precision": trainer.state.g.dtype_policy.name,
        "frozen": {name: network.protocol for name, network in trainer.state.frozen.items()},
        "command": sys.argv[1:],
    }


def settings_table(config) -> str:
    """Returns the settings as a Markdown table. Values are escaped: a path may contain bars and HTML tags."""

    def escape(value):
        return re.sub(r"[^\w .,+-]|_", lambda match: f"&#{ord(match[0])};", str(value))

    rows = [f"| {name} | {escape(value)} |" for name, value in stored_settings(config).items()]
    return "\n".join(["| setting | value |", "|---|---|", *rows])
