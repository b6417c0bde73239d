"""Selects the augmentation of a run and applies it, for all families."""

import dataclasses

from gan_tf.augment.ada import ada
from gan_tf.augment.diffaugment import diffaugment

ADA_P = "ada_p"  # key of ADA's probability in TrainState.extra


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Kind and settings of an augmentation; hashable, since a training step is traced for each."""

    kind: str = "none"  # or "diffaugment", "ada"
    policies: tuple[str, ...] = ()  # of diffaugment, in the order of application; for ada, the name of one policy
    probability: float = 1.0  # for diffaugment, share of the images that are augmented


def augmentation_of(config) -> Augmentation:
    """The augmentation that `--augment` selects; `config` has the attributes of TrainConfig."""
    return Augmentation(config.augment, config.policies, config.augment_probability)


def augment(images, draws, purpose, chosen, p=None):
    """Augments the input of the discriminator: images [N, R, R, 3] in [-1, 1] -> [N, R, R, 3].

    Args:
        draws: gan_tf.rng.Draws of the step, of N rows.
        purpose: name of the batch, such as "reals"; each name has different draws.
        chosen: Augmentation.
        p: for ada, probability of each transform, scalar in [0, 1].
    """
    if not chosen.policies:
        return images
    draws = draws.fold_in(f"augment {purpose}")
    if chosen.kind == "diffaugment":
        return diffaugment(images, draws, chosen.policies, chosen.probability)
    return ada(images, draws, p, chosen.policies[0])
