"""Differentiable augmentation of the discriminator's input, the same for real and generated images.

Images are [N, H, W, C] float32 in [-1, 1] and keep their shape; colours may leave the range. Every function takes its
random draws as arguments, one for each image, and passes gradients to the images.

Source: Zhao et al. 2020 (Differentiable Augmentation for Data-Efficient GAN Training).
"""

import tensorflow as tf

from gan_tf.errors import UsageError

TRANSLATION_RATIO = 0.125  # largest shift, relative to the side
CUTOUT_RATIO = 0.5  # side of the box, relative to the side


def diffaugment(images, draws, policy, probability=1.0):
    """Applies the groups of `policy` in their order, with different draws for each image.

    Args:
        images: [N, H, W, C] float32.
        draws: gan_tf.rng.Draws of N rows, folded with a different name for each batch.
        policy: names of POLICIES.
        probability: of an image being augmented at all, in [0, 1].

    Raises:
        UsageError: an unknown name in `policy`.
    """
    unknown = [name for name in policy if name not in POLICIES]
    if unknown:
        raise UsageError(f"augment policy {unknown[0]!r} is unknown; choose from {', '.join(POLICIES)}")
    augmented = images
    for name in policy:
        augmented = POLICIES[name](augmented, draws)
    if probability >= 1.0:
        return augmented
    chosen = draws.uniform("augment or not", (1, 1, 1)) < probability
    return tf.where(chosen, augmented, images)


def brightness(images, u):
    """Adds u - 0.5. u [N, 1, 1, 1] in [0, 1)."""
    return images + (u - 0.5)


def saturation(images, u):
    """Scales the distance of each pixel from its own grey (the mean over channels) by 2u. u [N, 1, 1, 1] in [0, 1)."""
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    return (images - grey) * (2.0 * u) + grey


def contrast(images, u):
    """Scales the distance from the image's mean by u + 0.5. u [N, 1, 1, 1] in [0, 1)."""
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return (images - mean) * (u + 0.5) + mean


def translate(images, rows, columns):
    """Shifts images: output pixel (h, w) is input pixel (h + rows, w + columns), or zero outside the image.

    rows, columns: [N] int32 pixels. The custom gradient is the opposite shift: TensorFlow's is a scatter, which XLA
    makes three times slower and a GPU adds up in no fixed order.
    """

    @tf.custom_gradient
    def shift(x):
        return _shifted(x, rows, columns), lambda slopes: translate(slopes, -rows, -columns)

    return shift(images)


def cutout(images, top, left):
    """Sets a box of half the side to zero, centred at (top, left) and cut off at the border.

    top, left: [N] int32 in [0, side] (in [0, side) where the box has an odd side).
    """
    rows = _outside_box(top, images.shape[1])  # [N, H]
    columns = _outside_box(left, images.shape[2])  # [N, W]
    kept = rows[:, :, None] | columns[:, None, :]
    return images * tf.cast(kept, images.dtype)[..., None]


def _shifted(x, rows, columns):
    height, width = x.shape[1:3]
    rows = tf.range(height) + rows[:, None]  # [N, H] source row of each output row
    columns = tf.range(width) + columns[:, None]  # [N, W]
    moved = tf.gather(x, tf.clip_by_value(rows, 0, height - 1), axis=1, batch_dims=1)
    moved = tf.gather(moved, tf.clip_by_value(columns, 0, width - 1), axis=2, batch_dims=1)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    return moved * tf.cast(inside, x.dtype)[..., None]


def _outside_box(centre, side):
    """[N] centres along one axis -> [N, side], True outside the box."""
    box = _part(side, CUTOUT_RATIO)
    offset = tf.range(side) - (centre[:, None] - box // 2)
    return (offset < 0) | (offset >= box)


def _part(side, ratio):
    """`ratio` of the side in pixels, rounded half up."""
    return int(side * ratio + 0.5)


def _draw_color(images, draws):
    images = brightness(images, draws.uniform("brightness", (1, 1, 1)))
    images = saturation(images, draws.uniform("saturation", (1, 1, 1)))
    return contrast(images, draws.uniform("contrast", (1, 1, 1)))


def _draw_translation(images, draws):
    rows, columns = (_part(side, TRANSLATION_RATIO) for side in images.shape[1:3])  # largest shift each way
    return translate(
        images,
        draws.integers("translation rows", (), -rows, rows + 1),
        draws.integers("translation columns", (), -columns, columns + 1),
    )


def _draw_cutout(images, draws):
    # An even box has its centre on the line between two pixels, so it has one more position than there are pixels.
    lines = [side + 1 - _part(side, CUTOUT_RATIO) % 2 for side in images.shape[1:3]]
    return cutout(
        images, draws.integers("cutout rows", (), 0, lines[0]), draws.integers("cutout columns", (), 0, lines[1])
    )


POLICIES = {"color": _draw_color, "translation": _draw_translation, "cutout": _draw_cutout}
