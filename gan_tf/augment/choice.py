"""The augmentation of a run: one function for the steps of all families."""

import dataclasses

from gan_tf.augment.ada import ada
from gan_tf.augment.diffaugment import diffaugment

ADA_P = "ada_p"  # name of ADA's probability among the numbers of a run


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Augmentation of the discriminator's input; hashable, since it is static in a step."""

    kind: str = "none"  # or "diffaugment", "ada"
    policies: tuple[str, ...] = ()  # for diffaugment, its groups in their order; for ada, the one name of its policy
    probability: float = 1.0  # for diffaugment, share of the images that are augmented


def augmentation_of(config) -> Augmentation:
    """The augmentation that `--augment` selects; `config` has the attributes of TrainConfig."""
    return Augmentation(config.augment, config.policies, config.augment_probability)


def augment(images, draws, purpose, chosen, p=None):
    """Augments the input of the discriminator: images [N, R, R, 3] in [-1, 1] -> [N, R, R, 3].

    Args:
        draws: gan_tf.rng.Draws of N rows, of the step.
        purpose: name of the batch, such as "reals"; each name has different draws.
        chosen: Augmentation.
        p: for ada, probability of each transform, scalar.
    """
    if not chosen.policies:
        return images
    draws = draws.fold_in(f"augment {purpose}")
    if chosen.kind == "diffaugment":
        return diffaugment(images, draws, chosen.policies, chosen.probability)
    return ada(images, draws, p, chosen.policies[0])
