"""Trainer: networks, input pipeline, evaluator and everything else that the training loop works with."""

import dataclasses
import math
import time

import tensorflow as tf

from gan_tf.config.settings import TrainConfig
from gan_tf.data import class_labels
from gan_tf.data.pipeline import InputPipeline
from gan_tf.data.prepare import ImageSet
from gan_tf.distributed import devices
from gan_tf.distributed.workers import Workers
from gan_tf.errors import UsageError
from gan_tf.metrics.definitions import warn_of_relatives
from gan_tf.metrics.evaluate import Evaluator
from gan_tf.metrics.features import Networks, networks_of
from gan_tf.metrics.image_sets import reals_at
from gan_tf.metrics.memorisation import COPY_CHECK
from gan_tf.models import FAMILIES
from gan_tf.models.statistics import StandingStatistics, has_statistics
from gan_tf.ops.normalisation import STDDEV_GROUP
from gan_tf.runs.folder import Run
from gan_tf.sampling.sampler import Sampler
from gan_tf.training.adaptation import extra_names
from gan_tf.training.log import RunLog
from gan_tf.training.recipes import recipe_of
from gan_tf.training.samples import grid_side
from gan_tf.training.schedule import Stage, Timer, stage_at, stage_before
from gan_tf.training.selection import automatic_metric
from gan_tf.training.state import TrainState, create_state, weights_of
from gan_tf.training.step import Recipe, Variant, compile_steps
from gan_tf.training.transfer import begin_with_run, freeze_discriminator

RECORDS_PER_EPOCH = 20  # of kind "train" in stats.jsonl
# Defaults of --steps-per-call; on a CPU it is 1 at resolutions above SHORT_STEP_PIXELS.
GPU_STEPS_PER_CALL = 16
SHORT_STEPS_PER_CALL = 8
SHORT_STEP_PIXELS = 16


