"""Networks of each model family: architecture only."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

from gan_tf.models import fastgan, pggan, stylegan2
from gan_tf.models.network import build, fold
from gan_tf.models.projected import ProjectedDiscriminator


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """Constructors of the networks of one family, and the properties that sampling depends on.

    generator, discriminator: (settings, Keras dtype policy) -> built network with initial values. `settings` is any
        object with the attributes of TrainConfig that the network needs.
    image_logits: (built discriminator, built generator) -> function: one image [1, H, W, C] in [-1, 1], its class label
        [1] or None -> logits as in training, larger for images that look more real.
    fold: (built generator, dtype policy or None) -> the same generator for inference, see `gan_tf.models.network.fold`.
    on_sphere: the generator uses only the direction of a latent, not its length.
    unsupported: {"truncation", "w" or "style_mix": reason why the family does not have it, a predicate of its name}.
    """

    generator: Callable
    discriminator: Callable
    image_logits: Callable
    fold: Callable = fold
    on_sphere: bool = False
    unsupported: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _build_discriminator(own, settings, policy):
    """Builds a family's own discriminator, or with `discriminator` "projected" that of Projected GAN."""
    if (
        getattr(settings, "discriminator", "own") == "projected"
    ):  # with separable heads for StyleGAN2, as in the official program
        return build(ProjectedDiscriminator, settings, policy, separable=own is stylegan2.StyleGan2Discriminator)
    return build(own, settings, policy)


_NO_MAPPING = "has no mapping network, hence no w"


FAMILIES = {
    "fastgan": Family(
        generator=partial(build, fastgan.FastGanGenerator),
        discriminator=partial(_build_discriminator, fastgan.FastGanDiscriminator),
        image_logits=fastgan.image_logits,
        unsupported={"w": _NO_MAPPING},
    ),
    "pggan": Family(
        generator=partial(build, pggan.PgganGenerator),
        discriminator=partial(build, pggan.PgganDiscriminator),
        image_logits=pggan.image_logits,
        on_sphere=True,
        unsupported={
            "w": _NO_MAPPING,
            "truncation": "normalises the length of every latent, so that scaling it has no effect",
            "style_mix": "uses its latent at 4x4 pixels only, so that no later layer has an input to exchange",
        },
    ),
    "stylegan2": Family(
        generator=partial(build, stylegan2.StyleGan2Generator),
        discriminator=partial(_build_discriminator, stylegan2.StyleGan2Discriminator),
        image_logits=stylegan2.image_logits,
        on_sphere=True,
    ),
}


def family_of(config) -> Family:
    """Returns the Family of a TrainConfig's networks."""
    family = FAMILIES[config.model]
    if config.up_blocks == "alternating":
        return family
    reason = FAMILIES["pggan"].unsupported["truncation"]
    return dataclasses.replace(family, on_sphere=True, unsupported={**family.unsupported, "truncation": reason})
