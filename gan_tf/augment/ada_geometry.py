"""Adaptive augmentation: geometric transforms, as one affine map of places for each image.

Places are in pixels from the image's centre, x to the right and y down. The map leads from the place of an output pixel
to the place in the input that it shows.

Source: Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data), appendix B.
"""

import tensorflow as tf


def geometric_map(parameters, resolution):
    """The map that the geometric transforms among `parameters` make together, in their order.

    Args:
        parameters: {name: [N] or [N, 2]}, of gan_tf.augment.ada_parameters; at least one geometric.
        resolution: pixels of a side.

    Returns:
        [N, 3, 3], of homogeneous places (x, y, 1). A map without rotations by arbitrary angles has exact zeros
        in its diagonal or beside it.
    """
    count = next(iter(parameters.values())).shape[0]
    total = tf.eye(3, batch_shape=[count])
    for name, factor in FACTORS.items():
        if name in parameters:
            total = product(total, factor(parameters[name], resolution))
    return total


def product(one, other):
    """one [N, 3, 3] @ other [N, 3, K], by multiplications that no accelerator rounds to fewer digits."""
    return tf.reduce_sum(one[..., None] * other[:, None], axis=2)


def _matrix(rows):
    """3 x 3 entries, each [N] or a number -> [N, 3, 3]."""
    like = next(entry for row in rows for entry in row if tf.is_tensor(entry))
    entries = [tf.broadcast_to(tf.cast(entry, tf.float32), like.shape) for row in rows for entry in row]
    return tf.reshape(tf.stack(entries, axis=1), (-1, 3, 3))


def _scaling(x, y):
    return _matrix([[x, 0, 0], [0, y, 0], [0, 0, 1]])


def _rotation(cos, sin):
    return _matrix([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _translation(x, y):
    return _matrix([[1, 0, x], [0, 1, y], [0, 0, 1]])


def _flip(flips, resolution):
    return _scaling(1.0 - 2.0 * flips, tf.ones_like(flips))


def _quarter_turns(turns, resolution):
    turns = tf.cast(turns, tf.int32)  # from a table, as cos(pi / 2) would not be 0
    return _rotation(tf.gather([1.0, 0.0, -1.0, 0.0], turns), tf.gather([0.0, 1.0, 0.0, -1.0], turns))


def _whole_shift(shifts, resolution):
    return _translation(*tf.unstack(-tf.round(shifts * resolution), axis=1))


def _turn(angle, resolution):
    return _rotation(tf.cos(angle), tf.sin(angle))


def _shift(shifts, resolution):
    return _translation(*tf.unstack(-shifts * resolution, axis=1))


FACTORS = {  # of the map, from the left; arguments: parameter, resolution
    "xflip": _flip,
    "rotate90": _quarter_turns,
    "xint": _whole_shift,
    "scale": lambda factor, resolution: _scaling(1.0 / factor, 1.0 / factor),
    "rotate_pre": _turn,
    "aniso": lambda factor, resolution: _scaling(1.0 / factor, factor),
    "rotate_post": _turn,
    "xfrac": _shift,
}
