"""DiffAugment: differentiable augmentation of the discriminator's input, the same for real and generated images.

Images are [N, H, W, C] float32 and keep their shape: colours or grey values in [-1, 1], which may leave the range, or
RGBA as of `ops.pixels.zero_where_transparent`. Every function takes its random draws as arguments, one for each image,
and passes gradients to the images.

Source: Zhao et al. 2020 (Differentiable Augmentation for Data-Efficient GAN Training).
"""

import tensorflow as tf

TRANSLATION_RATIO = 0.125  # largest shift, relative to the side along which it is
CUTOUT_RATIO = 0.5  # sides of the box, relative to those of the image


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


def brightness(images, u, alpha=None):
    """Adds u - 0.5 to colours, which are multiplied by alpha [N, H, W, 1], if given. u [N, 1, 1, 1] in [0, 1)."""
    return images + (u - 0.5 if alpha is None else (u - 0.5) * alpha)


def saturation(images, u):
    """Scales the distance of each pixel from its own grey (the mean over channels) by 2u. u [N, 1, 1, 1] in [0, 1)."""
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    return (images - grey) * (2.0 * u) + grey


def contrast(images, u, alpha=None):
    """Scales the distance from the image's mean by u + 0.5. u [N, 1, 1, 1] in [0, 1); `alpha` as for `brightness`."""
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    if alpha is not None:  # of the visible parts
        mean *= alpha / tf.maximum(tf.reduce_mean(alpha, axis=[1, 2], keepdims=True), 1e-3)
    return (images - mean) * (u + 0.5) + mean


@tf.custom_gradient
def translate(images, rows, columns):
    """Shifts images: output pixel (h, w) is input pixel (h + rows, w + columns), or zero outside the image.

    rows, columns: [N] int32 pixels. The custom gradient is the opposite shift: TensorFlow's is a scatter, which takes
    three times as long with XLA and adds in no fixed order on a GPU.
    """
    moved, exist = images, []
    for axis, shifts in ((1, rows), (2, columns)):
        side = images.shape[axis]
        source = tf.range(side) + shifts[:, None]  # [N, side]: rows or columns that pixels are read from
        moved = tf.gather(moved, tf.clip_by_value(source, 0, side - 1), axis=axis, batch_dims=1)
        exist.append((source >= 0) & (source < side))
    moved *= tf.cast(exist[0][:, :, None] & exist[1][:, None, :], images.dtype)[..., None]
    return moved, lambda slopes: (translate(slopes, -rows, -columns), None, None)


def cutout(images, rows, columns, ratio=CUTOUT_RATIO):
    """Sets a box of `ratio` of both sides to zero, with its centre at the given row and column, cut off at the border.

    rows, columns: [N] int32 in [0, side] (in [0, side) if the box has an odd side).
    """
    outside = []
    for side, centre in zip(images.shape[1:3], (rows, columns), strict=True):
        box = _part(side, ratio)
        offset = tf.range(side) - (centre[:, None] - box // 2)  # [N, side]: from the first row or column of the box
        outside.append((offset < 0) | (offset >= box))
    outside_rows, outside_columns = outside
    kept = outside_rows[:, :, None] | outside_columns[:, None, :]
    return images * tf.cast(kept, images.dtype)[..., None]


def _part(side, ratio):
    """`ratio` of the side in pixels, rounded half up."""
    return int(side * ratio + 0.5)


def _draw_color(images, draws):
    images, alpha = (images[..., :3], images[..., 3:]) if images.shape[3] == 4 else (images, None)
    images = brightness(images, draws.uniform("brightness", (1, 1, 1)), alpha)
    images = saturation(images, draws.uniform("saturation", (1, 1, 1)))
    images = contrast(images, draws.uniform("contrast", (1, 1, 1)), alpha)
    return images if alpha is None else tf.concat([images, alpha], axis=3)


def _draw_translation(images, draws):
    largest = [_part(side, TRANSLATION_RATIO) for side in images.shape[1:3]]
    pairs = zip(("rows", "columns"), largest, strict=True)
    return translate(images, *(draws.integers(f"translation {axis}", (), -most, most + 1) for axis, most in pairs))


def _draw_cutout(images, draws, ratio=CUTOUT_RATIO):
    # An even box has its centre on the line between two pixels, so it has one more position than there are pixels.
    lines = [side + 1 - _part(side, ratio) % 2 for side in images.shape[1:3]]
    pairs = zip(("rows", "columns"), lines, strict=True)
    return cutout(images, *(draws.integers(f"cutout {axis}", (), 0, count) for axis, count in pairs), ratio)


POLICIES = {"color": _draw_color, "translation": _draw_translation, "cutout": _draw_cutout}
