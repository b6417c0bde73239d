"""ADA's probability p as a number of the run, steered by what the discriminator thinks of real images."""

import dataclasses

import numpy as np
import tensorflow as tf

from gan_tf.augment.ada import ADA_KIMG, INTERVAL, adapted
from gan_tf.augment.choice import ADA_P

SIGN_SUM, STEPS = "ada_signs", "ada_steps"  # sum of the steps' mean signs since p last moved, and their number
SIGN = "ada_sign"  # r_t of the last move
TRANSFER_KIMG = 100.0  # --ada-kimg where networks are another run's, as in the official program


@dataclasses.dataclass(frozen=True)
class Rule:
    """How p moves; see augment.ada.adapted."""

    target: float
    kimg: float
    most: float


def rule_of(config):
    """The Rule that a TrainConfig asks for; None without ADA."""
    if config.augment != "ada":
        return None
    usual = TRANSFER_KIMG if config.init_from else ADA_KIMG
    return Rule(config.ada_target, config.ada_kimg or usual, config.ada_max)


def extra_names(config):
    """Names of the numbers that a run with ADA adds to its state."""
    return (ADA_P, SIGN_SUM, STEPS, SIGN) if config.augment == "ada" else ()


def adapt(state, rule, sign, batch_size):
    """Notes a step, and moves p every INTERVAL steps; outside of replicas.

    Args:
        state: TrainState with `extra_names`.
        rule: Rule.
        sign: scalar, mean sign of D's logits on the reals of the step's whole batch.
        batch_size: images in a step.
    """
    extra = state.extra
    signs, steps = extra[SIGN_SUM] + sign, extra[STEPS] + 1.0
    moves = steps >= INTERVAL
    after = adapted(extra[ADA_P], signs, steps, INTERVAL * batch_size, rule.target, rule.kimg, rule.most)
    extra[ADA_P].assign(tf.where(moves, after, extra[ADA_P]))
    extra[SIGN].assign(tf.where(moves, signs / steps, extra[SIGN]))
    extra[SIGN_SUM].assign(tf.where(moves, 0.0, signs))
    extra[STEPS].assign(tf.where(moves, 0.0, steps))


def shown(state):
    """Where p and the sign stand, for records and TensorBoard: {name: number}, empty without ADA."""
    if ADA_P not in state.extra:
        return {}
    return {"augment/p": float(state.extra[ADA_P].numpy()), "augment/sign": float(state.extra[SIGN].numpy())}


def probability(state):
    """Where p stands; 0 without ADA."""
    return float(state.extra[ADA_P].numpy()) if ADA_P in state.extra else 0.0


def warning(state, rule, before):
    """A line when p has come to its cap since it was `before`; None else."""
    if rule is None or not before < np.float32(rule.most) <= state.extra[ADA_P].numpy():
        return None
    return (
        f"warning: augmentation has reached --ada-max {rule.most:g}, and the discriminator still learns the images by "
        "heart. More of it would show in the samples; more images, --init-from with --freeze-d, or a shorter run help"
    )
