"""Detects divergence, and rolls a run back to its last checkpoint."""

import math

import tensorflow as tf

from gan_tf.errors import Diverged
from gan_tf.losses import LOSSES
from gan_tf.rng import Draws
from gan_tf.training.resume import restore, save_checkpoint

MAX_ROLLBACKS = 2
WON_SHARE = 0.01  # the discriminator has won if its loss is below this share of its loss at zero logits ...
WON_EPOCHS = 3  # ... for this number of consecutive epochs
MIN_LOSS_SCALE = 2.0**-10  # of float16: if gradients still overflow here, training has failed


def find_divergence(trainer, statistics, seen, is_epoch) -> str | None:
    """Returns why training has failed, the same text on all workers, or None.

    Failures are a loss, logit or gradient norm that is not finite, a float16 loss scale below MIN_LOSS_SCALE, and,
    checked if `is_epoch`, a discriminator that has won WON_EPOCHS epochs in succession, counted in `state.won_epochs`.

    Args:
        statistics: {name: (sum, count)} since the last record, the same on all workers.
        is_epoch: True at the end of an epoch, except the last one.
    """
    bad = [name for name, (total, _) in statistics.items() if not math.isfinite(total)]
    if bad:
        return f"{', '.join(bad)} became non-finite"
    state = trainer.state
    if state.scales_loss and float(state.loss_scale.numpy()) < MIN_LOSS_SCALE:
        return "float16 gradients overflow at any loss scale; --precision float32 has no such limit"
    undecided = undecided_loss(trainer.config) if is_epoch else None
    if undecided is None:
        return None
    won = trainer.workers.is_chief and mean_d_loss(trainer, seen) < WON_SHARE * undecided
    [won] = trainer.workers.broadcast(won)
    won_epochs = int(state.won_epochs.numpy()) + 1 if won else 0
    state.won_epochs.assign(won_epochs)
    if won_epochs < WON_EPOCHS:
        return None
    return f"the discriminator has won: its loss was below {WON_SHARE:.0%} for {WON_EPOCHS} epochs"


def undecided_loss(config):
    """Returns D's adversarial loss at zero logits; None for losses without a lower bound."""
    loss = LOSSES[config.loss]
    if not loss.bounded:
        return None
    logits = tf.zeros([config.batch, 50])
    real_loss, fake_loss = loss.discriminator(logits, logits, Draws(config.seed, 0, config.batch))
    return float(tf.reduce_mean(real_loss + fake_loss))


def mean_d_loss(trainer, seen):
    """Returns the mean of D's adversarial loss in the records of the last epoch; infinity without records."""
    first = seen - trainer.epoch_images
    records = [r for r in trainer.run.records() if r["kind"] == "train" and r["images_seen"] > first]
    losses = [record["loss/d_real"] + record["loss/d_fake"] for record in records]
    return sum(losses) / len(losses) if losses else math.inf


def remedy(trainer, reason) -> str:
    """Returns advice for a run that diverges: the precision may change within a run, the learning rate may not."""
    other = "start another run (--run NAME) with a smaller --lr"
    if "won" in reason or trainer.state.g.dtype_policy.compute_dtype == "float32":  # more digits would not help
        return other
    return f"give --precision float32 to continue this run, or {other}"


def roll_back(trainer, reason) -> int:
    """Restores the newest checkpoint, with half the learning rate and other random numbers from there on.

    Returns:
        the number of images seen at that checkpoint.

    Raises:
        Diverged: the run was already rolled back MAX_ROLLBACKS times.
    """
    state, log = trainer.state, trainer.log
    attempt = int(state.attempt.numpy()) + 1
    failed_at = int(state.images_seen.numpy())
    if attempt > MAX_ROLLBACKS:
        kept = "; the best weights so far are kept" if trainer.run.best.exists() else ""
        raise Diverged(
            f"{reason} at {failed_at} images, after {MAX_ROLLBACKS} rollbacks{kept}; {remedy(trainer, reason)}"
        )
    seen = restore(trainer)
    state.attempt.assign(attempt)
    state.lr_scale.assign(0.5**attempt)
    state.won_epochs.assign(0)
    log.cut(seen)
    log.record(seen, "rollback", {"reason": reason, "at": failed_at, "attempt": attempt, "lr_scale": 0.5**attempt})
    save_checkpoint(trainer)
    log.print(
        f"{reason} at {failed_at} images: back to {seen} with half the learning rate and other random numbers "
        f"(attempt {attempt})"
    )
    return seen
