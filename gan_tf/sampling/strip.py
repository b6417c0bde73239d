"""Ways through the latents as a picture: a row for each pair of seeds, from one to the other in even steps."""

import numpy as np

from gan_tf.data.class_labels import UNCONDITIONAL
from gan_tf.io import image_files
from gan_tf.sampling.captions import line, line_height
from gan_tf.sampling.interpolate import walk_images

PAIRS = ((0, 1), (2, 3), (4, 5), (6, 7))
COLUMNS = 8


def strip(g, pairs=PAIRS, columns=COLUMNS, classes=UNCONDITIONAL):
    """Makes the picture.

    Args:
        g: folded generator.
        pairs: (seed, seed) for each row. The noise of a row is that of its first seed.
        columns: images in a row, both ends included, at least 2.
        classes: ClassLabels of the networks. The class of a row is, as its noise, that of its first seed.

    Returns:
        uint8 [H, W, 3], with the seeds of each row above it.
    """
    labels = classes.of_seeds([first for first, _ in pairs])
    moments = walk_images(g, [list(pair) for pair in pairs], columns - 1, False, len(pairs), labels=labels)
    rows = []
    for i, images in enumerate(np.stack(list(moments), axis=1)):
        joined = image_files.grid(images, columns)
        words = "seed {} to {}".format(*pairs[i])
        words += f", {classes.describe(labels[i : i + 1])}" if classes else ""
        rows += [line(words, joined.shape[1], line_height(images.shape[1] * 4)), joined]
    return np.concatenate(rows)
