"""Selects the augmentation of a run and applies it, for all families."""

import dataclasses

from gan_tf.augment.ada import POLICIES, ada
from gan_tf.augment.diffaugment import diffaugment
from gan_tf.ops.pixels import minus_one_where_transparent, zero_where_transparent

ADA_P = "ada_p"  # key of ADA's probability in TrainState.extra


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Kind and settings of an augmentation; hashable, since a training step is traced for each."""

    kind: str = "none"  # or "diffaugment", "ada"
    policies: tuple[str, ...] = ()  # of diffaugment, in the order of application; for ada, the name of one policy
    probability: float = 1.0  # for diffaugment, share of the images that are augmented
    cutout: float = 0.5  # for diffaugment, side of the box relative to the image


def augmentation_of(config) -> Augmentation:
    """The augmentation that `--augment` selects; `config` has the attributes of TrainConfig."""
    return Augmentation(config.augment, config.policies, config.augment_probability, config.cutout)


def flips(kind, policy) -> bool:
    """Returns True if a policy of an augmentation shows some images mirrored."""
    return kind == "ada" and "xflip" in POLICIES[policy]


def mirror_text(config, continued) -> str:
    """Returns a line on mirrored images in training, with the setting that leaves them out unless it is too late."""
    if config.mirror:
        advice = "" if continued else "; give --no-mirror for text, or where left and right differ"
        return f"images are also shown mirrored{advice}"
    if not any(flips(config.augment, policy) for policy in config.policies):
        return "images are not shown mirrored"
    without = ", ".join(policy for policy in POLICIES if not flips("ada", policy))
    advice = "" if continued else f" (the policies {without} and --augment diffaugment do not)"
    return (
        f"images are not shown mirrored (--no-mirror), but --augment-policy {config.policies[0]} of ada flips some of "
        f"those that it augments{advice}"
    )


def turn_text(config) -> str:
    """Returns a line if the augmentation leaves out quarter turns because the images are not square, else ""."""
    turns = config.augment == "ada" and any("rotate90" in POLICIES[policy] for policy in config.policies)
    height, width = config.image_size
    return "ada: no quarter turns, since the images are not square" if turns and height != width else ""


def augment(images, draws, purpose, chosen, p=None):
    """Augments the input of the discriminator: images [N, H, W, C] in [-1, 1] -> [N, H, W, C].

    Colours of RGBA change, their transparency does not; the areas that geometry and cutout leave empty are transparent.

    Args:
        draws: gan_tf.rng.Draws of the step, of N rows.
        purpose: name of the batch, such as "reals"; each name has different draws.
        chosen: Augmentation.
        p: for ada, probability of each transform, scalar in [0, 1].
    """
    if not chosen.policies:
        return images
    if images.shape[3] == 4:
        images = augment_from_zero(zero_where_transparent(images), draws, purpose, chosen, p)
        return minus_one_where_transparent(images)
    return augment_from_zero(images, draws, purpose, chosen, p)


def augment_from_zero(images, draws, purpose, chosen, p):
    """Augments images of which zero is grey, or transparent for RGBA; arguments as for `augment`."""
    draws = draws.fold_in(f"augment {purpose}")
    if chosen.kind == "diffaugment":
        return diffaugment(images, draws, chosen.policies, chosen.probability, chosen.cutout)
    return ada(images, draws, p, chosen.policies[0])
