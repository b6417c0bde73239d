"""Adaptive augmentation, first layer: from random draws to the parameters of each transform.

A transform has a *value*, drawn uniform in [0, 1) or standard normal, and a *gate*, uniform in [0, 1): it applies to
the images whose gate lies below its probability, and leaves the others as they are. Its parameter is a function of the
value.

Source: Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data), appendix B; constants and order
as in the official program.
"""

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

UNIFORM, NORMAL = "uniform", "normal"


@dataclasses.dataclass(frozen=True)
class Transform:
    """How one transform is drawn.

    Fields:
        kind: distribution of its value.
        parameter: function of the value, element by element.
        neutral: parameter of an image that the transform leaves alone.
        columns: values for each image; a single one has no axis of its own.
    """

    kind: str
    parameter: Callable
    neutral: float
    columns: int = 1


def _steps(count):
    """Uniform value -> 0, 1, ... count - 1."""
    return lambda u: tf.floor(count * u)


def _spread(largest):
    """Uniform value -> [-largest, largest)."""
    return lambda u: (2.0 * u - 1.0) * largest


def _octaves(deviation):
    """Normal value -> log-normal factor, its base-2 logarithm of this standard deviation."""
    return lambda n: tf.pow(2.0, n * deviation)


def _scaled(deviation):
    return lambda n: n * deviation


# In the order of application. Angles are radians; shifts are parts of the side.
TRANSFORMS = {
    "xflip": Transform(UNIFORM, _steps(2), 0.0),
    "rotate90": Transform(UNIFORM, _steps(4), 0.0),  # quarter turns
    "xint": Transform(UNIFORM, _spread(0.125), 0.0, 2),  # x and y, rounded to pixels later
    "scale": Transform(NORMAL, _octaves(0.2), 1.0),
    "rotate_pre": Transform(UNIFORM, _spread(math.pi), 0.0),
    "aniso": Transform(NORMAL, _octaves(0.2), 1.0),
    "rotate_post": Transform(UNIFORM, _spread(math.pi), 0.0),
    "xfrac": Transform(NORMAL, _scaled(0.125), 0.0, 2),  # x and y
    "brightness": Transform(NORMAL, _scaled(0.2), 0.0),
    "contrast": Transform(NORMAL, _octaves(0.5), 1.0),
    "lumaflip": Transform(UNIFORM, _steps(2), 0.0),
    "hue": Transform(UNIFORM, _spread(math.pi), 0.0),
    "saturation": Transform(NORMAL, _octaves(1.0), 1.0),
    "imgfilter_0": Transform(NORMAL, _octaves(1.0), 1.0),  # gain of a band, from the lowest frequencies up
    "imgfilter_1": Transform(NORMAL, _octaves(1.0), 1.0),
    "imgfilter_2": Transform(NORMAL, _octaves(1.0), 1.0),
    "imgfilter_3": Transform(NORMAL, _octaves(1.0), 1.0),
    "noise": Transform(NORMAL, lambda n: tf.abs(n) * 0.1, 0.0),  # standard deviation
    "cutout": Transform(UNIFORM, lambda u: u, -1.0, 2),  # centre, x and y; at -1 the box lies outside the image
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


def draw(draws, names):
    """Values and gates of the transforms `names`, from the streams of `draws`.

    All transforms are drawn in three calls, so that one has the same values in every policy.

    Returns:
        {name: (value [N] or [N, columns], gate [N])}, float32.
    """
    gates = draws.uniform("gates", (len(TRANSFORMS),))
    values = {UNIFORM: draws.uniform("values", (_width(UNIFORM),)), NORMAL: draws.normal("values", (_width(NORMAL),))}
    drawn, used = {}, {UNIFORM: 0, NORMAL: 0}
    for i, (name, transform) in enumerate(TRANSFORMS.items()):
        first = used[transform.kind]
        used[transform.kind] = first + transform.columns
        if name in names:
            value = values[transform.kind][:, first : first + transform.columns]
            drawn[name] = (value if transform.columns > 1 else value[:, 0], gates[:, i])
    return drawn


def at_percentile(q, names, count):
    """What `draw` would give if every draw stood at the percentile q of its range, and every gate were open.

    Normal values are erfinv(2q - 1), without the factor sqrt(2) that would make it the normal quantile: so does the
    official program, whose outputs can then be compared. The second rotation is none, the noise's value erfinv(q).

    Args:
        q: in (0, 1).
        names: transforms.
        count: images, which are all treated alike.
    """
    drawn = {}
    for name in names:
        transform = TRANSFORMS[name]
        value = float(q) if transform.kind == UNIFORM else tf.math.erfinv(2.0 * q - 1.0)
        if name == "rotate_post":
            value = 0.5
        elif name == "noise":
            value = tf.math.erfinv(float(q))
        shape = (count, transform.columns) if transform.columns > 1 else (count,)
        drawn[name] = (tf.fill(shape, tf.cast(value, tf.float32)), tf.zeros([count]))
    return drawn


def parameters(drawn, p):
    """Parameters of each transform where its gate is open, the neutral one elsewhere.

    Args:
        drawn: {name: (value, gate)}, as `draw` gives.
        p: probability of each transform, scalar. The two rotations share it: each has 1 - sqrt(1 - p), so that an
            image is turned by an arbitrary angle with probability p.

    Returns:
        {name: float32 [N] or [N, columns]}.
    """
    p = tf.cast(p, tf.float32)
    p_rotation = 1.0 - tf.sqrt(1.0 - tf.clip_by_value(p, 0.0, 1.0))
    found = {}
    for name, (value, gate) in drawn.items():
        transform = TRANSFORMS[name]
        is_open = gate < (p_rotation if name in ROTATIONS else p)
        is_open = is_open[:, None] if transform.columns > 1 else is_open
        found[name] = tf.where(is_open, transform.parameter(value), transform.neutral)
    return found


def _width(kind):
    return sum(transform.columns for transform in TRANSFORMS.values() if transform.kind == kind)
