"""Adaptive discriminator augmentation: 18 transforms, each applied with the same probability p.

Three layers, a file or more each: random draws become parameters (`ada_parameters`), these become one affine map of
places (`ada_geometry`) and one of colours (`ada_color`) for each image, and the maps are applied to the images
(`ada_resample`, `ada_color`, `ada_corruption`). What moves p during training is in `ada_control`.

Source: Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data), section 2 and appendix B.
"""

import tensorflow as tf

from gan_tf.augment import ada_color, ada_corruption, ada_geometry
from gan_tf.augment.ada_parameters import GROUPS, draw, parameters
from gan_tf.augment.ada_resample import resample
from gan_tf.errors import UsageError

# Transforms of each policy; the names are those of the official program.
POLICIES = {
    **GROUPS,
    "bg": GROUPS["blit"] + GROUPS["geom"],
    "bgc": GROUPS["blit"] + GROUPS["geom"] + GROUPS["color"],
    "bgcf": GROUPS["blit"] + GROUPS["geom"] + GROUPS["color"] + GROUPS["filter"],
    "bgcfn": GROUPS["blit"] + GROUPS["geom"] + GROUPS["color"] + GROUPS["filter"] + GROUPS["noise"],
    "bgcfnc": sum(GROUPS.values(), ()),
}


def ada(images, draws, p, policy):
    """Augments each image by draws of its own.

    Args:
        images: [N, R, R, 3] in [-1, 1].
        draws: gan_tf.rng.Draws of N rows; fork it for each batch that shall get other draws.
        p: probability of each transform, scalar, >= 0; from 1 on, each is applied to all images. At 0 the images
            stay as they are, to the bit.
        policy: key of POLICIES.

    Returns:
        [N, R, R, 3] float32; colours may leave the range. Gradients to the images exist to every order.

    Raises:
        UsageError: unknown policy.
    """
    images = tf.ensure_shape(tf.cast(images, tf.float32), (draws.count, *images.shape[1:]))
    names = transforms_of(policy)
    normals = draws.normal("noise", images.shape[1:]) if "noise" in names else None
    return apply(images, parameters(draw(draws, names), p), normals)


def transforms_of(policy):
    """Names of a policy's transforms, in the order of their application.

    Raises:
        UsageError: unknown policy.
    """
    if policy not in POLICIES:
        raise UsageError(f"augment policy {policy!r} is unknown: choose from {', '.join(POLICIES)}")
    return POLICIES[policy]


def apply(images, parameters, normals=None):
    """Applies transforms whose parameters are known.

    Args:
        images: [N, R, R, 3] float32 in [-1, 1].
        parameters: {name of a transform: [N] or [N, 2]}, as `gan_tf.augment.ada_parameters.parameters` gives.
        normals: standard normal [N, R, R, 3]; needed with "noise".

    Returns:
        [N, R, R, 3] float32.
    """
    if not ada_geometry.FACTORS.keys().isdisjoint(parameters):
        images = resample(images, ada_geometry.geometric_map(parameters, images.shape[1]))
    colors = {name: parameters[name] for name in GROUPS["color"] if name in parameters}
    if colors:
        images = ada_color.recolor(images, *ada_color.color_map(colors))
    if GROUPS["filter"][0] in parameters:
        images = ada_corruption.amplify_bands(images, ada_corruption.band_gains(parameters))
    if "noise" in parameters:
        images = ada_corruption.add_noise(images, parameters["noise"], normals)
    if "cutout" in parameters:
        images = ada_corruption.cut_out(images, parameters["cutout"])
    return images
