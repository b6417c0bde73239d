"""The training step that all families share: phases, micro-batches, gradients, statistics and the EMA generator."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from gan_tf.augment.choice import ADA_P, augment, augmentation_of
from gan_tf.config.settings import TrainConfig
from gan_tf.rng import Draws
from gan_tf.training.adaptation import update_probability
from gan_tf.training.schedule import single_stage
from gan_tf.training.state import trainable, update_ema

GROWTH_STEPS = 2000.0  # float16: steps without an overflow after which the loss scale is doubled
SIGNS = "signs/real"  # the mean sign of D's logits on reals, which controls ADA; not recorded


@dataclasses.dataclass(frozen=True)
class Variant:
    """The constants of a step, which is traced once per Variant. Growing networks have one for each resolution."""

    config: TrainConfig
    resolution: int
    batch_size: int  # images per step, all devices together
    parts: int  # micro-batches per replica
    lr: float  # of both players, before a recipe or a rollback scales it
    ema_kimg: float  # half-life of the EMA generator, thousands of images


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of a step that updates the generator, the discriminator, or both.

    update: function (state, reals, labels, draws, variant) -> {statistic: float32 scalar}, called on each replica. A
        value is the replica's share: the sum over replicas is the value for the global batch. state: TrainState. reals:
        [N, H, W, C] float32 in [-1, 1], this replica's share of the global batch, at the resolution of the stage.
        labels: [N] int32. draws: Draws of these N rows. variant: Variant.
    statistics: the names that `update` returns.
    every: the phase runs in one of this number of steps, beginning with the first of a run.
    """

    update: Callable
    statistics: tuple[str, ...]
    every: int = 1


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a family is trained. In names of players, "g" is the generator and "d" the discriminator, D.

    phases: the Phases of a step, in order.
    discriminator_layers: D -> list of groups of layers, from the image on; `--freeze-d` freezes the first groups.
    schedule: config -> list of schedule.Stage.
    frozen_networks: (config, log) -> {name: pretrained network} that the losses use, built in the strategy's scope.
    extra: names of additional float32 scalars in the state, initially 0.
    adam_decays: config -> {player: (beta1, beta2)}.
    reconstructions: (state, reals, labels) -> {decoder: images} of D's decoders; None if D has none.
    set_progress: (state, stages, images_seen) -> None; stores the growth in the networks.
    scalars: (stages, images_seen) -> {name: number} for TensorBoard.
    describe_stage: (config, stage) -> text for the progress line.
    """

    phases: tuple[Phase, ...]
    discriminator_layers: Callable
    schedule: Callable = single_stage
    frozen_networks: Callable = lambda config, log: {}
    extra: tuple[str, ...] = ()
    adam_decays: Callable = lambda config: dict.fromkeys(("g", "d"), (config.beta1, config.beta2))
    reconstructions: Callable | None = None
    set_progress: Callable = lambda state, stages, images_seen: None
    scalars: Callable = lambda stages, images_seen: {}
    describe_stage: Callable = lambda config, stage: ""

    @property
    def statistics(self) -> tuple[str, ...]:
        """Names of the recorded statistics."""
        return tuple(name for phase in self.phases for name in phase.statistics if name != SIGNS)


def compile_steps(trainer, variant):
    """Returns a tf.function (iterator, count, images_seen) that takes `count` steps of a Variant.

    Each step trains on the iterator's next batch, updates the EMA generator and adds the statistics to
    `state.statistics` as (sum, count) pairs. The caller counts images: `images_seen` is the number before the first of
    these steps.
    """
    recipe, state, pipeline, strategy = trainer.recipe, trainer.state, trainer.pipeline, trainer.strategy
    config, batch_size, replicas = variant.config, variant.batch_size, strategy.num_replicas_in_sync
    # With --init-from the EMA generator is good from the first image on.
    ema_ramp = None if config.init_from else config.ema_ramp

    def update_on_replica(phase, element, images_seen, attempt):
        draws = Draws(config.seed, images_seen, batch_size, attempt=attempt)
        if replicas > 1:
            draws = draws.shard(tf.distribute.get_replica_context().replica_id_in_sync_group, replicas)
        reals, labels = pipeline.load(element)
        # A dataset that is distributed over workers loses its static batch size.
        reals = tf.ensure_shape(reals, (draws.count, *reals.shape[1:]))
        labels = tf.ensure_shape(labels, (draws.count,))
        statistics = phase.update(state, reals, labels, draws, variant)
        return tf.stack([tf.cast(statistics[name], tf.float32) for name in phase.statistics])  # one all-reduce

    def take_phase(phase, element, images_seen):
        attempt = tf.convert_to_tensor(state.attempt)
        values = strategy.run(update_on_replica, args=(phase, element, images_seen, attempt))
        sums = tf.unstack(strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))
        return {name: (value, tf.constant(1.0)) for name, value in zip(phase.statistics, sums, strict=True)}

    def skip_phase(phase):
        return {name: (tf.constant(0.0), tf.constant(0.0)) for name in phase.statistics}

    @tf.autograph.experimental.do_not_convert
    def take_step(element, images_seen):
        statistics = {}
        for phase in recipe.phases:
            take = functools.partial(take_phase, phase, element, images_seen)
            if phase.every == 1:
                statistics |= take()
            else:  # the condition is outside of strategy.run: replicas cannot all-reduce inside a condition
                is_due = (images_seen // batch_size) % phase.every == 0
                statistics |= tf.cond(is_due, take, functools.partial(skip_phase, phase))
        if state.scales_loss:
            statistics = adapt_loss_scale(state, statistics)
        for name, variable in state.statistics.items():
            variable.assign_add(tf.stack(statistics[name]))
        if config.augment == "ada" and SIGNS in statistics:  # a benchmark may run single phases
            update_probability(state, config, statistics[SIGNS][0], batch_size)
        update_ema(state, ema_decay(variant.ema_kimg, images_seen + batch_size, batch_size, ema_ramp))

    if config.jit:  # a step at a time: XLA has no iterators
        take_step = tf.function(take_step, jit_compile=True, autograph=False)

    @tf.function
    def steps(iterator, count, images_seen):
        for _ in tf.range(count):
            take_step(next(iterator), images_seen)
            images_seen += batch_size

    return steps


def ema_decay(half_life_kimg, images_seen, batch_size, ramp=None):
    """Returns the share of the old EMA weights that a step keeps, for a half-life in thousands of images.

    5.5 kimg at batch 8 is the official decay of 0.999 of FastGAN and Progressive GAN.

    Args:
        ramp: the half-life is at most this share of the images seen, so that the EMA generator is useful early in the
            run. None: no limit.
    """
    half_life = half_life_kimg * 1000.0
    if ramp is not None:
        half_life = tf.minimum(half_life, ramp * tf.cast(images_seen, tf.float32))
    return 0.5 ** (batch_size / half_life)


# Micro-batches and gradients


@dataclasses.dataclass(frozen=True, eq=False)
class MicroBatch:
    """Rows of a replica's share of the batch that are computed together."""

    rows: slice  # of the replica's tensors
    draws: Draws  # of these rows


