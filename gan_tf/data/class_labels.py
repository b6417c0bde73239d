"""Class labels of conditional networks: names, frequencies, sampling."""

import dataclasses
import itertools

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.errors import UsageError

SHOWN = 20  # names in a message


@dataclasses.dataclass(frozen=True)
class ClassLabels:
    """The classes that a network was trained on. Empty, and false, for unconditional networks.

    Attributes:
        names: of the classes, in the order of their labels.
        counts: number of training images of each class.
    """

    names: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()

    def __len__(self):
        return len(self.names)

    @property
    def numbered(self) -> bool:
        """True if the names of all classes are numbers, so that a label could be taken for a name."""
        return all(map(_is_number, self.names))

    def number(self, value, flag="--class") -> int:
        """Returns the label of a class given by name or, if no class has that name, by label.

        If all names are numbers, a number is always a name: with classes 1, 2 and 3 the label 0 would be class 1.

        Raises:
            UsageError: no such class.
        """
        text = str(value)
        if text in self.names:
            return self.names.index(text)
        if _is_number(text) and len(text) < 10 and int(text) < len(self) and not self.numbered:
            return int(text)
        more = f" and {len(self) - SHOWN} more" if len(self) > SHOWN else ""
        choices = ", ".join(name if self.numbered else f"{i} {name}" for i, name in enumerate(self.names[:SHOWN]))
        raise UsageError(f"{flag} {text[:80]!r} is not a class of this run; choose from {choices}{more}")

    def of_seeds(self, seeds, label=None):
        """Returns the labels of the images of N seeds: int32 [N], or None without classes.

        All are `label`; if it is None, each is drawn from its seed alone, with the class frequencies of the training
        images.
        """
        if not self:
            return None
        if label is not None:
            return np.full(len(seeds), label, np.int32)
        return rng.categories_of_seeds(seeds, self.counts).numpy()

    def sample(self, draws, label=None):
        """Returns labels for the rows of an rng.Draws: int32 [N], or None without classes.

        All are `label`, an integer or a scalar tensor; if it is None, they are drawn with the class frequencies of the
        training images.
        """
        if not self:
            return None
        return draws.categories("classes", self.counts) if label is None else tf.fill([draws.count], label)

    def describe(self, labels):
        """Returns the class names of some labels, separated by commas; "" for None."""
        return "" if labels is None else ", ".join(self.names[label] for label in labels)

    def of_rows(self, rows):
        """Returns the label of each row of a grid: all labels in order, each for about the same number of rows.

        If there are more classes than rows, returns labels at even distances.
        """
        return [row * len(self) // rows for row in range(rows)]

    def describe_rows(self, rows):
        """Returns the classes of a grid's rows as text: "1-2 cat, 3 dog", or "1-2 class 5, 3 class 6"."""
        spans, first, title = [], 1, "class " if self.numbered else ""
        for label, group in itertools.groupby(self.of_rows(rows)):
            last = first + len(list(group)) - 1
            spans.append(f"{first if first == last else f'{first}-{last}'} {title}{self.names[label]}")
            first = last + 1
        return ", ".join(spans)


UNCONDITIONAL = ClassLabels()


def _is_number(text):
    return text.isascii() and text.isdigit()


def of_run(config, data: dict, where) -> ClassLabels:
    """Returns the classes of a run from its TrainConfig and `data`, the stored facts about its images.

    Raises:
        UsageError: config and data contradict each other; the message names `where`.
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
    """Returns the classes of an ImageSet if the networks of `config` are conditional, else none."""
    return ClassLabels(image_set.class_names, tuple(counts_of(image_set))) if config.classes else UNCONDITIONAL


def in_order(image_set, names):
    """Returns an ImageSet with its classes in the order `names`, which a run has stored; the same set if names differ.

    Earlier versions ordered classes by the alphabet, and the networks of a run know a class by its number.
    """
    if tuple(names) == image_set.class_names or sorted(set(names)) != sorted(image_set.class_names):
        return image_set
    labels = np.array([names.index(name) for name in image_set.class_names], np.int32)[image_set.labels]
    return dataclasses.replace(image_set, labels=labels, class_names=tuple(names))


def counts_of(image_set) -> list[int]:
    """Returns the number of images of each class."""
    count = len(image_set.class_names)
    return np.bincount(image_set.labels, minlength=count).tolist() if count else []
