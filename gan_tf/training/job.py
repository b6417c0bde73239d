"""The parts that a run works with, and how they follow its stages: other sizes need other batches and other reals."""

import dataclasses

import tensorflow as tf

from gan_tf.config.settings import TrainConfig
from gan_tf.data.pipeline import InputPipeline
from gan_tf.data.prepare import ImageSet
from gan_tf.distributed.workers import Workers
from gan_tf.errors import UsageError
from gan_tf.metrics.evaluate import Evaluator
from gan_tf.metrics.features import Networks
from gan_tf.metrics.image_sets import reals_at
from gan_tf.runs.folder import Run
from gan_tf.training import adaptation
from gan_tf.training.evaluation import Sampler
from gan_tf.training.state import TrainState
from gan_tf.training.step import Stage, compile_steps, stage_at, stage_before

GPU_STEPS_PER_CALL = 16
SHORT_STEPS_PER_CALL = 8  # on a CPU, at sizes up to
SHORT_STEP_PIXELS = 16
COPIES = "memorisation"  # the metric that is always measured beside the one that picks the best weights


@dataclasses.dataclass
class Job:
    """What `loop.train` works with; made by `setup.build_job`. Call `enter` before anything that takes a step."""

    config: TrainConfig
    run: Run
    state: TrainState
    recipe: object  # module of gan_tf.training.recipes
    strategy: tf.distribute.Strategy
    image_set: ImageSet  # at the run's full resolution
    sampler: Sampler
    metric: str  # the score that picks the best weights
    evaluators: "Evaluators"
    cluster: Workers
    micro_batch: int | None  # images at once on a device; None for all
    epoch_images: int
    undecided_loss: float | None  # D's adversarial loss at logits of zero; None where no loss says that D has won

    def __post_init__(self):
        self.stages = self.recipe.schedule(self.config)
        self.stage, self.feed, self._compiled = None, None, {}

    def stage_at(self, seen) -> Stage:
        """The stage that the image after `seen` belongs to."""
        return stage_at(self.stages, seen)

    def stage_before(self, seen) -> Stage:
        """The stage that image number `seen` belonged to."""
        return stage_before(self.stages, seen)

    def enter(self, stage):
        """Makes ready for a stage: its images, in its batches. What an earlier one took is given back."""
        sizes = (stage.resolution, stage.batch_size)
        if self.stage is None or sizes != (self.stage.resolution, self.stage.batch_size):
            self.feed, self._compiled = None, {}  # first: two sets need not fit on the accelerator
            images, config = self.image_set.at(stage.resolution), self.config
            # A worker of several reads its share from its own memory or disk: a resident set would be sent to each.
            resident = False if self.cluster.count > 1 else None
            feed = InputPipeline(images, stage.batch_size, config.seed, config.mirror, resident)
            with self.strategy.scope():
                feed.place()
            self.feed = feed
        self.stage = stage

    @property
    def steps_per_call(self) -> int:
        """Most steps in a call of the graph: several where a step is so short that the call itself is felt."""
        if self.config.steps_per_call:
            return self.config.steps_per_call
        if tf.config.list_logical_devices("GPU"):
            return GPU_STEPS_PER_CALL
        return SHORT_STEPS_PER_CALL if self.stage.resolution <= SHORT_STEP_PIXELS else 1

    @property
    def parts(self) -> int:
        """Micro-batches in a replica's share of this stage's batch."""
        return parts_of(self.micro_batch, self.stage.batch_size, self.strategy.num_replicas_in_sync)

    def steps(self, seen):
        """The compiled steps from image `seen` on, and whether they have yet to be traced."""
        variant = self.recipe.variant(self.config, self.stage, seen, self.parts)
        key = (variant, self.stage.ema_kimg)
        is_new = key not in self._compiled
        if is_new:
            self._compiled[key] = compile_steps(
                self.recipe,
                self.state,
                self.feed,
                self.strategy,
                self.config.seed,
                self.stage,
                variant,
                # Another run's average is no worse than its generator.
                ramp=None if self.config.init_from else self.config.ema_ramp,
                rule=adaptation.rule_of(self.config),
            )
        return self._compiled[key], is_new

    def batches(self, seen):
        """An iterator over this stage's endless batches from image `seen` on, split over the replicas."""
        strategy = self.strategy

        def worker_dataset(context):
            local = strategy.num_replicas_in_sync // context.num_input_pipelines
            first = context.input_pipeline_id * local
            return self.feed.dataset(seen, strategy.num_replicas_in_sync, first, local)

        if strategy.num_replicas_in_sync == 1:
            return iter(self.feed.dataset(seen))
        return iter(strategy.distribute_datasets_from_function(worker_dataset))

    @property
    def evaluator(self) -> Evaluator:
        """Measures the sampler's images against the reals of their size."""
        return self.evaluators.at(self.sampler.resolution)


class Evaluators:
    """The score of a run and its copy check, for each size of images that its generator grows through.

    Args:
        metric: name of the score.
        image_set: the reals at full resolution.
        mirror: the generator learns their mirror images as well.
        networks: what metrics look through.
    """

    def __init__(self, metric, image_set: ImageSet, mirror, networks: Networks):
        self.metric, self.image_set, self.mirror, self.networks = metric, image_set, mirror, networks
        self.watch = None
        self._newest = None

    def at(self, resolution) -> Evaluator:
        """The evaluator against reals of that size; the newest one is kept, with what it measured of them."""
        if self._newest is None or self._newest[0] != resolution:
            reals = reals_at(self.image_set, resolution, self.mirror)
            self._newest = resolution, Evaluator([self.metric, COPIES], reals, self.networks)
        return self._newest[1]


def parts_of(micro_batch, batch_size, replicas) -> int:
    """Micro-batches in a replica's share of a batch.

    Raises:
        UsageError: the share cannot be cut into micro-batches of that size.
    """
    share = batch_size // replicas
    size = min(micro_batch or share, share)
    if share % size:
        raise UsageError(f"--micro-batch is {size}, which does not divide the {share} images of each device")
    return share // size
