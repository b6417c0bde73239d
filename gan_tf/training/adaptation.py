"""AdaController: ADA's augmentation probability p, adjusted by the sign of the discriminator's logits on reals."""

import dataclasses

import tensorflow as tf

from gan_tf.augment.ada import ADA_KIMG, INTERVAL, adapted
from gan_tf.augment.choice import ADA_P

# Keys of TrainState.extra: sum of the steps' mean signs since p last changed, number of these steps, and r_t then.
SIGN_SUM, STEPS, SIGN = "ada_signs", "ada_steps", "ada_sign"
TRANSFER_KIMG = 100.0  # default of --ada-kimg with --init-from, as in the official program


@dataclasses.dataclass(frozen=True)
class AdaSettings:
    """How p changes; see augment.ada.adapted."""

    target: float
    kimg: float
    highest: float


def ada_settings(config):
    """The AdaSettings of a TrainConfig; None without ADA."""
    if config.augment != "ada":
        return None
    default = TRANSFER_KIMG if config.init_from else ADA_KIMG
    return AdaSettings(config.ada_target, config.ada_kimg or default, config.ada_max)


def extra_names(config):
    """Names of the scalars that ADA adds to the state."""
    return (ADA_P, SIGN_SUM, STEPS, SIGN) if config.augment == "ada" else ()


def update_probability(state, ada, sign, batch_size):
    """Counts a step, and changes p every INTERVAL steps; called outside of replicas.

    Args:
        state: TrainState with `extra_names`.
        ada: AdaSettings.
        sign: scalar, mean sign of D's logits on the reals of the global batch.
        batch_size: images per step.
    """
    extra = state.extra
    signs, steps = extra[SIGN_SUM] + sign, extra[STEPS] + 1.0
    is_due = steps >= INTERVAL
    p = adapted(extra[ADA_P], signs, steps, INTERVAL * batch_size, ada.target, ada.kimg, ada.highest)
    extra[ADA_P].assign(tf.where(is_due, p, extra[ADA_P]))
    extra[SIGN].assign(tf.where(is_due, signs / steps, extra[SIGN]))
    extra[SIGN_SUM].assign(tf.where(is_due, 0.0, signs))
    extra[STEPS].assign(tf.where(is_due, 0.0, steps))


def ada_scalars(state):
    """{name: number} of p and r_t for records and TensorBoard; empty without ADA."""
    if ADA_P not in state.extra:
        return {}
    return {"augment/p": float(state.extra[ADA_P].numpy()), "augment/sign": float(state.extra[SIGN].numpy())}
