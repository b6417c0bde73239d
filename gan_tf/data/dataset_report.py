"""What a data set is made of, said before training: sizes, modes, classes, damaged files, duplicates.

The facts of each picture are gathered while it is decoded for training; nothing is read twice for the report.
"""

import dataclasses
from collections import Counter

import numpy as np
from PIL import Image

from gan_tf.data.images import is_upscaled

THUMB = 8  # pixels; pictures are compared by their THUMB x THUMB averages
# One record for each readable picture: its number in the source, size before fitting, mode, colour averages.
FACTS = np.dtype(
    [("index", "<i8"), ("width", "<i4"), ("height", "<i4"), ("mode", "S8"), ("thumb", "u1", (THUMB, THUMB, 3))]
)
# Distance of two descriptors below which pictures count as the same: a correlation of 0.995 at equal brightness.
# JPEG at quality 20 (0.07 at most), resizing (0.03), cropping 2 % (0.1) and 4 levels more brightness (0.06) stay below
# it. Different pictures stay above: aligned faces 0.39 at least, cartoon figures on white 0.37.
NEAR_DISTANCE = 0.1
BLOCK = 512  # pictures compared with all others at a time; 70,000 need 143 MB
LISTED = 10  # names shown of a long list


def fact_of(index, header, pixels):
    """Returns the record (dtype FACTS) of one picture.

    Args:
        index: number in the source.
        header: images.Header.
        pixels: uint8 [R, R, 3] after fitting.
    """
    thumb = Image.fromarray(pixels).resize((THUMB, THUMB), Image.Resampling.BOX)
    return np.array((index, header.width, header.height, header.mode.encode(), np.asarray(thumb)), FACTS)


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found; `text()` says it in lines of plain text, `dataclasses.asdict` gives it to programs.

    Attributes:
        name: the set's name.
        count: readable pictures.
        resolution, fit: how they are made square.
        sizes: {"WxH": count}, most frequent first.
        smallest, median, largest: "WxH"; sorted by area, the median is the middle picture's.
        modes: {Pillow mode: count}.
        classes: {class name: count} of readable pictures, {} without classes.
        unreadable: {name: reason}.
        exact: groups of names with equal content.
        near: groups of names that look alike at 8x8 pixels, besides exact duplicates.
        upscaled: names of pictures smaller than the target resolution.
        ignored: {suffix: count} of files that are no pictures.
        left_out: pictures not used because of --limit.
    """

    name: str
    count: int
    resolution: int
    fit: str
    sizes: dict
    smallest: str
    median: str
    largest: str
    modes: dict
    classes: dict
    unreadable: dict
    exact: list
    near: list
    upscaled: list
    ignored: dict
    left_out: int = 0

    def text(self):
        """The report as lines of plain text, without a newline at the end."""
        lines = [f"{self.name}: {self.count} images, to be trained at {self.resolution}x{self.resolution} ({self.fit})"]
        lines += _line("sizes", self._sizes_text())
        lines += _line("modes", _counts(self.modes))
        lines += _line("classes", f"{len(self.classes)}: {_counts(self.classes)}" if self.classes else "none")
        lines += _line(
            "unreadable", f"{len(self.unreadable)} skipped", [f"{n}: {why}" for n, why in self.unreadable.items()]
        )
        lines += _line("duplicates", f"{_extra(self.exact)} exact", [" = ".join(_short(g, 4)) for g in self.exact])
        lines += _line("alike", f"{_extra(self.near)} near duplicates", [" ~ ".join(_short(g, 4)) for g in self.near])
        lines += _line("small", f"{len(self.upscaled)} enlarged to {self.resolution} pixels", self.upscaled)
        if self.ignored:
            lines += _line("ignored", f"{sum(self.ignored.values())} other files: {_counts(self.ignored)}")
        if self.left_out:
            lines += _line("limit", f"{self.left_out} images left out")
        return "\n".join(lines)

    def _sizes_text(self):
        if len(self.sizes) == 1:
            return f"all {next(iter(self.sizes))}"
        return f"{self.smallest} to {self.largest}, median {self.median}; most frequent: {_counts(self.sizes)}"


def examine(source, facts, unreadable, *, resolution, fit, left_out=0):
    """Returns the Report of a set from what decoding it brought.

    Args:
        source: the ImageSource.
        facts: records of dtype FACTS, one for each readable picture, at least one.
        unreadable: [(number in the source, reason)].
        left_out: pictures of the source that were not looked at.
    """
    by_area = np.argsort(facts["width"].astype(np.int64) * facts["height"], kind="stable")
    sizes = [f"{w}x{h}" for w, h in zip(facts["width"], facts["height"], strict=True)]
    names = [source.names[i] for i in facts["index"]]
    exact = _members([source.digests[i] for i in facts["index"]])
    copies = {i for group in exact for i in group[1:]}
    firsts = np.array([i for i in range(len(facts)) if i not in copies])
    near = [[int(firsts[i]) for i in group] for group in near_groups(facts["thumb"][firsts])]
    labels = Counter(source.labels[facts["index"]].tolist())
    return Report(
        name=source.name,
        count=len(facts),
        resolution=resolution,
        fit=fit,
        sizes=dict(Counter(sizes).most_common()),
        smallest=sizes[by_area[0]],
        median=sizes[by_area[len(by_area) // 2]],
        largest=sizes[by_area[-1]],
        modes={mode.decode(): count for mode, count in Counter(facts["mode"].tolist()).most_common()},
        classes={name: labels[label] for label, name in enumerate(source.class_names)},
        unreadable={source.names[i]: reason for i, reason in unreadable},
        exact=[[names[i] for i in group] for group in exact],
        near=[[names[i] for i in group] for group in near],
        upscaled=[names[i] for i in np.flatnonzero(is_upscaled(facts["width"], facts["height"], resolution, fit))],
        ignored=source.ignored,
        left_out=left_out,
    )


def near_groups(thumbs):
    """Returns lists of the positions of pictures that look alike.

    A picture joins the group of the most similar one before it, if that is near enough. Every pair is compared, as a
    product of matrices: 70,000 pictures take about half a minute on two cores, however many of them are alike.

    Args:
        thumbs: uint8 [N, 8, 8, 3].
    """
    points = descriptors(thumbs)
    halves = (points**2).sum(1) / 2
    group = np.arange(len(points))  # the first picture of each one's group
    for start in range(0, len(points), BLOCK):
        rows = points[start : start + BLOCK]
        # |a - b|^2 = |a|^2 - 2 (ab - |b|^2 / 2): the nearest picture has the largest bracket.
        closeness = rows @ points[: start + len(rows)].T - halves[: start + len(rows)]
        own = closeness[:, start:]
        own[np.triu_indices(len(rows))] = -np.inf  # itself and later pictures
        nearest = closeness.argmax(1)
        square = 2 * (halves[start : start + len(rows)] - closeness[np.arange(len(rows)), nearest])
        for i in np.flatnonzero(square < NEAR_DISTANCE**2):
            group[start + i] = group[nearest[i]]
    return _members(group)


def descriptors(thumbs):
    """Points whose distance says how different pictures look, whatever their contrast.

    Args:
        thumbs: uint8 [N, H, W, 3].

    Returns:
        float32 [N, H * W * 3 + 1]: colour averages at zero mean and (nearly) unit variance, divided by the root of
        their number, so that a distance d means a correlation of 1 - d^2 / 2; then the mean, 128 levels to the unit.
    """
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    mean = flat.mean(1, keepdims=True)
    spread = flat.std(1, keepdims=True) + 4.0  # flat pictures: noise of a few levels is no structure
    return np.concatenate([(flat - mean) / (spread * flat.shape[1] ** 0.5), mean / 128.0], axis=1)


def _members(keys):
    """Lists of the positions that share a key, each of two or more, in order."""
    groups = {}
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i)
    return [group for group in groups.values() if len(group) > 1]


def _extra(groups):
    """How many pictures could be dropped without losing one of its kind."""
    return sum(len(group) - 1 for group in groups)


def _short(items, limit):
    """The items, or the first of them and a count of the others."""
    return [*items] if len(items) <= limit else [*items[: limit - 1], f"and {len(items) - limit + 1} more"]


def _counts(counts):
    return ", ".join(_short([f"{name} {count}" for name, count in counts.items()], 6))


def _line(title, summary, items=()):
    return [f"  {title:<11}{summary}", *(f"    {item}" for item in _short(items, LISTED))]
