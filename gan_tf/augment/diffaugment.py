"""DiffAugment: differentiable augmentation of the discriminator's input, the same for real and generated images.

Images are [N, R, R, C] float32 in [-1, 1] and keep their shape; colours may leave the range. Every function takes its
random draws as arguments, one for each image, and passes gradients to the images.

Source: Zhao et al. 2020 (Differentiable Augmentation for Data-Efficient GAN Training).
"""

import tensorflow as tf

TRANSLATION_RATIO = 0.125  # largest shift, relative to the side
CUTOUT_RATIO = 0.5  # side of the box, relative to the side


def diffaugment(images, draws, policy, probability=1.0, cutout_ratio=CUTOUT_RATIO):
    """Applies the policies in their order, with different draws for each image.

    Args:
        draws: gan_tf.rng.Draws of N rows, folded with a different name for each batch.
        policy: names in POLICIES.
        probability: share of the images that are augmented, in [0, 1].
        cutout_ratio: side of the cutout box, relative to the side of the image.
    """
    augmented = images
    for name in policy:
        extra = {"ratio": cutout_ratio} if name == "cutout" else {}
        augmented = POLICIES[name](augmented, draws, **extra)
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


@tf.custom_gradient
def translate(images, rows, columns):
    """Shifts images: output pixel (h, w) is input pixel (h + rows, w + columns), or zero outside the image.

    rows, columns: [N] int32 pixels. The custom gradient is the opposite shift: TensorFlow's is a scatter, which takes
    three times as long with XLA and adds in no fixed order on a GPU.
    """
    side = images.shape[1]
    from_rows, from_columns = (tf.range(side) + shift[:, None] for shift in (rows, columns))  # [N, R] sources of pixels
    moved = tf.gather(images, tf.clip_by_value(from_rows, 0, side - 1), axis=1, batch_dims=1)
    moved = tf.gather(moved, tf.clip_by_value(from_columns, 0, side - 1), axis=2, batch_dims=1)
    rows_exist, columns_exist = ((source >= 0) & (source < side) for source in (from_rows, from_columns))
    moved *= tf.cast(rows_exist[:, :, None] & columns_exist[:, None, :], images.dtype)[..., None]
    return moved, lambda slopes: (translate(slopes, -rows, -columns), None, None)


def cutout(images, rows, columns, ratio=CUTOUT_RATIO):
    """Sets a box of `ratio` of the side to zero, with its centre at the given row and column, cut off at the border.

    rows, columns: [N] int32 in [0, side] (in [0, side) if the box has an odd side).
    """
    side = images.shape[1]
    box = _part(side, ratio)
    # [N, R]: from the first row and column of the box.
    offsets = (tf.range(side) - (centre[:, None] - box // 2) for centre in (rows, columns))
    outside_rows, outside_columns = ((offset < 0) | (offset >= box) for offset in offsets)
    kept = outside_rows[:, :, None] | outside_columns[:, None, :]
    return images * tf.cast(kept, images.dtype)[..., None]


def _part(side, ratio):
    """`ratio` of the side in pixels, rounded half up."""
    return int(side * ratio + 0.5)


def _draw_color(images, draws):
    images = brightness(images, draws.uniform("brightness", (1, 1, 1)))
    images = saturation(images, draws.uniform("saturation", (1, 1, 1)))
    return contrast(images, draws.uniform("contrast", (1, 1, 1)))


def _draw_translation(images, draws):
    largest = _part(images.shape[1], TRANSLATION_RATIO)
    rows, columns = (draws.integers(f"translation {axis}", (), -largest, largest + 1) for axis in ("rows", "columns"))
    return translate(images, rows, columns)


def _draw_cutout(images, draws, ratio=CUTOUT_RATIO):
    # An even box has its centre on the line between two pixels, so it has one more position than there are pixels.
    lines = images.shape[1] + 1 - _part(images.shape[1], ratio) % 2
    rows, columns = (draws.integers(f"cutout {axis}", (), 0, lines) for axis in ("rows", "columns"))
    return cutout(images, rows, columns, ratio)


POLICIES = {"color": _draw_color, "translation": _draw_translation, "cutout": _draw_cutout}
