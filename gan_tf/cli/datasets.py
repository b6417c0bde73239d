"""Resolves `--dataset`: built-in names, `tfds:` names and paths."""

import difflib

from gan_tf.errors import UsageError
from gan_tf.io.files import user_path

DEMOS = ("demo", "demo-kinds", "demo-sprites")
FEW_SHOT = ("panda", "obama", "grumpy_cat", "bridge_of_sighs", "medici_fountain", "temple_of_heaven", "wuzhen")
FEW_SHOT += ("animal_face_cat", "animal_face_dog")
FACES = ("celeba_hq", "ffhq")
KNOWN_NAMES = (*DEMOS, *FEW_SHOT, *FACES)


def resolve(dataset: str, *, size: tuple, offline: bool = False, data_dir=None, log=print):
    """Opens a dataset as an image source (gan_tf.data.sources); downloads and prepares it if necessary.

    Args:
        dataset: one of KNOWN_NAMES, `tfds:<name>[/config]`, or the path of a folder, .zip or .npz.
        size: (height, width) of the images to train on; the demo datasets are drawn in this size, if square in the next
            larger one of 64, 128, 256 and 512 pixels.
        offline: never download.
        data_dir: folder of datasets prepared by TFDS; default `GAN_TF_CACHE`/tfds.
        log: called with a line of text before a download or preparation.

    Raises:
        UsageError: unknown name, missing path, no network, damaged or unexpected data.
    """
    if dataset.startswith("tfds:"):
        from gan_tf_datasets.published import open_tfds

        return open_tfds(dataset.removeprefix("tfds:"), data_dir, offline=offline, log=log)
    if dataset in KNOWN_NAMES:
        from gan_tf_datasets import catalogue

        if dataset in FEW_SHOT:
            return catalogue.open_few_shot(dataset, data_dir, offline=offline, log=log)
        if dataset in FACES:
            return catalogue.open_faces(dataset, data_dir)
        return catalogue.open_demo(size, data_dir, kind=dataset, log=log)
    choices = f"built-in datasets: {', '.join(KNOWN_NAMES)}, tfds:<name>, or the path of a folder, .zip or .npz"
    if not dataset:
        raise UsageError(f"--dataset is missing; {choices}")
    if "://" in dataset:
        raise UsageError(f"--dataset {dataset} is a web address; download it, and give the path of the folder or file")
    if not user_path(dataset).exists():
        if "/" in dataset or dataset.endswith((".zip", ".npz")):
            raise UsageError(f"--dataset {dataset}: no such file or folder; give the path of a folder, .zip or .npz")
        names = {name.replace("-", "_"): name for name in KNOWN_NAMES}
        similar = difflib.get_close_matches(dataset.lower().replace("-", "_"), names, n=3, cutoff=0.5)
        advice = f"did you mean {' or '.join(names[name] for name in similar)}?" if similar else choices
        raise UsageError(f"--dataset {dataset}: no such file or folder, and no dataset of that name; {advice}")
    from gan_tf.data.sources import open_source

    return open_source(dataset)
