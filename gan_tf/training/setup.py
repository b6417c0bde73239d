"""From settings and images to a job that can be trained: devices, precision, networks, state, checkpoints."""

import math
import platform
import sys

import keras
import numpy as np
import tensorflow as tf

import gan_tf
from gan_tf import run as runs
from gan_tf.config import stored_settings
from gan_tf.data.pipeline import Feed
from gan_tf.errors import UsageError
from gan_tf.losses import LOSSES
from gan_tf.metrics.evaluate import Evaluator
from gan_tf.metrics.networks import networks_of
from gan_tf.metrics.reals import Reals
from gan_tf.metrics.table import default_gate
from gan_tf.models import FAMILIES
from gan_tf.rng import Draws
from gan_tf.training import devices, scoring
from gan_tf.training import state as states
from gan_tf.training.evaluation import SAMPLE_BATCH, Sampler
from gan_tf.training.loop import Job
from gan_tf.training.monitor import TensorBoard
from gan_tf.training.recipes import RECIPES

GPU_STEPS_PER_CALL = 16


def build_job(config, image_set, run, say=print):
    """Makes a fresh job: strategy, precision, networks and everything around them.

    Says what was chosen and why. Nothing is written.

    Raises:
        UsageError: a setting that these devices or networks cannot have, or weights that cannot be had.
    """
    if len(image_set) < 2:
        raise UsageError(f"--dataset {config.dataset} has one image; give at least 2, better 100")
    recipe, family = RECIPES[config.model], FAMILIES[config.model]
    strategy, why_strategy = devices.choose_strategy(config.strategy)
    precision, why_precision = devices.choose_precision(config.precision)
    replicas = strategy.num_replicas_in_sync
    if config.batch_size % replicas:
        raise UsageError(
            f"--batch-size is {config.batch_size}, but {replicas} devices share a batch; give a multiple of {replicas}"
        )
    parts = parts_of(config, replicas)
    metric = default_gate(len(image_set)) if config.metric == "auto" else config.metric
    evaluator = build_evaluator(config, metric, image_set, say)
    say(
        f"device: {devices.describe()}, {replicas} in a step ({why_strategy}); precision: {precision} ({why_precision})"
    )
    feed = Feed(image_set, config.batch_size, config.seed, config.mirror)
    policy = devices.KERAS_POLICIES[precision]
    with strategy.scope():
        feed.place()
        frozen = recipe.frozen_networks(config, say)
        g, d, g_ema = (build(config, policy) for build in (family.generator, family.discriminator, family.generator))
        scales_loss = precision == "float16"
        state = states.create(g, d, g_ema, config, recipe.STATISTICS, scales_loss=scales_loss, frozen=frozen)
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    return Job(
        config=config,
        run=run,
        state=state,
        recipe=recipe,
        feed=feed,
        strategy=strategy,
        sampler=Sampler(g_ema, family.fold(g_ema), config.seed, SAMPLE_BATCH),
        metric=metric,
        evaluator=evaluator,
        parts=parts,
        steps_per_call=config.steps_per_call or (GPU_STEPS_PER_CALL if on_gpu else 1),
        epoch_images=config.epoch_length(len(image_set)),
        undecided_loss=undecided_loss(config, d),
    )


def build_evaluator(config, metric, image_set, say):
    """The score of this run and its copy check, with the networks that they need.

    Raises:
        UsageError: weights that cannot be had.
    """
    reals = Reals(image_set.images, image_set.key, image_set.name, config.mirror)
    evaluator = Evaluator([metric, scoring.COPIES], reals, networks_of(config, say))
    evaluator.load_networks()
    return evaluator


def parts_of(config, replicas):
    """Micro-batches in a replica's share of the batch.

    Raises:
        UsageError: the share cannot be cut into micro-batches of that size.
    """
    share = config.batch_size // replicas
    if config.micro_batch in (None, "auto"):
        return 1
    size = min(config.micro_batch, share)
    if share % size:
        raise UsageError(f"--micro-batch is {size}, which does not divide the {share} images of each device")
    return share // size


def undecided_loss(config, d):
    """D's adversarial loss when all logits are zero."""
    logits = tf.zeros([config.batch_size, 50])
    draws = Draws(config.seed, tf.constant(0, tf.int64), config.batch_size)
    real_part, fake_part = LOSSES[config.loss].discriminator(logits, logits, draws)
    return float(tf.reduce_mean(real_part + fake_part))


def continue_or_begin(job, data, say=print):
    """Opens the run folder, restores the newest whole checkpoint, and forgets records that it does not cover.

    Args:
        job: a fresh job; its state is changed.
        data: dict with the "fingerprint", number of "images" and "class_names".

    Raises:
        UsageError: another process trains here, an identity field or the data changed, or no checkpoint is whole.
    """
    run, config = job.run, job.config
    changes = []
    if run.exists():
        before, stored = run.read_settings()
        runs.refuse_identity_change(before, config, run.folder)
        runs.refuse_data_change(stored, data, run.folder)
        changes = runs.describe_change(before, config)
    run.create()
    begun_before = run.exists()
    seen = states.restore_newest(job.state, run, say)
    run.write_settings(config, data)
    run.write_environment(environment(job))
    board, kept = TensorBoard(run.folder), -1 if seen is None else seen
    board.cut(kept)
    run.cut(kept)
    if seen is None:
        if begun_before:
            say(f"{run.folder} has no checkpoint yet: starting from the beginning")
        board.text(0, "settings", settings_table(config))
    else:
        say(f"continuing {run.folder} from {seen} images ({seen / 1000:.1f} kimg)")
        for change in changes:
            say(f"changed {change}")
        if changes:
            run.log(seen, "change", {"changes": changes})
    board.close()


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
    """The settings as a Markdown table."""
    rows = [f"| {name} | {value} |" for name, value in stored_settings(config).items()]
    return "\n".join(["| setting | value |", "|---|---|", *rows])


def schedule_text(job):
    """What will happen, in a few lines."""
    config = job.config
    epochs = math.ceil(config.total_images / job.epoch_images)
    return (
        f"schedule: {config.total_images / 1000:g} kimg in {epochs} epochs of {job.epoch_images} images, "
        f"{config.batch_size} to a step; {job.metric} every {config.eval_every} epochs"
    )