def micro_batches(draws, parts) -> list[MicroBatch]:
    """Divides a replica's share of the batch, with its draws, into `parts` micro-batches (rows as in `Draws.shard`)."""
    if parts == 1:
        return [MicroBatch(slice(None), draws)]
    return [MicroBatch(slice(i, None, parts), draws.shard(i, parts)) for i in range(parts)]


def update_player(state, player, batches, loss, lr, after=(), norm=None):
    """Takes a step of a player's optimiser on the gradients of a loss, summed over micro-batches and replicas.

    Args:
        player: "g" or "d".
        batches, loss, after: of `accumulate_gradients`.
        norm: name of the gradient norm; default "gradient/" and the player.

    Returns:
        {statistic: scalar} of the loss, and the gradient norm; this replica's share of each.
    """
    gradients, statistics = accumulate_gradients(state, getattr(state, player), batches, loss, after)
    total_norm = apply_gradients(state, getattr(state, f"{player}_optimizer"), gradients, lr)
    return {**statistics, norm or f"gradient/{player}": share_of_replica(total_norm)}


def accumulate_gradients(state, network, batches, loss, after=()):
    """Sums gradients and statistics of a loss over micro-batches, which are computed one after the other.

    Args:
        state: TrainState, whose loss scale multiplies the gradients.
        network: the network whose trainable weights the gradients are taken for.
        batches: list of MicroBatch.
        loss: function of a MicroBatch -> (tape that recorded the loss, scalar loss, {statistic: scalar}). Loss and
            statistics are shares of the mean over the global batch (`share_of_mean`).
        after: tensors; the loss is computed after these.

    Returns:
        ({attribute path: gradient}, {statistic: scalar}). Weights that the loss does not depend on are left out.
    """
    variables = trainable(network)
    gradients, statistics = {}, {}
    for batch in batches:
        # Without this dependency all micro-batches would be in memory together.
        with tf.control_dependencies([*after, *gradients.values()]):
            tape, value, batch_statistics = loss(batch)
            sources = [variable.value for variable in variables.values()]
            values = tape.gradient(value, sources, output_gradients=state.loss_scale)
        new = {path: gradient for path, gradient in zip(variables, values, strict=True) if gradient is not None}
        gradients = {path: gradients[path] + gradient for path, gradient in new.items()} if gradients else new
        statistics = {name: statistics.get(name, 0.0) + part for name, part in batch_statistics.items()}
    return gradients, statistics


