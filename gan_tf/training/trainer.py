"""Trainer: networks, input pipeline, evaluator and everything else that the training loop works with."""

import dataclasses
import time

import tensorflow as tf

from gan_tf.config.settings import TrainConfig
from gan_tf.data import class_labels
from gan_tf.data.pipeline import InputPipeline
from gan_tf.data.prepare import ImageSet
from gan_tf.distributed import devices
from gan_tf.distributed.workers import Workers
from gan_tf.errors import UsageError
from gan_tf.losses import LOSSES
from gan_tf.metrics.definitions import default_metric
from gan_tf.metrics.evaluate import Evaluator
from gan_tf.metrics.features import Networks, networks_of
from gan_tf.metrics.image_sets import reals_at
from gan_tf.models import FAMILIES
from gan_tf.ops.normalisation import STDDEV_GROUP
from gan_tf.rng import Draws
from gan_tf.runs.folder import Run
from gan_tf.sampling.sampler import Sampler
from gan_tf.training import adaptation
from gan_tf.training.log import RunLog
from gan_tf.training.recipes import RECIPES
from gan_tf.training.samples import grid_side
from gan_tf.training.schedule import Stage, images_to_next, stage_at, stage_before
from gan_tf.training.selection import COPIES
from gan_tf.training.state import TrainState, create_state
from gan_tf.training.step import Recipe, compile_steps
from gan_tf.training.timing import Timer
from gan_tf.training.transfer import begin_with_run, freeze_discriminator

RECORDS_PER_EPOCH = 20  # train records
GPU_STEPS_PER_CALL = 16
SHORT_STEPS_PER_CALL = 8  # on a CPU, for images of at most SHORT_STEP_PIXELS
SHORT_STEP_PIXELS = 16


