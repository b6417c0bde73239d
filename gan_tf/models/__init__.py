"""Networks of the families: architecture only."""

import dataclasses
from collections.abc import Callable, Mapping

from gan_tf.models import fastgan, fastgan_inference, pggan, pggan_inference, stylegan2, stylegan2_inference


@dataclasses.dataclass(frozen=True)
class Family:
    """How the networks of one family are built.

    generator, discriminator: (settings, Keras dtype policy) -> built network with initial values. `settings` is any
    object with the attributes of TrainConfig that the network needs.
    fold: (built generator, dtype policy or None) -> the same generator for inference, with `refresh(generator)`.
    judge: (built discriminator, generator whose images it judges) -> function of one finished image [1, R, R, 3] in
        [-1, 1], and its class [1] or None -> logits, as in training; larger is more real.
    on_sphere: the networks take only the direction of a latent.
    cannot: what sampling asks for and this family's networks do not have, {"truncation", "w" or "style_mix": the
        reason, as the end of "FAMILY ..."}.
    """

    generator: Callable
    discriminator: Callable
    fold: Callable
    cannot: Mapping[str, str] = dataclasses.field(default_factory=dict)
    judge: Callable = dataclasses.field(kw_only=True)
    on_sphere: bool = dataclasses.field(default=False, kw_only=True)


_NO_MAPPING = "has no mapping network, hence no w"


FAMILIES = {
    "fastgan": Family(
        fastgan.build_generator,
        fastgan.build_discriminator,
        fastgan_inference.fold,
        {"w": _NO_MAPPING},
        judge=fastgan_inference.judge,
    ),
    "pggan": Family(
        pggan.build_generator,
        pggan.build_discriminator,
        pggan_inference.fold,
        {
            "w": _NO_MAPPING,
            "truncation": "brings every latent to one length, so that a scale changes nothing, and no point of a "
            "sphere is its middle",
            "style_mix": "takes its latent in at 4x4 pixels alone: no later layer has an input of its own to swap",
        },
        judge=pggan_inference.judge,
        on_sphere=True,
    ),
    "stylegan2": Family(
        stylegan2.build_generator,
        stylegan2.build_discriminator,
        stylegan2_inference.fold,
        judge=stylegan2_inference.judge,
        on_sphere=True,
    ),
}
