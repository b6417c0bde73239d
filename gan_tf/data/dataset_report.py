"""Dataset report: sizes, modes, classes, unreadable files and duplicates of an image set.

The facts of each image are collected while it is decoded; no image is read twice for the report.
"""

import dataclasses
from collections import Counter

import numpy as np
from PIL import Image

from gan_tf.config.validation import size_text
from gan_tf.data.listing import remedies
from gan_tf.errors import UsageError
from gan_tf.io import image_files

THUMB = 8  # pixels; images are compared by their THUMB x THUMB means
# One record per readable image: index in the source, images.Facts, THUMB x THUMB means.
FACTS = np.dtype(
    [("index", "<i8"), ("width", "<i4"), ("height", "<i4"), ("mode", "S8"), ("bits", "u1"), ("converted", "?")]
    + [("without_metadata", "?"), ("reread", "?"), ("thumb", "u1", (THUMB, THUMB, 3))]
)
# Images whose descriptors are nearer than this count as near duplicates (correlation 0.995 at equal brightness).
# Distances of copies are smaller: JPEG at quality 20 (0.07 at most), resizing (0.03), cropping 2 % (0.1), 4 levels more
# brightness (0.06). Distances of different images are larger: aligned faces at least 0.39, cartoons on white 0.37.
NEAR_DISTANCE = 0.1
BLOCK = 512  # images compared with all others at a time; 70,000 need 143 MB
LISTED = 10  # items shown of a long list


def fact_of(index, facts, pixels):
    """Returns the record (dtype FACTS) of image `index` of the source; `pixels` and `facts` are of `load_image`."""
    thumb = Image.fromarray(image_files.as_rgb(pixels)).resize((THUMB, THUMB), Image.Resampling.BOX)
    (width, height), mode, *others = facts
    return np.array((index, width, height, mode.encode(), *others, np.asarray(thumb)), FACTS)


@dataclasses.dataclass(frozen=True)
class DatasetReport:
    """Report on one dataset. `text()` formats it, `dataclasses.asdict` converts it for JSON."""

    name: str
    count: int  # readable images
    size: str  # "WxH" of the prepared images
    channels: str  # of the prepared images: rgb, grey or rgba
    fit: str
    sizes: dict  # {"WxH": count}, most frequent first
    smallest: str  # "WxH" by area, as the next two
    median: str
    largest: str
    modes: dict  # {Pillow mode: count}
    classes: dict  # {class name: count} of readable images, {} without classes
    unreadable: dict  # {name: reason}
    exact: list  # groups of names with equal content
    near: list  # groups of names that are near duplicates, without exact duplicates
    upscaled: list  # names of images smaller than the training resolution
    ignored: dict  # {suffix: count} of files that are not images
    left_out: int = 0  # images not used because of --limit
    converted: int = 0  # images converted from a colour profile to sRGB
    without_metadata: list = dataclasses.field(default_factory=list)  # names of images whose metadata cannot be read
    bits: dict = dataclasses.field(default_factory=dict)  # {"N": count of 16-bit images that use N bits}, ascending
    used_bits: int = 16  # --bits

    def text(self):
        """Returns the report as lines of text, without a final newline."""
        if len(self.sizes) == 1:
            sizes = f"all {next(iter(self.sizes))}"
        else:
            sizes = f"{self.smallest} to {self.largest}, median {self.median}; most frequent: {_counts(self.sizes)}"
        reasons = [f"{name}: {reason}" for name, reason in self.unreadable.items()]
        exact, near = (sum(len(group) - 1 for group in groups) for groups in (self.exact, self.near))
        channels = f" in {self.channels}" if self.channels != "rgb" else ""
        lines = [
            f"{self.name}: {self.count} images, to be trained at {self.size}{channels} ({self.fit})",
            *_line("sizes", sizes),
            *_line("modes", _counts(self.modes)),
            *_line("classes", f"{len(self.classes)}: {_counts(self.classes)}" if self.classes else "none"),
            *_line("unreadable", f"{len(self.unreadable)} skipped", reasons),
            *_line("duplicates", f"{exact} exact", [" = ".join(_shorten(group, 4)) for group in self.exact]),
            *_line("alike", f"{near} near duplicates", [" ~ ".join(_shorten(group, 4)) for group in self.near]),
            *_line("small", f"{len(self.upscaled)} enlarged to {self.size}", self.upscaled),
        ]
        if self.bits:
            lines += _line("16 bits", self._depth())
        if self.converted:
            lines += _line("profiles", f"{self.converted} converted to sRGB")
        if self.without_metadata:
            lines += _line("metadata", f"{len(self.without_metadata)} with unreadable metadata, used without it")
        if self.ignored:
            lines += _line(
                "ignored", f"{sum(self.ignored.values())} other files: {_counts(self.ignored)}" + remedies(self.ignored)
            )
        if self.left_out:
            lines += _line("limit", f"{self.left_out} images left out")
        return "\n".join(lines)

    def _depth(self):
        """Describes how many bits the 16-bit images use, and the setting for them."""
        most = max(8, *map(int, self.bits))
        counts = ", ".join(f"{count} use {bits}" for bits, count in self.bits.items())
        text = f"{sum(self.bits.values())} images: {counts} bits at most"
        if most > self.used_bits:
            return f"{text}; --bits {self.used_bits} clips them, give --bits {most}"
        if most < self.used_bits:
            return f"{text}; --bits {most} uses the range of this set, which is darker without it"
        return f"{text} (--bits {most})"


