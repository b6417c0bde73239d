"""Pictures of several images in rows and columns with headers."""

import numpy as np


def table(header, side, cells, gap):
    """Images in rows and columns, with a header row, a header column and a gap between these and the cells.

    Args:
        header: uint8 [C, H, W, 3], above the columns.
        side: uint8 [R, H, W, 3], left of the rows.
        cells: uint8 [R, C, H, W, 3].
        gap: pixels.

    Returns:
        uint8 [(R + 1) * H + gap, (C + 1) * W + gap, 3], the corner and the gap white.
    """
    rows, columns, height, width, _ = cells.shape
    picture = np.full(((rows + 1) * height + gap, (columns + 1) * width + gap, 3), 255, np.uint8)
    picture[:height, width + gap :] = np.concatenate(list(header), axis=1)
    picture[height + gap :, :width] = np.concatenate(list(side), axis=0)
    body = cells.swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    picture[height + gap :, width + gap :] = body
    return picture
