"""Pictures inside the page: made small, and written into it as WebP, so that the page needs no other file.

Pillow is imported where it is needed: `gan-tf runs` comes through here for facts alone.
"""

import base64
import functools
import io

QUALITY = 85  # of WebP
KEPT = 64  # pictures that a process remembers: a training writes its report at every epoch


def embedded(path, longest_side):
    """(address that holds a PNG file of a run, its width, its height), its longer side at most `longest_side` pixels.

    Raises:
        UsageError: the file is damaged.
    """
    from gan_tf.io.image_files import read_png

    try:
        state = path.stat()
    except OSError:
        return embedded_array(read_png(path), longest_side)  # which says what is wrong
    return _embedded(path, state.st_mtime_ns, state.st_size, longest_side)


@functools.lru_cache(KEPT)
def _embedded(path, changed, size, longest_side):
    from gan_tf.io.image_files import read_png

    return embedded_array(read_png(path), longest_side)


def embedded_array(image, longest_side):
    """The same of uint8 [H, W, 3]."""
    import numpy as np
    from PIL import Image

    from gan_tf.io.image_files import shrink

    picture = Image.fromarray(np.ascontiguousarray(shrink(image, longest_side)))
    content = io.BytesIO()
    picture.save(content, format="WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(content.getvalue()).decode(), *picture.size
