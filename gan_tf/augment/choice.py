"""The augmentation of a run: one function for the steps of all families."""

import dataclasses

from gan_tf.augment.ada import ada
from gan_tf.augment.diffaugment import diffaugment

ADA_P = "ada_p"  # name of ADA's probability among the numbers of a run


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Augmentation of the discriminator's input; hashable, since it is static in a step.

    Fields:
        kind: "none", "diffaugment" or "ada".
        policies: for diffaugment, its groups in their order; for ada, the one name of its policy.
        probability: for diffaugment, share of the images that are augmented.
    """

    kind: str = "none"
    policies: tuple[str, ...] = ()
    probability: float = 1.0


def augmentation_of(config) -> Augmentation:
    """The augmentation that `--augment` selects; `config` has the attributes of TrainConfig."""
    if config.augment == "diffaugment":
        return Augmentation("diffaugment", config.policies, config.augment_probability)
    return Augmentation("ada", config.policies) if config.augment == "ada" else Augmentation()


def augment(images, draws, purpose, chosen, p=None):
    """Augments the input of the discriminator.

    Args:
        images: [N, R, R, 3] in [-1, 1].
        draws: gan_tf.rng.Draws of N rows, of the step.
        purpose: name of the batch, such as "reals"; each name has different draws.
        chosen: Augmentation.
        p: for ada, probability of each transform, scalar.

    Returns:
        [N, R, R, 3].
    """
    if chosen.kind == "none" or not chosen.policies:
        return images
    draws = draws.fold_in(f"augment {purpose}")
    if chosen.kind == "diffaugment":
        return diffaugment(images, draws, chosen.policies, chosen.probability)
    if chosen.kind == "ada":
        (policy,) = chosen.policies
        return ada(images, draws, p, policy)
    raise ValueError(f"augmentation must be none, diffaugment or ada, got {chosen.kind!r}")
