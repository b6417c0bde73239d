"""Sets prepared by TensorFlow Datasets (TFDS), as image sources: encoded pictures, read by index without TensorFlow."""

import contextlib
import io
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from gan_tf.data.sources import ImageSource
from gan_tf.errors import UsageError
from gan_tf.io.files import cache_root, locked

FILE_FORMAT = "array_record"  # the one of TFDS's formats that can be read by index


class PreparedSource(ImageSource):
    """The pictures of one split of a prepared builder.

    Labels come from a feature `label` that is a class label, names from a text feature `name`.

    Args:
        builder: prepared in FILE_FORMAT.
        name: what the user called the set, for messages.
        split: default the first, which is `train` where there is one.

    Raises:
        UsageError: the set has no feature `image` that holds 8- or 16-bit pictures.
    """

    def __init__(self, builder, name, split=None):
        self._features = kept_features(builder.info.features, name)
        splits = list(builder.info.splits)
        split = split or ("train" if "train" in splits else splits[0])
        self._records = builder.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
        names, labels = self._index(split)
        class_names = self._features["label"].names if "label" in self._features else ()
        super().__init__(name, names, labels, class_names)

    def read(self, i):
        return self._record(i)["image"]

    def _index(self, split):
        """Reads every record once for its name and label."""
        names, labels = [], np.zeros(len(self._records), np.int32)
        for i in range(len(self._records)):
            record = self._record(i)
            names.append(record["name"].decode() if "name" in record else f"{split}-{i}")
            labels[i] = max(record.get("label", 0), 0)  # TFDS writes -1 for "no label"
        return names, labels

    def _record(self, i):
        """The kept features of one record, the picture still encoded."""
        return self._features.deserialize_example_np(self._records[i], decoders={"image": tfds.decode.SkipDecoding()})


def kept_features(features, name):
    """The features that matter here, `image`, `label` and `name`, as a FeaturesDict; the others are not parsed."""
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel, "name": tfds.features.Text}
    kept = {key: features[key] for key, kind in kinds.items() if key in features and isinstance(features[key], kind)}
    if "image" not in kept or kept["image"].np_dtype not in (np.uint8, np.uint16):
        raise UsageError(
            f"--dataset {name}: no feature 'image' with 8- or 16-bit pictures, only {', '.join(sorted(features))}; "
            "choose an image set"
        )
    return tfds.features.FeaturesDict(kept)


def prepared_folder(data_dir=None):
    """Folder of the prepared sets: `data_dir`, else `GAN_TF_CACHE`/tfds."""
    return Path(data_dir).expanduser() if data_dir else cache_root() / "tfds"


def manual_folder(data_dir=None):
    """Where TFDS looks for files that a user has downloaded."""
    return prepared_folder(data_dir) / "downloads" / "manual"


def make_quietly(make):
    """Returns (the builder that `make()` gives, whether its data are prepared).

    Raises:
        UsageError: they are, but in a file format that cannot be read by index.
    """
    with quiet():
        builder = make()
        prepared = builder.is_prepared()
    formats = {kind.value for kind in builder.info.available_file_formats()} if prepared else {FILE_FORMAT}
    if FILE_FORMAT not in formats:
        raise UsageError(
            f"{builder.data_dir} is prepared as {', '.join(sorted(formats))} and {FILE_FORMAT} is needed: delete that "
            "folder, or set GAN_TF_CACHE to another one"
        )
    return builder, prepared


def prepare(make):
    """Prepares the data of the builder that `make()` gives, and returns such a builder.

    TFDS writes under a temporary name and renames, so that a killed preparation leaves nothing half done; processes
    that want data at the same time take turns.
    """
    # What Google has prepared would come in another file format, and without a word about the fetch.
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    folder = Path(make_quietly(make)[0].data_dir).parent
    with locked(folder.with_name(f"{folder.name}.lock")):
        builder, prepared = make_quietly(make)  # another process may have been faster
        if not prepared:
            with quiet():
                builder.download_and_prepare(download_config=config, file_format=FILE_FORMAT)
        return builder


@contextlib.contextmanager
def quiet():
    """Silences the progress bars, notices and warnings of TFDS."""
    tfds.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
