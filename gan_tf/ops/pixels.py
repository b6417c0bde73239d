"""Images in the form in which networks are trained on them: float32 in [-1, 1], RGBA with premultiplied colours.

The colour of a transparent pixel is arbitrary. Multiplied by alpha it is always black, so that a discriminator does not
compare colours that nobody sees, and filters and augmentations do not mix them into visible edges. The last layer of a
generator has straight colours, which are multiplied by its alpha: then the colours of an edge are those next to it.
Source: Porter and Duff 1984 (Compositing Digital Images), section 3.
"""

import tensorflow as tf


def from_uint8(images):
    """Converts uint8 [..., C], with straight alpha if C is 4, to float32 [..., C] in [-1, 1].

    `gan_tf.io.image_files.to_uint8` is the inverse.
    """
    # The cast comes first because not every operation accepts uint8 on a GPU. The subtraction is exact and only the
    # product is rounded, so eager, traced and XLA code agree bit for bit.
    return premultiplied((tf.cast(images, tf.float32) - 127.5) * (1 / 127.5))


def premultiplied(images):
    """Multiplies colours by alpha: images [..., C] in [-1, 1], with straight alpha if C is 4; others are unchanged."""
    if images.shape[-1] != 4:
        return images
    alpha = images[..., 3:]
    return tf.concat([(images[..., :3] + 1.0) * (alpha + 1.0) / 2.0 - 1.0, alpha], axis=-1)


def float_rgb(images):
    """Returns images [..., C] in [-1, 1] as RGB: grey values are repeated, transparent parts show mid-grey."""
    if images.shape[-1] == 1:
        return tf.repeat(images, 3, axis=-1)
    return zero_where_transparent(images)[..., :3] if images.shape[-1] == 4 else images


def generated(images):
    """Returns the images of a generator's last layer [..., C]: RGBA is clipped to [-1, 1] and premultiplied."""
    return premultiplied(_clipped(images)) if images.shape[-1] == 4 else images


@tf.custom_gradient
def _clipped(x):
    """Clips to [-1, 1]. The gradient passes where a step against it leads back into the range.

    Alpha is -1 or 1 nearly everywhere: a layer without limits approximates that, which a discriminator detects.
    """

    def gradient(slopes):
        blocked = ((x > 1.0) & (slopes < 0.0)) | ((x < -1.0) & (slopes > 0.0))
        return tf.where(blocked, 0.0, slopes)

    return tf.clip_by_value(x, -1.0, 1.0), gradient


def zero_where_transparent(images):
    """Converts RGBA in [-1, 1] to (colours in [-1, 1] times alpha, alpha in [0, 1]); transparent pixels are zero."""
    alpha = (images[..., 3:] + 1.0) / 2.0
    return tf.concat([images[..., :3] + 1.0 - alpha, alpha], axis=-1)


def minus_one_where_transparent(images):
    """The inverse of `zero_where_transparent`."""
    alpha = images[..., 3:]
    return tf.concat([images[..., :3] + alpha - 1.0, 2.0 * alpha - 1.0], axis=-1)
