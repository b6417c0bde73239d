"""Channels and shape that suit a dataset, for `--channels auto` and `--size auto`."""

import statistics
from typing import NamedTuple

from gan_tf.data.images import UnreadableImage, read_image
from gan_tf.data.listing import select_rows
from gan_tf.errors import UsageError
from gan_tf.io.progress import Progress, map_in_order


class Survey(NamedTuple):
    """What all readable images of a source are like."""

    count: int
    grey: int  # images without colours
    transparent: int  # images with transparent parts
    aspect: float  # median of width / height

    @property
    def channels(self) -> str:
        """Returns "rgba" if any image has transparent parts, "grey" if none has colours, else "rgb"."""
        return "rgba" if self.transparent else "grey" if self.grey == self.count else "rgb"


def survey_shapes(source, limit=None, bits=16) -> Survey:
    """Decodes an ImageSource. Raises UsageError if no image is readable; `limit`, `bits`: as for `prepare`."""

    def examine(i):
        try:
            image, _ = read_image(source.read(i), None, bits)
        except UnreadableImage:
            return None
        colours, alpha = image.convert("RGB"), image.getchannel("A")
        is_grey = colours.convert("L").convert("RGB").tobytes() == colours.tobytes()
        return is_grey, alpha.getextrema()[0] < 255, image.width / image.height

    found, rows = [], list(map(int, select_rows(len(source), limit)))
    with Progress(len(rows), "examined") as progress:
        for facts in map_in_order(examine, rows):
            found += [facts] if facts else []
            progress.advance()
    if not found:
        raise UsageError(f"{source.where or source.name}: none of {len(rows)} images is readable")
    grey, transparent, aspects = zip(*found, strict=True)
    return Survey(len(found), sum(grey), sum(transparent), statistics.median(aspects))
