"""ADA's augmentation probability p, adjusted by the sign of the discriminator's logits on reals."""

import tensorflow as tf

from gan_tf.augment.ada import ADA_KIMG, INTERVAL, adapted
from gan_tf.augment.choice import ADA_P

# Keys of TrainState.extra: sum of the steps' mean signs since p last changed, number of these steps, and r_t then.
SIGN_SUM, STEPS, SIGN = "ada_signs", "ada_steps", "ada_sign"
TRANSFER_KIMG = 100.0  # default of --ada-kimg with --init-from, as in the official program


def extra_names(config):
    """Names of the scalars that ADA adds to the state."""
    return (ADA_P, SIGN_SUM, STEPS, SIGN) if config.augment == "ada" else ()


def update_probability(state, config, sign, batch_size):
    """Counts a step, and changes p every INTERVAL steps; called outside of replicas.

    `sign` (scalar) is the mean sign of D's logits on the reals of the global batch.
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
    """{name: number} of p and r_t for records and TensorBoard; empty without ADA."""
    if ADA_P not in state.extra:
        return {}
    return {"augment/p": float(state.extra[ADA_P].numpy()), "augment/sign": float(state.extra[SIGN].numpy())}
