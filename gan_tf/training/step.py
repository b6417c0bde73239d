"""What every family's training step shares: stages, the optimiser's step, and the compiled loop over steps."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from gan_tf.augment.choice import ADA_P, augment
from gan_tf.rng import Draws, clock_of
from gan_tf.training.adaptation import adapt
from gan_tf.training.state import trainable, update_average

GROWTH_STEPS = 2000.0  # float16: good steps after which the loss scale is doubled
SIGNS = "signs/real"  # what a step returns behind its recipe's statistics: the mean sign of the logits on reals


class Phase(NamedTuple):
    """A part of a step that updates a player; a step takes its recipe's phases one after the other.

    take: (state, reals [N, r, r, 3], labels [N], draws, variant) -> float32 [K + 1], on one replica: its part of
        the recipe's K STATISTICS and of SIGNS, as sums over the replicas. What it does not measure is 0.
    every: it is left out of all steps but every so many-th, the first of a run included.
    measures: statistics that no other phase measures; they are told as means over the steps that take this one.
    """

    take: Callable
    every: int = 1
    measures: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stretch of training with fixed sizes; it lasts until the next one's first image, the last one for ever.

    first_image: images seen before it.
    resolution: pixels of the images that are trained on.
    batch_size: images in a step, all devices together.
    lr: learning rate of both optimisers.
    ema_kimg: half-life of the averaged generator, thousands of images.
    fade_images: images over which the newest resolution fades in, from the first one on; 0: it does not fade.
    resets_optimizers: both players' Adam starts anew at its first image.
    """

    first_image: int
    resolution: int
    batch_size: int
    lr: float
    ema_kimg: float
    fade_images: int = 0
    resets_optimizers: bool = False


def stage_at(stages, images_seen: int) -> Stage:
    """The stage that the image after `images_seen` belongs to."""
    return [stage for stage in stages if stage.first_image <= images_seen][-1]


def stage_before(stages, images_seen: int) -> Stage:
    """The stage that image number `images_seen` belonged to; the first one before any."""
    return stage_at(stages, max(images_seen - 1, 0))


