"""Adaptive discriminator augmentation (ADA): 18 transforms with the same probability p, and the rule that adapts p.

For each image, a transform has a *value*, uniform in [0, 1) or standard normal, and a *gate*, uniform in [0, 1). It is
applied if the gate is below its probability; its parameter is a function of the value. The parameters of an image give
one affine map of positions and one of colours. Rotation, in two parts around `aniso`, counts as one transform. Images
that are not square get no quarter turns.

Source: Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data), sections 2 and 3 and appendix
B; constants and order as in the official program.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from gan_tf.augment import ada_maps
from gan_tf.augment.ada_resample import resample

UNIFORM, NORMAL = "uniform", "normal"
INTERVAL = 4  # steps between two updates of p
ADA_KIMG = 500.0  # thousands of real images in which p can rise from 0 to 1


class Transform(NamedTuple):
    """Distribution and parameter of one transform."""

    kind: str  # distribution of its value, UNIFORM or NORMAL
    parameter: Callable  # function of the value, element by element
    neutral: float  # parameter of an image that is not transformed
    columns: int = 1  # values per image; a single value has no axis


def _steps(count):
    """Uniform value -> 0, 1, ... count - 1."""
    return lambda u: tf.floor(count * u)


def _range(largest):
    """Uniform value -> [-largest, largest)."""
    return lambda u: (2.0 * u - 1.0) * largest


def _octaves(deviation):
    """Normal value -> log-normal factor whose base-2 logarithm has the standard deviation `deviation`."""
    return lambda n: tf.pow(2.0, n * deviation)


def _scaled(deviation):
    return lambda n: n * deviation


# In the order of application. Angles are in radians, shifts are relative to the side along which they are.
TRANSFORMS = {
    "xflip": Transform(UNIFORM, _steps(2), 0.0),
    "rotate90": Transform(UNIFORM, _steps(4), 0.0),  # quarter turns
    "xint": Transform(UNIFORM, _range(0.125), 0.0, 2),  # x and y; geometric_map rounds them to whole pixels
    "scale": Transform(NORMAL, _octaves(0.2), 1.0),
    "rotate_pre": Transform(UNIFORM, _range(math.pi), 0.0),
    "aniso": Transform(NORMAL, _octaves(0.2), 1.0),
    "rotate_post": Transform(UNIFORM, _range(math.pi), 0.0),
    "xfrac": Transform(NORMAL, _scaled(0.125), 0.0, 2),  # x and y
    "brightness": Transform(NORMAL, _scaled(0.2), 0.0),
    "contrast": Transform(NORMAL, _octaves(0.5), 1.0),
    "lumaflip": Transform(UNIFORM, _steps(2), 0.0),
    "hue": Transform(UNIFORM, _range(math.pi), 0.0),
    "saturation": Transform(NORMAL, _octaves(1.0), 1.0),
    "imgfilter_0": Transform(NORMAL, _octaves(1.0), 1.0),  # gain of a band, from the lowest frequencies up
    "imgfilter_1": Transform(NORMAL, _octaves(1.0), 1.0),
    "imgfilter_2": Transform(NORMAL, _octaves(1.0), 1.0),
    "imgfilter_3": Transform(NORMAL, _octaves(1.0), 1.0),
    "noise": Transform(NORMAL, lambda n: tf.abs(n) * 0.1, 0.0),  # standard deviation
    "cutout": Transform(UNIFORM, lambda u: u, -1.0, 2),  # centre, x and y; at -1 the box is outside the image
}
GROUPS = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate_pre", "aniso", "rotate_post", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter_0", "imgfilter_1", "imgfilter_2", "imgfilter_3"),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
ROTATIONS = ("rotate_pre", "rotate_post")
# {policy: names of its transforms}, as in the official program: "bg" is the first two groups, "bgc" the first three ...
POLICIES = {
    **GROUPS,
    **{"bgcfnc"[:count]: sum(list(GROUPS.values())[:count], ()) for count in range(2, 7)},
}


def ada(images, draws, p, policy):
    """Augments each image with its own draws.

    Args:
        images: [N, H, W, C] in [-1, 1], with C = 4 as of `ops.pixels.zero_where_transparent`.
        draws: gan_tf.rng.Draws of N rows, folded with a different name for each batch.
        p: probability of each transform, scalar >= 0; from 1 on, every transform is applied to all images. At 0 no
            bit of the images changes.
        policy: key of POLICIES.

    Returns:
        [N, H, W, C] float32; colours may leave the range. Gradients to the images exist to every order.
    """
    images = tf.ensure_shape(tf.cast(images, tf.float32), (draws.count, *images.shape[1:]))
    names = [name for name in POLICIES[policy] if name != "rotate90" or images.shape[1] == images.shape[2]]
    normals = draws.normal("noise", images.shape[1:]) if "noise" in names else None
    return apply(images, parameters(draw(draws, names), p), normals)


def draw(draws, names):
    """Values and gates of the transforms `names`: {name: (value [N] or [N, columns], gate [N])}, float32.

    All transforms are drawn, whatever `names` are, so that a transform has the same values in every policy.
    """
    gates = tf.unstack(draws.uniform("gates", (len(TRANSFORMS),)), axis=1)
    gates, drawn = dict(zip(TRANSFORMS, gates, strict=True)), {}
    for kind, draw_values in ((UNIFORM, draws.uniform), (NORMAL, draws.normal)):
        transforms = {name: transform for name, transform in TRANSFORMS.items() if transform.kind == kind}
        columns = [transform.columns for transform in transforms.values()]
        values = tf.split(draw_values("values", (sum(columns),)), columns, axis=1)
        for (name, transform), value in zip(transforms.items(), values, strict=True):
            if name in names:
                drawn[name] = (value if transform.columns > 1 else value[:, 0], gates[name])
    return drawn


def parameters(drawn, p):
    """Parameters of each transform, the neutral one where its gate is not below its probability, the scalar p.

    The two rotations have the probability 1 - sqrt(1 - p) each, so that an image is rotated by an arbitrary angle with
    probability p. drawn {name: (value, gate)}, see `draw` -> {name: float32 [N] or [N, columns]}.
    """
    p = tf.cast(p, tf.float32)
    p_rotation = 1.0 - tf.sqrt(1.0 - tf.clip_by_value(p, 0.0, 1.0))
    chosen = {}
    for name, (value, gate) in drawn.items():
        transform = TRANSFORMS[name]
        applies = gate < (p_rotation if name in ROTATIONS else p)
        applies = applies[:, None] if transform.columns > 1 else applies
        chosen[name] = tf.where(applies, transform.parameter(value), transform.neutral)
    return chosen


def apply(images, parameters, normals=None):
    """Applies transforms with given parameters: images [N, H, W, C] float32, see `ada` -> [N, H, W, C] float32.

    Args:
        parameters: {name of a transform: [N] or [N, 2]}, see `parameters`.
        normals: standard normal like the images; needed with "noise".
    """
    if not ada_maps.GEOMETRIC.keys().isdisjoint(parameters):
        images = resample(images, ada_maps.geometric_map(parameters, images.shape[1:3]))
    if not set(GROUPS["color"]).isdisjoint(parameters):
        images = ada_maps.recolor(images, *ada_maps.color_map(parameters))
    if GROUPS["filter"][0] in parameters:
        filtered = ada_maps.amplify_bands(images, ada_maps.band_gains(parameters))
        images = visible(filtered, images) if images.shape[3] == 4 else filtered
    if "noise" in parameters:
        noise = normals * parameters["noise"][:, None, None, None]  # standard deviations, in units of the images
        images = visible(images + noise, images) if images.shape[3] == 4 else images + noise
    if "cutout" in parameters:
        images = ada_maps.cut_out(images, parameters["cutout"])
    return images


def visible(changed, images):
    """Returns RGBA images of `ops.pixels.zero_where_transparent` with the changes of colours where they are visible."""
    colours, alpha = images[..., :3], images[..., 3:]
    return tf.concat([colours + (changed[..., :3] - colours) * alpha, alpha], axis=3)


def adapted(p, signs, count, images, target, ada_kimg, ada_max):
    """The probability p for the next interval: p +- images / (1000 ada_kimg): + if r_t > target, - if below.

    r_t, the mean of sign(D(real)), is 0 for a discriminator that cannot separate real from fake images, and approaches
    1 as it memorises the training images: above the target there is too little augmentation.

    Args:
        p: the present probability, float32 scalar in [0, ada_max], like the result.
        signs: sum over the interval's steps of the mean sign over the global batch of augmented reals.
        count: number of these steps; 0 leaves p unchanged.
        images: real images in the interval: INTERVAL times the global batch.
        target: of r_t, in (-1, 1).
        ada_kimg: thousands of images in which p can change from 0 to 1.
        ada_max: largest p. The official program has no upper limit; from about 0.8 on, augmentations are so frequent
            that the generator starts to generate augmented images (section 2.2 of the paper).
    """
    step = tf.sign(tf.math.divide_no_nan(signs, count) - target) * (images / (1000.0 * ada_kimg))
    return tf.where(count > 0, tf.clip_by_value(p + step, 0.0, ada_max), p)
