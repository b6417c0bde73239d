"""From what the user calls a data set to its pictures: our own names, TFDS sets, paths."""

import difflib

from gan_tf.errors import UsageError
from gan_tf.io.files import user_path

DEMO, DEMO_KINDS = "demo", "demo-kinds"
FEW_SHOT = (
    "panda",
    "obama",
    "grumpy_cat",
    "bridge_of_sighs",
    "medici_fountain",
    "temple_of_heaven",
    "wuzhen",
    "animal_face_cat",
    "animal_face_dog",
)
FACES = ("celeba_hq", "ffhq")


def known_names() -> tuple[str, ...]:
    """Names that `--dataset` knows besides paths and `tfds:` sets."""
    return (DEMO, DEMO_KINDS, *FEW_SHOT, *FACES)


def resolve(dataset: str, *, resolution: int, offline: bool = False, data_dir=None, log=print):
    """Opens a data set.

    Args:
        dataset: one of `known_names()`, `tfds:<name>[/config]`, or the path of a folder, .zip or .npz.
        resolution: pixels to be trained at; the demo set is drawn at the next size up.
        offline: forbid every fetch.
        data_dir: folder of the sets that TFDS has prepared; default `GAN_TF_CACHE`/tfds.
        say: called with a line before anything is fetched or prepared.

    Returns:
        An image source, see gan_tf.data.sources.

    Raises:
        UsageError: unknown name, no such path, no network, damaged or unexpected data.
    """
    if dataset.startswith("tfds:"):
        from gan_tf_datasets.published import open_tfds

        return open_tfds(dataset.removeprefix("tfds:"), data_dir, offline=offline, log=log)
    if dataset in (DEMO, DEMO_KINDS):
        from gan_tf_datasets.catalogue import open_demo

        return open_demo(resolution, data_dir, kinds=dataset == DEMO_KINDS, log=log)
    if dataset in FEW_SHOT:
        from gan_tf_datasets.catalogue import open_few_shot

        return open_few_shot(dataset, data_dir, offline=offline, log=log)
    if dataset in FACES:
        from gan_tf_datasets.catalogue import open_faces

        return open_faces(dataset, data_dir)
    if not dataset:
        raise UsageError(f"--dataset is missing; {_known()}")
    if not user_path(dataset).exists():
        raise UsageError(f"--dataset {dataset}: {_advice(dataset)}")
    from gan_tf.data.sources import open_source

    return open_source(dataset)


def _advice(dataset: str) -> str:
    """What to try instead of a name that is neither known nor a path."""
    names = {name.replace("-", "_"): name for name in known_names()}
    near = difflib.get_close_matches(dataset.lower().replace("-", "_"), names, n=3, cutoff=0.5)
    close = [names[name] for name in near]
    if close:
        return f"no such file or folder, and no set of that name; did you mean {' or '.join(close)}?"
    return f"no such file or folder, and no set of that name; {_known()}"


def _known() -> str:
    return f"known sets: {', '.join(known_names())}, tfds:<name>, or the path of a folder, .zip or .npz"
