"""The classes of a run: what they are called, how often each is in the images, and which one an image gets."""

import dataclasses
import itertools

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.errors import UsageError

SHOWN = 20  # names in a message


@dataclasses.dataclass(frozen=True)
class ClassLabels:
    """The classes that conditional networks have learnt; none (and false) for unconditional ones.

    names: of the classes, in the order of their numbers. counts: images of each that the networks are trained on.
    """

    names: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()

    def __len__(self):
        return len(self.names)

    def number(self, wanted, flag="--class") -> int:
        """The number of a class by its name or, where no class is called so, its number.

        Raises:
            UsageError: there is none.
        """
        text = str(wanted)
        if text in self.names:
            return self.names.index(text)
        if text.isascii() and text.isdigit() and len(text) < 10 and int(text) < len(self):
            return int(text)
        more = f" and {len(self) - SHOWN} more" if len(self) > SHOWN else ""
        known = ", ".join(f"{i} {name}" for i, name in enumerate(self.names[:SHOWN]))
        raise UsageError(f"{flag} {text[:80]!r} is no class of this run; it has {known}{more}")

    def of_seeds(self, seeds, wanted=None):
        """Class labels of the images of seeds: int32 [N], or None without classes.

        Args:
            seeds: integers [N].
            wanted: number of the class of all of them. None: drawn for each by its seed alone, as often as the images
                that the networks were trained on have it.
        """
        if not self:
            return None
        if wanted is not None:
            return np.full(len(seeds), wanted, np.int32)
        return rng.categories_of_seeds(seeds, self.counts).numpy()

    def describe(self, labels):
        """The names of some images' classes, in their order; "" without classes, where `labels` is None."""
        return "" if labels is None else ", ".join(self.names[label] for label in labels)

    def sample(self, draws, wanted=None):
        """Class labels of the rows of some Draws: int32 [N], or None without classes.

        They are drawn as often as the images have them, or all are `wanted`, a number or a tensor; see `of_seeds`.
        """
        if not self:
            return None
        return draws.categories("classes", self.counts) if wanted is None else tf.fill([draws.count], wanted)

    def of_rows(self, rows):
        """Which class each row of a grid shows: the classes in order, each as nearly the same number of rows as goes.

        Where there are more classes than rows, some of them, evenly spread.
        """
        return [row * len(self) // rows for row in range(rows)]

    def describe_rows(self, rows):
        """What the rows of a grid show, for people."""
        found = itertools.groupby(enumerate(self.of_rows(rows), 1), key=lambda pair: pair[1])
        spans = [(number, [row for row, _ in group]) for number, group in found]
        return ", ".join(
            f"{span[0]}-{span[-1]} {self.names[number]}" if len(span) > 1 else f"{span[0]} {self.names[number]}"
            for number, span in spans
        )


UNCONDITIONAL = ClassLabels()


def of_run(config, data: dict, where) -> ClassLabels:
    """The classes of a run by its settings and what is stored about its images.

    Raises:
        UsageError: the two do not fit.
    """
    if not config.classes:
        return UNCONDITIONAL
    names, counts = tuple(data.get("class_names", ())), tuple(data.get("class_counts", ()))
    if not len(names) == len(counts) == config.classes or not any(counts):
        raise UsageError(
            f"{where}: the settings have {config.classes} classes, data.class_names {len(names)} and "
            f"data.class_counts {len(counts)}; restore the file"
        )
    return ClassLabels(names, counts)


def of_images(config, image_set) -> ClassLabels:
    """The classes of a data.prepare.ImageSet for a run of these settings."""
    if not config.classes:
        return UNCONDITIONAL
    return ClassLabels(tuple(image_set.class_names), tuple(counts_of(image_set)))


def counts_of(image_set) -> list[int]:
    """Images of each class."""
    if not image_set.class_names:
        return []
    return np.bincount(image_set.labels, minlength=len(image_set.class_names)).tolist()
