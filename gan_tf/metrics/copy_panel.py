"""The picture of the closest pairs that a copy check found: generated images above their nearest training images."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gan_tf.io.image_files import grid
from gan_tf.metrics.memorisation import nearest_image

COLUMNS = 8
LARGEST = 256  # pixels a side at which an image is shown; a panel of 16 pairs stays a picture that a browser opens
CAPTION = 1 / 8  # of an image's width: the height of the numbers; a panel is often shown smaller than it is
LEAST_CAPTION = 14  # pixels
COPY = (220, 40, 40)  # frame and caption of a pair below the threshold
NEW = (70, 70, 70)


def panel(pairs, training_images, threshold):
    """Lays pairs out row by row, lowest ratio first.

    Each cell holds the generated image, below it the training image (mirrored where that is nearer), and below both
    the ratio. Copies are framed in red, other pairs in grey.

    Args:
        pairs: memorisation.Pairs, at least one.
        training_images: uint8 [N, R, R, 3], an array or a memory map.
        threshold: ratio below which a pair is a copy.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: no pair.
    """
    if not pairs:
        raise ValueError("a panel needs at least one pair")
    cells = []
    for pair in pairs:
        real = _shrunk(nearest_image(pair, training_images))
        cells.append(_cell(_shrunk(pair.image), real, pair.ratio, pair.ratio < threshold))
    return grid(np.stack(cells), min(COLUMNS, len(cells)))


def _cell(fake, real, ratio, copied):
    height, width = fake.shape[:2]
    frame = max(1, width // 32)
    colour = COPY if copied else NEW
    caption = max(LEAST_CAPTION, round(CAPTION * width))
    cell = np.empty((2 * height + 3 * frame + caption, width + 2 * frame, 3), np.uint8)
    cell[:] = colour
    cell[frame : frame + height, frame:-frame] = fake
    cell[2 * frame + height : 2 * (frame + height), frame:-frame] = real
    picture = Image.fromarray(cell)
    text = f"{min(ratio, 99):.2f}"
    font = ImageFont.load_default(0.8 * caption)
    ImageDraw.Draw(picture).text((frame, 2 * height + 3 * frame), text, fill=(255, 255, 255), font=font)
    return np.asarray(picture)


def _shrunk(image):
    side = min(LARGEST, image.shape[0])
    if image.shape[0] == side:
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BOX))