def apply_gradients(state, optimizer, gradients, lr):
    """Sums the gradients over replicas, takes the optimiser's step and returns the global gradient norm.

    In float16 a step with non-finite gradients is skipped, and `adapt_loss_scale` halves the scale for the next one. In
    other precisions a non-finite norm makes the training loop roll back.

    Args:
        gradients: {attribute path: gradient}, still multiplied by `state.loss_scale`.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
        summed = context.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients.values()))
        gradients = dict(zip(gradients, summed, strict=True))
    if state.scales_loss:
        gradients = {path: gradient / state.loss_scale for path, gradient in gradients.items()}
    norm = tf.cast(tf.linalg.global_norm(list(gradients.values())), tf.float32)
    rate = lr * state.lr_scale
    if state.scales_loss:
        tf.cond(tf.math.is_finite(norm), lambda: optimizer.apply(gradients, rate), lambda: None)
    else:
        optimizer.apply(gradients, rate)
    return norm


def adapt_loss_scale(state, statistics):
    """Halves float16's loss scale after a step with an overflow, doubles it after GROWTH_STEPS steps without one.

    Args:
        statistics: {name: (sum, count)} of the step.

    Returns:
        the statistics, with 0 for each sum that is not finite, so that it does not count as divergence.
    """
    is_finite = tf.reduce_all(tf.math.is_finite(tf.stack([total for total, _ in statistics.values()])))
    good_steps = tf.where(is_finite, state.good_steps + 1.0, 0.0)
    grows = good_steps >= GROWTH_STEPS
    factor = tf.where(is_finite, tf.where(grows, 2.0, 1.0), 0.5)
    state.loss_scale.assign(state.loss_scale * factor)
    state.good_steps.assign(tf.where(grows, 0.0, good_steps))
    finite = {name: tf.where(tf.math.is_finite(total), total, 0.0) for name, (total, _) in statistics.items()}
    return {name: (finite[name], count) for name, (_, count) in statistics.items()}


@contextlib.contextmanager
def tape_of(network):
    """Context manager: a gradient tape that watches only the trainable weights of one network."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([v.value for v in trainable(network).values()])
        yield tape


def share_of_mean(values, draws):
    """Returns sum(values [n]) / global batch size: the sum over micro-batches and replicas is the mean, float32."""
    return tf.cast(tf.reduce_sum(values), tf.float32) / draws.batch


def discriminator_statistics(real_loss, fake_loss, real_logits, fake_logits, draws, **more):
    """Returns the statistics of D's loss that all families record, {name: share of the mean}.

    Args:
        real_loss, fake_loss: [N] each.
        real_logits, fake_logits: [N, L] each.
        more: further losses [N] by the end of their names.
    """
    values = {
        "loss/d_real": real_loss,
        "loss/d_fake": fake_loss,
        **{f"loss/{name}": loss for name, loss in more.items()},
        "logits/real": tf.reduce_mean(real_logits, axis=1),
        "logits/fake": tf.reduce_mean(fake_logits, axis=1),
        SIGNS: tf.reduce_mean(tf.sign(real_logits), axis=1),
    }
    return {name: share_of_mean(value, draws) for name, value in values.items()}


def share_of_replica(value):
    """Divides a value that is equal on all replicas by their number, so that the sum over replicas is the value."""
    return value / tf.distribute.get_replica_context().num_replicas_in_sync


def augmented(images, draws, purpose, variant, state):
    """Augments images before the discriminator; each `purpose`, such as "reals", has its own draws."""
    return augment(images, draws, purpose, augmentation_of(variant.config), state.extra.get(ADA_P))


def second_order_arguments(state):
    """Returns arguments for a network call that is differentiated twice: in a float16 run, it computes in float32.

    A float16 gradient with respect to an image overflows with the loss scale, and underflows without it.
    """
    return {"dtype": "float32"} if state.scales_loss else {}
