"""Names of image files in folders and archives: selection, order, classes, run folders, unsafe names."""

import os
import re
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from gan_tf.data.images import FORMATS, OPTIONAL, UnreadableImage
from gan_tf.errors import UsageError
from gan_tf.io.files import escaped, printable, raise_fault
from gan_tf.io.json_text import json_object

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SUFFIXES += tuple(suffix for name, (suffixes, _) in OPTIONAL.items() if name in FORMATS for suffix in suffixes)
SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation"}
SYSTEM_FOLDERS = ("__MACOSX", "lost+found", "System Volume Information")  # some of them cannot be listed


def select_images(paths, where, read):
    """Selects the images among relative paths of files.

    Hidden files and folders, and the folders of training runs, whose images are generated, are left out.

    Args:
        paths: strings.
        where: the folder or archive, for messages.
        read: function that returns the content of a file, to recognise runs; UnreadableImage if it cannot.

    Returns:
        {name: path} of the images in the order of the names, which are the paths with `escaped` characters;
        {suffix: count} of other files; a list of lines to print.

    Raises:
        UsageError: there is no image, or `where` is the folder of a run.
    """
    paths = [path for path in paths if not any(map(is_hidden, PurePosixPath(path).parts))]
    configs = [path for path in map(PurePosixPath, paths) if path.name == "config.json"]
    datasets = {str(path.parent): dataset_of_run(read, str(path)) for path in configs}
    runs = {folder for folder, dataset in datasets.items() if dataset is not None}
    if "." in runs:
        advice = f"give its data set, {escaped(datasets['.'])}" if datasets["."] else "give a folder of images"
        raise UsageError(f"{where} is the folder of a run, whose images are generated; {advice}")
    names, ignored, notes = {}, Counter(), []
    for path in map(PurePosixPath, paths):
        if runs and not runs.isdisjoint(map(str, path.parents)):
            continue
        if path.suffix.lower() in SUFFIXES:
            names[escaped(str(path))] = str(path)
        else:
            ignored[printable(path.suffix.lower() or path.name)] += 1
    if runs:
        shown = ", ".join(map(escaped, sorted(runs)[:3])) + (", ..." if len(runs) > 3 else "")
        notes.append(f"{where}: the folders of training runs are left out: {shown}")
    if not names:
        others = ", ".join(f"{count} {suffix}" for suffix, count in ignored.most_common(5)) or "nothing"
        others = "; ".join([others + remedies(ignored), *notes])
        raise UsageError(f"{where} holds no images (supported: {' '.join(SUFFIXES)}; found {others})")
    splits = Counter(parts[0] for parts in folders_of(names) if parts and parts[0].lower() in SPLIT_NAMES)
    if len(splits) > 1:
        counts = ", ".join(f"{split} {count}" for split, count in splits.most_common())
        notes.append(f"{where}: images of {counts} are used together; to use one of these splits, give its folder")
    return dict(sorted(names.items())), ignored, notes


def is_hidden(part):
    """Returns True for the name of a file or folder that is left out, with all that it holds."""
    return part.startswith(".") or part in SYSTEM_FOLDERS


def dataset_of_run(read, path):
    """Returns --dataset ("" without one) in a config.json of a run; None if it is another file."""
    try:
        config = json_object(read(path))
        return str(config["settings"].get("dataset") or "") if "fingerprint" in config["data"] else None
    except (UnreadableImage, ValueError, KeyError, TypeError, AttributeError):
        return None


def folders_of(names):
    """Returns N tuples of the names of the folders of N relative paths, without folders around all of them."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    while all(folders) and len({parts[0] for parts in folders}) == 1:
        folders = [parts[1:] for parts in folders]
    return folders


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
    folders = folders_of(names)
    if all(folders) and {parts[0].lower() for parts in folders} <= SPLIT_NAMES:
        folders = [parts[1:] for parts in folders]
    if not all(folders) or len({parts[0] for parts in folders}) < 2:
        return np.zeros(len(names), np.int32), ()
    class_names = sorted({parts[0] for parts in folders}, key=natural_key)
    numbers = {name: number for number, name in enumerate(class_names)}
    return np.array([numbers[parts[0]] for parts in folders], np.int32), tuple(class_names)


def select_rows(count, limit):
    """Returns the indices used of `count` images: all, or `limit` at even distances, which keeps class frequencies."""
    if limit is None or limit >= count:
        return np.arange(count)
    if limit < 1:
        raise UsageError(f"--limit must be positive, got {limit}")
    return (2 * np.arange(limit) + 1) * count // (2 * limit)


def walk(folder, hidden=False):
    """Yields the relative paths of all files below `folder`; of hidden folders only if `hidden`.

    Follows links, but enters no folder twice: no cycles.

    Raises:
        UsageError: a folder cannot be listed, whose images would be missing.
        OSError: the disk fails.
    """
    entered, waiting = set(), [PurePosixPath(".")]
    while waiting:
        parent = waiting.pop()
        path, subfolders = Path(folder, parent), []
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(path) as entries:
                for entry in entries:
                    if not _is_folder(entry):
                        yield str(parent / entry.name)
                    elif hidden or not is_hidden(entry.name):
                        subfolders.append(parent / entry.name)
        except OSError as error:
            raise_fault(error, path)
            reason = f"{escaped(str(path))} cannot be listed ({error.strerror})"
            raise UsageError(f"{reason}; make it readable, or move it out of {folder}") from error
        waiting += reversed(subfolders)


def _is_folder(entry):
    """Returns True for a folder or a link to one. A link that cannot be followed counts as a file."""
    try:
        return entry.is_dir()
    except OSError as error:
        raise_fault(error, entry.path)
        return False


def safe_name(name, archive):
    """Returns an archive entry's path with "/".

    Raises UsageError if it leads out of the archive: nothing is unpacked, but such an archive is not trustworthy.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise UsageError(f'{archive}: entry "{printable(name)}" leads out of the archive; remove it and pack again')
    return str(path)