@dataclasses.dataclass
class Trainer:
    """The parts of a run; made by `build_trainer`. Call `enter` before taking steps."""

    config: TrainConfig
    run: Run
    workers: Workers
    dataset: ImageSet  # at the run's full resolution
    recipe: Recipe
    state: TrainState
    sampler: Sampler  # of the EMA generator
    networks: Networks  # of the metrics
    metric: str  # the score that selects the best weights
    log: RunLog
    stages: list[Stage]
    epoch_images: int
    micro_batch: int | None  # images that a device computes together; None for all
    undecided_loss: float | None  # D's adversarial loss at zero logits; None if no loss value means that D has won

    timer: Timer | None = None  # set by `train`

    # Of the present stage.
    stage: Stage | None = None
    pipeline: InputPipeline | None = None
    iterator: object = None
    compiled: dict = dataclasses.field(default_factory=dict)  # {variant: tf.function}
    latest_evaluator: tuple | None = None  # (resolution, Evaluator)

    @property
    def strategy(self) -> tf.distribute.Strategy:
        """The distribution strategy."""
        return self.workers.strategy

    def stage_at(self, seen) -> Stage:
        """The stage of the image after `seen`."""
        return stage_at(self.stages, seen)

    def stage_before(self, seen) -> Stage:
        """The stage of image number `seen`."""
        return stage_before(self.stages, seen)

    @property
    def record_images(self) -> int:
        """Images between two train records."""
        return -(-self.epoch_images // RECORDS_PER_EPOCH)

    def enter(self, stage):
        """Prepares the images of a stage in its batch size; the memory of the previous stage is freed."""
        sizes = (stage.resolution, stage.batch_size)
        self.iterator = None
        if self.stage is None or sizes != (self.stage.resolution, self.stage.batch_size):
            self.pipeline, self.compiled = None, {}  # first: two data sets may not fit on the accelerator
            images, config = self.dataset.at(stage.resolution), self.config
            # Each of several workers reads its share from its own memory or disk; a resident set would be sent to all.
            resident = False if self.workers.count > 1 else None
            self.pipeline = InputPipeline(images, stage.batch_size, config.seed, config.mirror, resident)
            with self.strategy.scope():
                self.pipeline.place()
        self.stage = stage
        self.log.enter_stage(self.recipe.describe_stage(stage))

    def take_steps(self, seen, count=None):
        """Takes steps from image `seen` on: up to the next record, end of an epoch, stage or run.

        Args:
            count: number of steps; default `steps_to_boundary`.

        Returns:
            (images seen, {statistic: (sum, count)} since the last record, (images, seconds) of this call). The last is
            None if the step was traced, which takes longer.
        """
        steps, is_traced = self.compile()
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
        return seen, statistics, (images, time.monotonic() - started) if is_traced else None

    def steps_to_boundary(self, seen) -> int:
        """Steps of the next call: at most `--steps-per-call`, up to the next record, end of an epoch, stage or run."""
        ends = [self.config.total_images, *(stage.first_image for stage in self.stages)]
        images = images_to_next(seen, ends, (self.record_images, self.epoch_images))
        return min(self.steps_per_call, -(-images // self.stage.batch_size))

    @property
    def steps_per_call(self) -> int:
        """Most steps per call of the graph: several if steps are so short that the call takes a noticeable time."""
        if self.config.steps_per_call:
            return self.config.steps_per_call
        if tf.config.list_logical_devices("GPU"):
            return GPU_STEPS_PER_CALL
        return SHORT_STEPS_PER_CALL if self.stage.resolution <= SHORT_STEP_PIXELS else 1

    def compile(self):
        """(tf.function of the present stage's steps, whether it was traced before)."""
        config, stage = self.config, self.stage
        variant = self.recipe.variant(config, stage, self.parts)
        key = (variant, stage.ema_kimg)
        is_traced = key in self.compiled
        if not is_traced:
            self.compiled[key] = compile_steps(
                self.recipe,
                self.state,
                self.pipeline,
                self.strategy,
                config.seed,
                stage,
                variant,
                # The EMA generator of another run is as good as its generator from the first image on.
                ema_ramp=None if config.init_from else config.ema_ramp,
                ada=adaptation.ada_settings(config),
            )
        return self.compiled[key], is_traced

    @property
    def parts(self) -> int:
        """Micro-batches per replica in the present stage."""
        return parts_of(self.micro_batch, self.stage.batch_size, self.strategy.num_replicas_in_sync)

    def batches(self, seen):
        """Iterator over this stage's batches from image `seen` on, divided over the replicas."""
        replicas = self.strategy.num_replicas_in_sync

        def worker_dataset(context):
            local = replicas // context.num_input_pipelines
            return self.pipeline.dataset(seen, replicas, context.input_pipeline_id * local, local)

        if replicas == 1:
            return iter(self.pipeline.dataset(seen))
        return iter(self.strategy.distribute_datasets_from_function(worker_dataset))

    def evaluator(self, resolution=None) -> Evaluator:
        """The evaluator against reals at the sampler's resolution; it keeps the features of the reals."""
        resolution = resolution or self.sampler.resolution
        if self.latest_evaluator is None or self.latest_evaluator[0] != resolution:
            reals = reals_at(self.dataset, resolution, self.config.mirror)
            self.latest_evaluator = resolution, Evaluator([self.metric, COPIES], reals, self.networks)
        return self.latest_evaluator[1]


def build_trainer(config, dataset, run, workers=None, log=None) -> Trainer:
    """Builds networks, state and everything else of a run, and logs the device, precision and classes. Writes no file.

    Args:
        config: TrainConfig.
        dataset: data.prepare.ImageSet.
        run: Run.
        workers: Workers; default this process only.
        log: prints a line; default `workers.log`.

    Raises:
        UsageError: a setting that does not suit the devices or networks, weights that cannot be obtained, or workers
            that differ in images or precision.
    """
    if len(dataset) < 2:
        raise UsageError(f"--dataset {config.dataset} has one image; give at least 2, better 100")
    recipe, family = RECIPES[config.model], FAMILIES[config.model]
    workers = workers or Workers(*devices.choose_strategy(config.strategy))
    strategy, log = workers.strategy, log or workers.log
    precision, reason = devices.choose_precision(config.precision)
    workers.require_equal("--precision", precision, "give the same --precision to all")
    shown = f"{config.dataset} ({len(dataset)} images, fingerprint {dataset.fingerprint[:12]})"
    workers.require_equal("--dataset", dataset.fingerprint, "give all of them the same images", shown=shown)
    classes = class_labels.of_images(config, dataset)
    if classes:
        log(f"learns {len(classes)} classes; rows of the sample grid: {classes.describe_rows(grid_side(config))}")
    replicas = strategy.num_replicas_in_sync
    log(f"device: {devices.describe()}, {replicas} in a step ({workers.reason}); precision: {precision} ({reason})")
    policy = devices.KERAS_POLICIES[precision]
    with strategy.scope():
        frozen = recipe.frozen_networks(config, log)
        g, d, g_ema = (build(config, policy) for build in (family.generator, family.discriminator, family.generator))
        freeze_discriminator(recipe, d, config)
        state = create_state(
            *(g, d, g_ema, config, recipe),
            scales_loss=precision == "float16",
            extra=adaptation.extra_names(config),
            frozen=frozen,
        )
        if config.init_from and not run.checkpoints():
            begin_with_run(state, config, log)
    epoch_images = config.epoch_length(len(dataset))
    trainer = Trainer(
        config=config,
        run=run,
        workers=workers,
        dataset=dataset,
        recipe=recipe,
        state=state,
        sampler=Sampler(family.fold(g_ema), config.seed, classes=classes),
        networks=networks_of(config, log),
        metric=default_metric(len(dataset)) if config.metric == "auto" else config.metric,
        log=RunLog(run, config.total_images, epoch_images, enabled=workers.is_chief),
        stages=recipe.schedule(config),
        epoch_images=epoch_images,
        micro_batch=None if config.micro_batch == "auto" else config.micro_batch,
        undecided_loss=undecided_loss(config),
    )
    if workers.is_chief:
        trainer.evaluator(config.resolution).load_networks()
    check_batches(trainer, log)
    trainer.enter(trainer.stages[0])
    return trainer


def check_batches(trainer, log):
    """Checks that devices and micro-batches divide the batch of every stage, and logs small groups of images.

    Raises:
        UsageError: they do not.
    """
    config, replicas = trainer.config, trainer.strategy.num_replicas_in_sync
    group, small = stddev_group(config), {}
    for stage in trainer.stages:
        if stage.batch_size % replicas:
            name, value = ("--phase-batch", config.phase_batch) if config.grows else ("--batch-size", config.batch)
            raise UsageError(
                f"{name} {value} cannot be split over {replicas} devices: a batch of {stage.batch_size} is not a "
                f"multiple of {replicas}; use multiples of {replicas}"
            )
        share = stage.batch_size // replicas
        size = share // parts_of(trainer.micro_batch, stage.batch_size, replicas)
        if size % group:
            small[stage.resolution] = size
    if small:
        sizes = ", ".join(f"{size} at {resolution}x{resolution}" for resolution, size in small.items())
        log(f"minibatch standard deviation: groups of fewer than {group} images, since a device computes {sizes}")


def parts_of(micro_batch, batch_size, replicas) -> int:
    """Micro-batches in a replica's share of a batch.

    Raises:
        UsageError: the share cannot be divided into micro-batches of that size.
    """
    share = batch_size // replicas
    size = min(micro_batch or share, share)
    if share % size:
        raise UsageError(f"--micro-batch {size} does not divide the {share} images of each device; give a divisor")
    return share // size


def stddev_group(config):
    """Images in a group of the minibatch standard deviation; 1 without it."""
    if config.grows and config.minibatch_stddev:
        return STDDEV_GROUP
    return config.mbstd_group if config.model == "stylegan2" else 1


def undecided_loss(config):
    """D's adversarial loss at zero logits; None for losses without a lower bound."""
    loss = LOSSES[config.loss]
    if not loss.bounded:
        return None
    logits = tf.zeros([config.batch, 50])
    real_loss, fake_loss = loss.discriminator(logits, logits, Draws(config.seed, 0, config.batch))
    return float(tf.reduce_mean(real_loss + fake_loss))
