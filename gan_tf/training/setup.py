"""From settings and images to a job that can be trained: devices, precision, networks, state, checkpoints."""

import math
import platform
import re
import sys

import keras
import numpy as np
import tensorflow as tf

import gan_tf
from gan_tf.config.settings import stored_settings
from gan_tf.data import class_labels
from gan_tf.distributed import devices
from gan_tf.distributed.workers import Workers
from gan_tf.errors import UsageError
from gan_tf.losses import LOSSES
from gan_tf.metrics.definitions import default_metric
from gan_tf.metrics.networks import networks_of
from gan_tf.models import FAMILIES
from gan_tf.ops.normalisation import STDDEV_GROUP
from gan_tf.rng import Draws
from gan_tf.runs import folder as runs
from gan_tf.training import adaptation
from gan_tf.training import state as states
from gan_tf.training import train as loop
from gan_tf.training.evaluation import GRID_SEEDS, SAMPLE_BATCH, USUAL_GRID_SEEDS, Sampler
from gan_tf.training.job import Evaluators, Job, parts_of
from gan_tf.training.monitor import TensorBoard
from gan_tf.training.recipes import RECIPES
from gan_tf.training.transfer import begin_with, freeze


def build_job(config, image_set, run, log=None, cluster=None):
    """Makes a fresh job: precision, networks and everything around them.

    Says what was chosen and why. Nothing is written.

    Args:
        cluster: workers.Workers; None for this process alone.

    Raises:
        UsageError: a setting that these devices or networks cannot have, weights that cannot be had, or workers that
            differ in images or precision.
    """
    if len(image_set) < 2:
        raise UsageError(f"--dataset {config.dataset} has one image; give at least 2, better 100")
    recipe, family = RECIPES[config.model], FAMILIES[config.model]
    cluster = cluster or Workers(*devices.choose_strategy(config.strategy))
    strategy, log = cluster.strategy, log or cluster.log
    precision, why_precision = devices.choose_precision(config.precision)
    cluster.require_equal("--precision", precision, "give the same --precision to all")
    images = f"{config.dataset} ({len(image_set)} images, fingerprint {image_set.fingerprint[:12]})"
    cluster.require_equal("--dataset", image_set.fingerprint, "give all of them the same images", shown=images)
    replicas = strategy.num_replicas_in_sync
    known = class_labels.of_images(config, image_set)
    if known:
        log(words_of_classes(known, config))
    metric = default_metric(len(image_set)) if config.metric == "auto" else config.metric
    evaluators = Evaluators(metric, image_set, config.mirror, networks_of(config, log))
    if cluster.is_chief:
        evaluators.at(config.resolution).load_networks()  # the others measure nothing
    chosen = f"precision: {precision} ({why_precision})"
    log(f"device: {devices.describe()}, {replicas} in a step ({cluster.reason}); {chosen}")
    policy = devices.KERAS_POLICIES[precision]
    with strategy.scope():
        frozen = recipe.frozen_networks(config, log)
        g, d, g_ema = (build(config, policy) for build in (family.generator, family.discriminator, family.generator))
        freeze(recipe, d, config)
        scales_loss = precision == "float16"
        extra = {name: states.number() for name in (*getattr(recipe, "EXTRA", ()), *adaptation.extra_names(config))}
        state = states.create(
            g,
            d,
            g_ema,
            config,
            recipe.STATISTICS,
            scales_loss=scales_loss,
            extra=extra,
            frozen=frozen,
            decays=recipe.decays(config) if hasattr(recipe, "decays") else None,
        )
        if config.init_from and not run.checkpoints():
            begin_with(state, config, log)
    job = Job(
        config=config,
        run=run,
        state=state,
        recipe=recipe,
        strategy=strategy,
        image_set=image_set,
        sampler=Sampler(g_ema, family.fold(g_ema), config.seed, SAMPLE_BATCH, known),
        metric=metric,
        evaluators=evaluators,
        cluster=cluster,
        micro_batch=None if config.micro_batch == "auto" else config.micro_batch,
        epoch_images=config.epoch_length(len(image_set)),
        undecided_loss=undecided_loss(config),
    )
    refuse_unshared_batches(job)
    say_small_groups(job, log)
    job.enter(job.stages[0])
    return job


def words_of_classes(known, config):
    """Which classes are learnt, and where they stand in the sample grid."""
    side = math.isqrt(GRID_SEEDS.get(config.resolution, USUAL_GRID_SEEDS))
    return f"learns {len(known)} classes; rows of the sample grid: {known.describe_rows(side)}"