def build_report(source, facts, unreadable, shape, fit, bits=16, channels="rgb"):
    """Returns the DatasetReport of an ImageSource; UsageError if no image is readable.

    Args:
        facts: records of dtype FACTS, one per readable image.
        unreadable: [(index in the source, reason)].
        shape, fit, bits, channels: of the prepared images, as for `images.load_image`.
    """
    if not len(facts):
        i, reason = unreadable[0]
        more = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
        where = source.where or source.name
        raise UsageError(f"{where}: none of {len(unreadable)} images is readable; {source.names[i]}: {reason}{more}")
    by_area = np.argsort(facts["width"].astype(np.int64) * facts["height"], kind="stable")
    sizes = [f"{w}x{h}" for w, h in zip(facts["width"], facts["height"], strict=True)]
    names = [source.names[i] for i in facts["index"]]
    exact = _groups([source.digests[i] for i in facts["index"]])
    copies = {i for group in exact for i in group[1:]}
    originals = np.array([i for i in range(len(facts)) if i not in copies])
    labels = Counter(source.labels[facts["index"]].tolist())
    ratios = facts["height"] / shape[0], facts["width"] / shape[1]
    enlarged = (np.maximum if fit == "pad" else np.minimum)(*ratios) < 1
    return DatasetReport(
        name=source.name,
        count=len(facts),
        size=size_text(shape),
        channels=channels,
        fit=fit,
        sizes=dict(Counter(sizes).most_common()),
        smallest=sizes[by_area[0]],
        median=sizes[by_area[len(by_area) // 2]],
        largest=sizes[by_area[-1]],
        modes={mode.decode(): count for mode, count in Counter(facts["mode"].tolist()).most_common()},
        classes={name: labels[label] for label, name in enumerate(source.class_names)},
        unreadable={source.names[i]: reason for i, reason in unreadable},
        exact=[[names[i] for i in group] for group in exact],
        near=[[names[originals[i]] for i in group] for group in near_groups(facts["thumb"][originals])],
        upscaled=[names[i] for i in np.flatnonzero(enlarged)],
        ignored=source.ignored,
        left_out=len(source) - len(facts) - len(unreadable),
        converted=int(facts["converted"].sum()),
        without_metadata=[names[i] for i in np.flatnonzero(facts["without_metadata"])],
        bits={str(used): count for used, count in sorted(Counter(facts["bits"][facts["bits"] > 0].tolist()).items())},
        used_bits=bits,
    )


def near_groups(thumbs):
    """Groups near duplicates: uint8 [N, 8, 8, 3] -> lists of indices.

    An image joins the group of the nearest image before it, if their distance is below NEAR_DISTANCE. All pairs are
    compared by matrix products: 70,000 images take about half a minute on two cores.
    """
    points = descriptors(thumbs)
    halves = (points**2).sum(1) / 2
    group = np.arange(len(points))  # index of the first image of each image's group
    for start in range(0, len(points), BLOCK):
        rows = points[start : start + BLOCK]
        # |a - b|^2 = |a|^2 - 2 (ab - |b|^2 / 2): the nearest image has the largest bracket.
        closeness = rows @ points[: start + len(rows)].T - halves[: start + len(rows)]
        closeness[:, start:][np.triu_indices(len(rows))] = -np.inf  # the image itself and later ones
        nearest = closeness.argmax(1)
        square = 2 * (halves[start : start + len(rows)] - closeness[np.arange(len(rows)), nearest])
        for i in np.flatnonzero(square < NEAR_DISTANCE**2):
            group[start + i] = group[nearest[i]]
    return _groups(group)


def descriptors(thumbs):
    """Returns points whose distance measures how different images look, nearly independent of contrast.

    uint8 [N, H, W, 3] -> float32 [N, H * W * 3 + 1]. First the values, scaled to zero mean and nearly unit variance and
    divided by the square root of their number: two images of equal mean at a distance d have a correlation of
    1 - d^2 / 2. Last the mean, in units of 128 levels.
    """
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    mean = flat.mean(1, keepdims=True)
    deviation = flat.std(1, keepdims=True) + 4.0  # so that noise of a few levels in flat images has little weight
    return np.concatenate([(flat - mean) / (deviation * flat.shape[1] ** 0.5), mean / 128.0], axis=1)


def _groups(keys):
    """Returns lists of the indices with equal keys, each of two or more, in order."""
    groups = {}
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i)
    return [group for group in groups.values() if len(group) > 1]


def _shorten(items, limit):
    """Returns at most `limit` items; if there are more, the last one is "and COUNT more"."""
    return [*items] if len(items) <= limit else [*items[: limit - 1], f"and {len(items) - limit + 1} more"]


def _counts(counts):
    return ", ".join(_shorten([f"{name} {count}" for name, count in counts.items()], 6))


def _line(title, summary, items=()):
    return [f"  {title:<11}{summary}", *(f"    {item}" for item in _shorten(items, LISTED))]
