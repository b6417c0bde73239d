"""Names of image files in folders and archives: selection, order, classes, unsafe names."""

import os
import re
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from gan_tf.data.images import FORMATS, OPTIONAL
from gan_tf.errors import UsageError
from gan_tf.io.files import UNPRINTABLE, printable

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SUFFIXES += tuple(suffix for name, (suffixes, _) in OPTIONAL.items() if name in FORMATS for suffix in suffixes)
SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation"}


def select_images(paths, where):
    """Splits relative paths into (sorted list of image names, {suffix: count} of other files).

    Hidden files and folders are left out. Raises UsageError if there is no image, or if a name is unprintable.
    """
    names, ignored = [], Counter()
    for path in map(PurePosixPath, paths):
        if any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
            continue
        if path.suffix.lower() not in SUFFIXES:
            ignored[printable(path.suffix.lower() or path.name)] += 1
            continue
        if UNPRINTABLE.search(str(path)):
            raise UsageError(
                f"{where}: rename {str(path)[:200]!a}, which holds a control character or is not valid UTF-8"
            )
        names.append(str(path))
    if not names:
        others = ", ".join(f"{count} {suffix}" for suffix, count in ignored.most_common(5)) or "nothing"
        raise UsageError(
            f"{where} holds no images (supported: {' '.join(SUFFIXES)}; found {others}{remedies(ignored)})"
        )
    return sorted(names), ignored


def natural_key(name):
    """Returns a sort key that puts 2 before 10, and 2.png before 10.png."""
    digits = re.split("([0-9]+)", name)
    # A number is compared by its number of digits first: a name from an archive may have more digits than `int` reads.
    digits[1::2] = [(len(number.lstrip("0")), number.lstrip("0")) for number in digits[1::2]]
    return digits, name


def remedies(ignored):
    """Returns how to read the ignored files {suffix: count} that are images: "; for .heic: pip install ..." or ""."""
    missing = {suffix: fix for suffixes, fix in OPTIONAL.values() for suffix in suffixes if suffix not in SUFFIXES}
    return "".join(f"; for {suffix}: {missing[suffix]}" for suffix in ignored if suffix in missing)


def classes_of(names):
    """Derives class labels from the first-level folders of N relative paths with "/". Deeper folders have no effect.

    A single folder around all images is skipped (many archives have one), and then a level of SPLIT_NAMES only. There
    are no classes if some images are outside of folders, or if only one folder is left.

    Returns:
        labels int32 [N] and a tuple of class names in natural order; zeros and () without classes.
    """
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    while all(folders) and len({parts[0] for parts in folders}) == 1:
        folders = [parts[1:] for parts in folders]
    if all(folders) and {parts[0].lower() for parts in folders} <= SPLIT_NAMES:
        folders = [parts[1:] for parts in folders]
    if not all(folders) or len({parts[0] for parts in folders}) < 2:
        return np.zeros(len(names), np.int32), ()
    class_names = sorted({parts[0] for parts in folders}, key=natural_key)
    numbers = {name: number for number, name in enumerate(class_names)}
    return np.array([numbers[parts[0]] for parts in folders], np.int32), tuple(class_names)


def walk(folder):
    """Yields the relative paths of all files below `folder`. Follows links, but enters no folder twice: no cycles."""
    entered = set()
    for parent, subfolders, files in os.walk(folder, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in entered:
            subfolders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        for file in files:
            yield Path(parent, file).relative_to(folder).as_posix()


def safe_name(name, archive):
    """Returns an archive entry's path with "/".

    Raises UsageError if it leads out of the archive: nothing is unpacked, but such an archive is not trustworthy.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise UsageError(f'{archive}: entry "{printable(name)}" leads out of the archive; remove it and pack again')
    return str(path)