def refuse_unshared_batches(job):
    """Raises UsageError if the devices, or the micro-batches of one, cannot share the batch of some stage."""
    replicas = job.strategy.num_replicas_in_sync
    for stage in job.stages:
        if stage.batch_size % replicas:
            name, value = batch_setting(job.config)
            raise UsageError(
                f"{name} is {value}, but {replicas} devices share a batch of {stage.batch_size}; give a multiple of "
                f"{replicas}"
            )
        parts_of(job.micro_batch, stage.batch_size, replicas)


def say_small_groups(job, log):
    """Says where the minibatch standard deviation has fewer images to compare than its group should have."""
    group = stddev_group(job.config)
    replicas, found = job.strategy.num_replicas_in_sync, {}
    for stage in job.stages:
        share = stage.batch_size // replicas
        size = share // parts_of(job.micro_batch, stage.batch_size, replicas)
        if size % group:
            found[stage.resolution] = size
    if found:
        sizes = ", ".join(f"{size} at {resolution}x{resolution}" for resolution, size in found.items())
        log(f"minibatch standard deviation: groups of fewer than {group} images, since a device takes {sizes}")


def stddev_group(config):
    """Images whose spread D is shown together; 1 where it is shown none."""
    if config.grows and config.minibatch_stddev:
        return STDDEV_GROUP
    return config.mbstd_group if config.model == "stylegan2" else 1


def batch_setting(config):
    """(flag, value) of the setting that says how many images a step takes."""
    return ("--phase-batch", config.phase_batch) if config.grows else ("--batch-size", config.batch)


def undecided_loss(config):
    """D's adversarial loss when all logits are zero; None where it has no bound that D could come near to."""
    loss = LOSSES[config.loss]
    if not loss.bounded:
        return None
    logits = tf.zeros([config.batch, 50])
    draws = Draws(config.seed, tf.constant(0, tf.int64), config.batch)
    real_part, fake_part = loss.discriminator(logits, logits, draws)
    return float(tf.reduce_mean(real_part + fake_part))


def continue_or_begin(job, data):
    """Opens the run folder, restores the newest whole checkpoint, and forgets records that it does not cover.

    Args:
        job: a fresh job; its state is changed.
        data: dict with the "fingerprint", number of "images" and "class_names".

    Raises:
        UsageError: another process trains here, an identity field or the data changed, or no checkpoint is whole.
    """
    run, config, log = job.run, job.config, job.cluster.log
    if not job.cluster.is_chief:
        restore_or_begin(job)
        return
    changes = []
    if run.exists():
        before, stored = run.read_settings()
        runs.refuse_converted(stored, run.folder)
        runs.refuse_identity_change(before, config, run.folder)
        runs.refuse_data_change(stored, data, run.folder)
        changes = runs.describe_change(before, config)
    run.create()
    begun_before = run.exists()
    seen = restore_or_begin(job)
    run.write_settings(config, data)
    run.write_environment(environment(job))
    board, kept = TensorBoard(run.folder), -1 if seen is None else seen
    board.cut(kept)
    run.cut(kept)
    if seen is None:
        if begun_before:
            log(f"{run.folder} has no checkpoint yet: starting from the beginning")
        board.text(0, "settings", settings_table(config))
    else:
        log(f"continuing {run.folder} from {seen} images ({seen / 1000:.1f} kimg)")
        for change in changes:
            log(f"changed {change}")
        if changes:
            run.log(seen, "change", {"changes": changes})
    board.close()


def restore_or_begin(job):
    """Restores the newest whole checkpoint: its image count, None without one.

    `build_job` has given a fresh run the networks that it begins with. One that has checkpoints, but none that is
    whole, and none of trained images, begins with them here.
    """
    seen = loop.restore(job, job.cluster.log)
    if seen is None and job.config.init_from and job.run.checkpoints():
        begin_with(job.state, job.config, job.cluster.log)
    return seen


def environment(job):
    """Versions and devices, for environment.json."""
    return {
        "gan_tf": gan_tf.__version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "devices": devices.describe(),
        "replicas": job.strategy.num_replicas_in_sync,
        "precision": job.state.g.dtype_policy.name,
        "frozen": {name: network.protocol for name, network in job.state.frozen.items()},
        "command": sys.argv[1:],
    }


def settings_table(config):
    """The settings as a Markdown table; a value is text in it, whatever it holds."""
    rows = [f"| {name} | {literal(value)} |" for name, value in stored_settings(config).items()]
    return "\n".join(["| setting | value |", "|---|---|", *rows])


def literal(value):
    """A value as Markdown that shows it and nothing else: a path may hold bars, tags and new lines."""
    return re.sub(r"[^\w .,+-]|_", lambda match: f"&#{ord(match[0])};", str(value))