@dataclasses.dataclass
class Trainer:
    """The parts of a run, built by `build_trainer`. `enter` selects the stage of the steps that follow."""

    config: TrainConfig
    run: Run
    workers: Workers
    strategy: tf.distribute.Strategy
    dataset: ImageSet  # at the run's full resolution
    recipe: Recipe
    state: TrainState
    sampler: Sampler  # of the EMA generator
    standing: StandingStatistics | None  # on the chief, for generators with batch norm
    metric_networks: Networks  # Inception and LPIPS, for the scores
    metric: str  # the score that selects the best weights
    log: RunLog
    stages: list[Stage]
    epoch_images: int
    images_per_record: int  # images between two train records
    micro_batch: int | None  # images that a device computes together; None: its whole share of the batch

    timer: Timer | None = None  # set by `train`

    # Of the current stage.
    stage: Stage | None = None
    pipeline: InputPipeline | None = None
    iterator: object = None
    compiled: dict = dataclasses.field(default_factory=dict)  # {variant: tf.function}
    latest_evaluator: tuple | None = None  # (resolution, Evaluator)

    def stage_at(self, seen) -> Stage:
        """The stage of the image after `seen`."""
        return stage_at(self.stages, seen)

    def stage_before(self, seen) -> Stage:
        """The stage of image number `seen`."""
        return stage_before(self.stages, seen)

    def enter(self, stage, seen=None):
        """Makes a stage current. If its sizes differ, a new input pipeline replaces the old one, whose memory is freed.

        A stage that resets the optimisers does so only if `seen` is its first image.
        """
        sizes = (stage.resolution, stage.batch_size)
        self.iterator = None
        if self.stage is None or sizes != (self.stage.resolution, self.stage.batch_size):
            self.pipeline, self.compiled = None, {}  # first: two datasets may not fit on the accelerator
            config = self.config
            images = self.dataset.at(config.image_size_at(stage.resolution)[0])
            # Each of several workers reads its own share: the chief would broadcast a resident set, a variable, to all.
            resident = False if self.workers.count > 1 else None
            self.pipeline = InputPipeline(images, stage.batch_size, config.seed, config.mirror, resident)
            with self.strategy.scope():
                self.pipeline.place()
        if stage.resets_optimizers and seen == stage.first_image:
            self.state.g_optimizer.reset()
            self.state.d_optimizer.reset()
        self.stage = stage
        self.log.enter_stage(self.recipe.describe_stage(self.config, stage))

    def take_steps(self, seen, count=None):
        """Takes steps of the current stage from image `seen` on, in one call of the tf.function.

        Args:
            count: number of steps; default `steps_to_boundary`.

        Returns:
            (images seen, {statistic: (sum, count)} since the last record, (images, seconds) of this call). The last is
            None if this call traced the step, which takes longer.
        """
        steps, was_traced = self.compile()
        if self.iterator is None:
            self.iterator = self.batches(seen)
        count = count or self.steps_to_boundary(seen)
        started = time.monotonic()
        steps(self.iterator, tf.constant(count), tf.constant(seen, tf.int64))
        images = count * self.stage.batch_size
        seen += images
        self.state.images_seen.assign(seen)
        self.recipe.set_progress(self.state, self.stages, seen)
        statistics = self.state.read_statistics()  # waits for the devices
        return seen, statistics, (images, time.monotonic() - started) if was_traced else None

    def steps_to_boundary(self, seen) -> int:
        """Returns the number of steps to the next record or end of an epoch, stage or run, at most `--steps-per-call`.

        Its default is above 1 where steps are so short that the overhead of a call matters.
        """
        limit = self.config.steps_per_call
        if not limit and tf.config.list_logical_devices("GPU"):
            limit = GPU_STEPS_PER_CALL
        elif not limit:
            limit = SHORT_STEPS_PER_CALL if self.stage.resolution <= SHORT_STEP_PIXELS else 1
        ends = [self.config.total_images, *(stage.first_image for stage in self.stages)]
        ends += [(seen // interval + 1) * interval for interval in (self.images_per_record, self.epoch_images)]
        return min(limit, *(math.ceil((end - seen) / self.stage.batch_size) for end in ends if end > seen))

    def compile(self):
        """Returns (tf.function of the current stage's steps, whether it was traced before)."""
        variant = self.variant
        was_traced = variant in self.compiled
        if not was_traced:
            self.compiled[variant] = compile_steps(self, variant)
        return self.compiled[variant], was_traced

    @property
    def variant(self) -> Variant:
        """The constants of the current stage's steps."""
        stage = self.stage
        parts = parts_of(self.micro_batch, stage.batch_size, self.strategy.num_replicas_in_sync)
        return Variant(self.config, stage.resolution, stage.batch_size, parts, stage.lr, stage.ema_kimg)

    def batches(self, seen):
        """Returns an iterator over the current stage's batches from image `seen` on, divided over the replicas."""
        replicas = self.strategy.num_replicas_in_sync
        if replicas == 1:
            return iter(self.pipeline.dataset(seen))

        def worker_dataset(context):
            local = replicas // context.num_input_pipelines
            return self.pipeline.dataset(seen, replicas, context.input_pipeline_id * local, local)

        return iter(self.strategy.distribute_datasets_from_function(worker_dataset))

    def ema_weights(self, progress=None) -> dict:
        """Returns the weights of the EMA generator, {attribute path: array}, with batch norm statistics that fit them.

        Untrained weights are returned as they are, so that a run starts without delay.

        Args:
            progress: as for StandingStatistics.
        """
        weights = weights_of(self.state.g_ema)
        is_trained = self.config.init_from or int(self.state.images_seen.numpy())
        return self.standing(weights, progress) if self.standing and is_trained else weights

    def evaluator(self, resolution=None) -> Evaluator:
        """Returns the Evaluator for a resolution, default the sampler's; the latest is kept, with its features."""
        resolution = resolution or self.sampler.resolution
        if self.latest_evaluator is None or self.latest_evaluator[0] != resolution:
            reals = reals_at(self.dataset, self.config.image_size_at(resolution)[0], self.config.mirror)
            self.latest_evaluator = resolution, Evaluator([self.metric, COPY_CHECK], reals, self.metric_networks)
        return self.latest_evaluator[1]


def build_trainer(config, dataset, run, workers=None, log=None) -> Trainer:
    """Builds networks, state and everything else of a run, and logs the device, precision and classes.

    May download weights into the cache; writes nothing to the run folder.

    Args:
        config: TrainConfig.
        dataset: data.prepare.ImageSet.
        run: Run.
        workers: Workers; default this process only.
        log: prints a line; default `workers.log`.

    Raises:
        UsageError: a single image, a setting that does not suit the devices or networks, weights that cannot be
            obtained, or workers that differ in images or precision.
    """
    if len(dataset) < 2:
        raise UsageError(f"--dataset {config.dataset} has one image; give at least 2, better 100")
    recipe, family = recipe_of(config), FAMILIES[config.model]
    workers = workers or Workers(*devices.choose_strategy(config.strategy))
    strategy, log = workers.strategy, log or workers.log
    precision, reason = devices.choose_precision(config.precision, training=True)
    workers.require_equal("--precision", precision, "give the same --precision to all")
    shown = f"{config.dataset} ({len(dataset)} images, fingerprint {dataset.fingerprint[:12]})"
    workers.require_equal("--dataset", dataset.fingerprint, "give all of them the same images", shown=shown)
    classes = class_labels.of_images(config, dataset)
    if classes:
        log(f"learns {len(classes)} classes; rows of the sample grid: {classes.describe_rows(grid_side(config))}")
    replicas = strategy.num_replicas_in_sync
    if config.jit and replicas > 1:
        raise UsageError(f"--jit compiles a step for one device, but {replicas} divide each step; leave it out")
    log(f"device: {devices.describe()}, {replicas} in a step ({workers.reason}); precision: {precision} ({reason})")
    policy = devices.KERAS_POLICIES[precision]
    with strategy.scope():
        frozen = recipe.frozen_networks(config, log)
        g, d, g_ema = (build(config, policy) for build in (family.generator, family.discriminator, family.generator))
        freeze_discriminator(recipe, d, config)
        options = {"scales_loss": precision == "float16", "extra": extra_names(config), "frozen": frozen}
        state = create_state(g, d, g_ema, config, recipe, **options)
        if config.init_from and not run.checkpoints():
            begin_with_run(state, config, log)
    standing = None
    if workers.is_chief and has_statistics(g_ema):
        standing = StandingStatistics(family.generator(config, policy), classes.sample)
    epoch_images = config.epoch_length(len(dataset))
    metric, networks = config.metric, networks_of(config, log)
    if metric == "auto" and workers.is_chief:
        metric = automatic_metric(run, len(dataset), networks)
    if metric != "auto":
        warn_of_relatives([metric], config, log)
    trainer = Trainer(
        config=config,
        run=run,
        workers=workers,
        strategy=strategy,
        dataset=dataset,
        recipe=recipe,
        state=state,
        sampler=Sampler(family.fold(g_ema), config.seed, classes=classes),
        standing=standing,
        metric_networks=networks,
        metric=metric,
        log=RunLog(run, config, epoch_images, enabled=workers.is_chief),
        stages=recipe.schedule(config),
        epoch_images=epoch_images,
        images_per_record=math.ceil(epoch_images / RECORDS_PER_EPOCH),
        micro_batch=None if config.micro_batch == "auto" else config.micro_batch,
    )
    if workers.is_chief:  # now, so that missing weights end the program before it trains
        trainer.evaluator(config.resolution).load_networks()
    check_batches(trainer, log)
    trainer.enter(trainer.stages[0])
    return trainer


def check_batches(trainer, log):
    """Logs where groups of the minibatch standard deviation are too small.

    Raises UsageError for a batch that replicas or micro-batches do not divide, or that is too small for a loss.
    """
    config, replicas, small = trainer.config, trainer.strategy.num_replicas_in_sync, {}
    group = (
        config.mbstd_group if config.model == "stylegan2" and not config.is_projected else 1
    )  # of the minibatch standard deviation
    if config.grows and config.minibatch_stddev:
        group = STDDEV_GROUP
    for stage in trainer.stages:
        if stage.batch_size % replicas:
            name, value = ("--phase-batch", config.phase_batch) if config.grows else ("--batch-size", config.batch)
            fix = f"use multiples of {replicas}"
            if trainer.run.exists():  # whose batch may not change
                fix = "continue this run on fewer devices (--strategy default uses one)"
            raise UsageError(
                f"{name} {value} cannot be split over {replicas} devices: a batch of {stage.batch_size} is not a "
                f"multiple of {replicas}; {fix}"
            )
        share = stage.batch_size // replicas
        size = share // parts_of(trainer.micro_batch, stage.batch_size, replicas)
        if config.energy_weight and size == 1:
            fix = "larger batches or micro-batches, or fewer devices: it compares images that are computed together"
            raise UsageError(f"--energy-weight is {config.energy_weight:g}, with one image; give {fix}")
        if size % group:
            small[config.size_text_at(stage.resolution)] = size
    if small:
        sizes = ", ".join(f"{size} at {images}" for images, size in small.items())
        log(f"minibatch standard deviation: groups of fewer than {group} images, since a device computes {sizes}")


def parts_of(micro_batch, batch_size, replicas) -> int:
    """Returns the number of micro-batches in a replica's share of a batch. Raises UsageError unless they divide it."""
    share = batch_size // replicas
    size = min(micro_batch or share, share)
    if share % size:
        raise UsageError(f"--micro-batch {size} does not divide the {share} images of each device; give a divisor")
    return share // size
