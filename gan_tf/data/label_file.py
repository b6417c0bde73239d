"""Labels of images as integers: of an .npz, and of dataset.json, the label file of StyleGAN's data set format."""

from pathlib import PurePosixPath

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.io.files import UNPRINTABLE, printable
from gan_tf.io.json_text import json_object

LABEL_FILE = "dataset.json"
LABEL_FILE_BYTES = 64 << 20  # a million images need 40 MB


def parse_label_file(content, names, where):
    """Returns the labels and class names of N images from the bytes of LABEL_FILE, {"labels": [[image, label], ...]}.

    The names are paths relative to the file; labels of other images have no effect. Classes are called by their
    labels, or by "class_names" [K], which other programs ignore.

    Returns:
        as `check_labels`; None if the file has no key "labels", as those of other programs of that name.

    Raises:
        UsageError: damaged file, no labels, an image without a label, or a label that is not an integer from 0 on.
    """
    where = f"{where}: {LABEL_FILE}"
    try:
        stored = json_object(content)
        pairs = dict(stored.get("labels") or {}).items()
        labels = {str(PurePosixPath(name.replace("\\", "/"))): label for name, label in pairs}
    except (ValueError, TypeError, AttributeError) as error:  # no JSON, or no pairs that begin with a name
        raise UsageError(f'--dataset {where} must be {{"labels": [[image, integer], ...]}}; correct it') from error
    if "labels" not in stored:
        return None
    if not labels:
        raise UsageError(f"--dataset {where} has no labels; add them, or delete it to use folders as classes")
    if missing := [name for name in names if name not in labels]:
        raise UsageError(
            f"--dataset {where} has no label for {len(missing)} of {len(names)} images, such as "
            f"{printable(missing[0])}; add the labels, or remove these images"
        )
    for name in names:
        if type(labels[name]) is not int or not 0 <= labels[name] < 1 << 31:
            shown = f"the label of {printable(name)} is {printable(labels[name])[:40]}"
            raise UsageError(f"--dataset {where}: {shown}; give the integer of one class, from 0 on")
    class_names = stored.get("class_names")
    class_names = class_names if class_names is None else np.array(class_names, object)
    return check_labels(np.array([labels[name] for name in names]), class_names, len(names), where)


def check_labels(labels, class_names, count, where):
    """Returns (integer labels [N] or None, class names). By default, classes are numbered in order of their values."""
    if labels is None:
        return None, ()
    if labels.dtype.kind not in "iu" or labels.shape not in ((count,), (count, 1)):
        raise UsageError(
            f"--dataset {where}: labels must be integers [{count}], one per image, got {labels.dtype} "
            f"{list(labels.shape)}; correct them, or save the images without labels"
        )
    labels = labels.reshape(-1)
    values, numbers = np.unique(labels, return_inverse=True)
    if class_names is None:
        return numbers, tuple(map(str, values))
    if class_names.ndim != 1 or any(UNPRINTABLE.search(str(name)) for name in class_names):
        raise UsageError(f"--dataset {where}: class_names must be strings [K] without control characters; correct them")
    if values[0] < 0 or values[-1] >= len(class_names):
        raise UsageError(
            f"--dataset {where}: labels {values[0]}..{values[-1]} do not fit {len(class_names)} class_names; "
            "give a name for each label from 0 on"
        )
    return labels, tuple(map(str, class_names))