def compile_steps(recipe, state, feed, strategy, seed, stage, variant, ramp=None, rule=None):
    """Returns a tf.function (iterator, count, images_seen) that takes `count` steps.

    `ramp`: of `average_decay`. `rule`: how ADA's probability moves, None without it.

    Each step trains on the iterator's next batch, moves the averaged generator and adds the recipe's statistics to
    `state.tally`. The caller counts images: `images_seen` is the number before the first of these steps.
    """
    replicas = strategy.num_replicas_in_sync

    @tf.autograph.experimental.do_not_convert
    def replica_phase(phase, element, clock):
        draws = Draws(seed, clock, stage.batch_size)
        if replicas > 1:
            draws = draws.shard(tf.distribute.get_replica_context().replica_id_in_sync_group, replicas)
        reals, labels = feed.load(element)
        # A data set that is distributed over workers forgets the size of its batches.
        reals = tf.ensure_shape(reals, (draws.count, *reals.shape[1:]))
        labels = tf.ensure_shape(labels, (draws.count,))
        return phase.take(state, reals, labels, draws, variant)

    @tf.autograph.experimental.do_not_convert
    def one_phase(phase, element, seen):
        values = strategy.run(replica_phase, args=(phase, element, clock_of(seen, state.attempt)))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

    @tf.autograph.experimental.do_not_convert
    def one_step(element, seen):
        values = 0.0
        for phase in phases_of(recipe):
            if phase.every == 1:
                values += one_phase(phase, element, seen)
            else:  # around strategy.run, not within: replicas cannot meet inside a condition of their own
                due = (seen // stage.batch_size) % phase.every == 0
                take = functools.partial(one_phase, phase, element, seen)
                values += tf.cond(due, take, lambda: tf.zeros([len(recipe.STATISTICS) + 1]))
        if state.scales_loss:
            values = adapt_loss_scale(state, values)
        state.tally.assign_add(tf.concat([values[:-1], [1.0]], axis=0))
        if rule is not None:
            adapt(state, rule, values[-1], stage.batch_size)
        update_average(state, average_decay(stage.ema_kimg, seen + stage.batch_size, stage.batch_size, ramp))

    @tf.function
    def steps(iterator, count, images_seen):
        for _ in tf.range(count):
            one_step(next(iterator), images_seen)
            images_seen += stage.batch_size

    return steps


def phases_of(recipe):
    """The phases of a recipe's step: its PHASES, or `train_step` as the only one."""
    return getattr(recipe, "PHASES", None) or (Phase(recipe.train_step),)


def measured_every(recipe):
    """{statistic: every}: those that are not measured in every step."""
    return {name: phase.every for phase in phases_of(recipe) for name in phase.measures}


def average_decay(half_life_kimg, images_seen, batch_size, ramp=None):
    """Share of the old average that a step keeps, for a half-life in thousands of images.

    With a `ramp` the half-life is at most that share of the images seen, a tenth for instance, so that the average is
    right after five minutes as well as after five days. None: it is the same throughout. 5.5 kimg at batch 8 is the
    official decay of 0.999 of FastGAN and Progressive GAN.
    """
    half_life = half_life_kimg * 1000.0
    if ramp is not None:
        half_life = tf.minimum(half_life, ramp * tf.cast(images_seen, tf.float32))
    return 0.5 ** (batch_size / half_life)


def descend(state, optimizer, gradients, lr):
    """Sums the replicas' gradients, takes the optimiser's step, and returns the gradients' global norm.

    Gradients come multiplied by `state.loss_scale`. In float16 a step with a non-finite gradient is left out, and
    `adapt_loss_scale` sees to it that the next has a better chance. In the other precisions the norm tells the host,
    which rolls the run back.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
        summed = context.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients.values()))
        gradients = dict(zip(gradients, summed, strict=True))
    if state.scales_loss:
        gradients = {path: gradient / state.loss_scale for path, gradient in gradients.items()}
    norm = global_norm(gradients)
    rate = lr * state.lr_scale
    if state.scales_loss:
        tf.cond(tf.math.is_finite(norm), lambda: _applied(optimizer, gradients, rate), lambda: False)
    else:
        optimizer.apply(gradients, rate)
    return norm


def global_norm(gradients):
    """Euclidean norm of all gradients together; not finite if any of them is not."""
    squares = tf.add_n([tf.reduce_sum(gradient**2) for gradient in gradients.values()])
    return tf.cast(tf.sqrt(squares), tf.float32)


def adapt_loss_scale(state, values):
    """Halves float16's loss scale after a step that was left out, doubles it after many good ones.

    Returns:
        `values` with zeros for those that overflowed, so that they do not look like a failed run.
    """
    finite = tf.reduce_all(tf.math.is_finite(values))
    good_steps = tf.where(finite, state.good_steps + 1.0, 0.0)
    grown = good_steps >= GROWTH_STEPS
    factor = tf.where(finite, tf.where(grown, 2.0, 1.0), 0.5)
    state.loss_scale.assign(state.loss_scale * factor)
    state.good_steps.assign(tf.where(grown, 0.0, good_steps))
    return tf.where(tf.math.is_finite(values), values, 0.0)


def gradients_by_path(tape, loss, variables):
    """{attribute path: gradient}; a variable that the loss does not reach is left out."""
    gradients = tape.gradient(loss, [v.value for v in variables.values()])
    return {path: g for path, g in zip(variables, gradients, strict=True) if g is not None}


def add_gradients(total, new):
    """The sum of two {attribute path: gradient}; `total` may be None."""
    return new if total is None else {path: total[path] + new[path] for path in total}


def tensors_of(gradients):
    """The tensors of {attribute path: gradient}, or of None: what must be computed before what comes next."""
    return list(gradients.values()) if gradients else []


def augmented(images, draws, purpose, variant, state):
    """Images as the discriminator sees them, with draws of their own.

    Args:
        purpose: whose images they are, such as "reals".
        variant: with an `augmentation`.
        state: TrainState, which holds ADA's probability.
    """
    return augment(images, draws, purpose, variant.augmentation, state.extra.get(ADA_P))


@contextlib.contextmanager
def tape_of(network):
    """A tape that watches the weights of a network and nothing else."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([v.value for v in trainable(network).values()])
        yield tape


def micro_batches(draws, parts):
    """The micro-batches of a replica's share: a list of (draws, rows of it), `parts` of them."""
    if parts == 1:
        return [(draws, slice(None))]
    return [(draws.shard(i, parts), slice(i, None, parts)) for i in range(parts)]


def share_of_mean(values, draws):
    """What these images' values [n] add to the mean over the global batch, float32 scalar."""
    return tf.cast(tf.reduce_sum(values), tf.float32) / draws.batch


def precise(state):
    """What a network is called with where it is differentiated twice: in float16 it then works in float32.

    A float16 slope of an image times the loss scale overflows, and without it drowns.
    """
    return {"dtype": "float32"} if state.scales_loss else {}


def of_replica(value):
    """A value that is equal on every replica, and about to be summed over them."""
    return value / tf.distribute.get_replica_context().num_replicas_in_sync


def statistics_of(d_values, g_loss, d_norm, g_norm):
    """A replica's part of STATISTICS of two families and of SIGNS: D's three losses, G's, two logits, two norms."""
    norms = of_replica(tf.stack([d_norm, g_norm]))
    return tf.concat([d_values[:3], [g_loss], d_values[3:5], norms, d_values[5:]], axis=0)


def _applied(optimizer, gradients, rate):
    optimizer.apply(gradients, rate)
    return True
