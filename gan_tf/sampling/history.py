"""The training as an animation: the sample grids of a run, which show the same seeds from beginning to end."""

from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.sampling.captions import with_line

LEAST_SIDE = 16  # pixels of a frame


def frames(grids, resolution, images=None, longest_side=768):
    """Yields a frame for each grid, all of one size, with the image count below.

    Args:
        grids: (image count, path) of PNG grids, oldest first; at least one.
        resolution: pixels of one image in them, once the network has grown.
        images: show the first so many of each grid only; None for all.
        longest_side: pixels; larger frames are made smaller.

    Yields:
        uint8 [H, W, 3]. Grids of another size than the largest, of a network that had not grown yet, are brought to
        its size.

    Raises:
        UsageError: a grid that is damaged, or that is no grid of images of that size.
    """
    size = max((image_files.png_size(path) for _, path in grids), key=lambda size: size[0] * size[1])
    for seen, path in grids:
        grid = image_files.resize(image_files.read_png(path), size)
        if images is not None:
            grid = _first(grid, images, resolution, path)
        yield with_line(image_files.shrink(grid, longest_side), f"{seen:,} images")


def _first(grid, images, resolution, path):
    """The first so many images of a grid, laid out anew."""
    height, width, _ = grid.shape
    if height % resolution or width % resolution:
        raise UsageError(f"{path} is {width}x{height}, no grid of images of {resolution}x{resolution}; remove it")
    rows, columns = height // resolution, width // resolution
    if images > rows * columns:
        raise UsageError(f"--images is {images}, but the sample grids of the run show {rows * columns}")
    cells = grid.reshape(rows, resolution, columns, resolution, 3).swapaxes(1, 2).reshape(-1, resolution, resolution, 3)
    return image_files.grid(cells[:images])
