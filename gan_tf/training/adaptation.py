"""ADA's augmentation probability p, adjusted by the sign of the discriminator's logits on reals."""

import tensorflow as tf

from gan_tf.augment.ada import ADA_KIMG, INTERVAL, adapted
from gan_tf.augment.choice import ADA_P

# Keys of TrainState.extra: sum of the steps' mean signs since p was last updated, number of these steps, and their mean
# at that update (r_t in the paper).
SIGN_SUM, STEPS, SIGN = "ada_signs", "ada_steps", "ada_sign"
TRANSFER_KIMG = 100.0  # default of --ada-kimg with --init-from, as in the official program


def extra_names(config):
    """Returns the names of the scalars that ADA adds to the state."""
    return (ADA_P, SIGN_SUM, STEPS, SIGN) if config.augment == "ada" else ()


def update_probability(state, config, sign, batch_size):
    """Adds a step's sign, and updates p every INTERVAL steps. Call it outside of `strategy.run`.

    `sign`: mean sign of D's logits on the augmented reals of the global batch, scalar in [-1, 1].
    """
    extra = state.extra
    kimg = config.ada_kimg or (TRANSFER_KIMG if config.init_from else ADA_KIMG)
    signs, steps = extra[SIGN_SUM] + sign, extra[STEPS] + 1.0
    is_due = steps >= INTERVAL
    p = adapted(extra[ADA_P], signs, steps, INTERVAL * batch_size, config.ada_target, kimg, config.ada_max)
    extra[ADA_P].assign(tf.where(is_due, p, extra[ADA_P]))
    extra[SIGN].assign(tf.where(is_due, signs / steps, extra[SIGN]))
    extra[SIGN_SUM].assign(tf.where(is_due, 0.0, signs))
    extra[STEPS].assign(tf.where(is_due, 0.0, steps))


def ada_scalars(state):
    """Returns p and r_t, {name: number}, for stats.jsonl and TensorBoard; empty without ADA."""
    if ADA_P not in state.extra:
        return {}
    return {"augment/p": float(state.extra[ADA_P].numpy()), "augment/sign": float(state.extra[SIGN].numpy())}
