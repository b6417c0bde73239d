"""Datasets prepared by TensorFlow Datasets (TFDS) as image sources, read by index without TensorFlow."""

import contextlib
import io
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from gan_tf.data.sources import ImageSource
from gan_tf.errors import UsageError
from gan_tf.io.files import cache_root
from gan_tf.io.locks import locked
from gan_tf.io.tensorflow_paths import original_path

FILE_FORMAT = "array_record"  # the only format of TFDS that can be read by index


class PreparedSource(ImageSource):
    """The images of a prepared builder: of its split `train`, or of its first split if there is none.

    Labels come from a class-label feature `label`, names from a text feature `name`.

    Args:
        builder: prepared in FILE_FORMAT.
        name: the dataset's name as the user wrote it.

    Raises:
        UsageError: the dataset has no feature `image` with 8- or 16-bit images.
    """

    def __init__(self, builder, name):
        self._features = kept_features(builder.info.features, name)
        splits = list(builder.info.splits)
        split = "train" if "train" in splits else splits[0]
        self._records = builder.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
        names, labels = [], np.zeros(len(self._records), np.int32)
        for i in range(len(self._records)):
            record = self._record(i)
            names.append(record["name"].decode() if "name" in record else f"{split}-{i}")
            labels[i] = max(record.get("label", 0), 0)  # TFDS writes -1 for "no label"
        class_names = self._features["label"].names if "label" in self._features else ()
        super().__init__(name, names, labels, class_names)

    def read(self, i):
        return self._record(i)["image"]

    def _record(self, i):
        """Returns the kept features of one record, with the image still encoded."""
        return self._features.deserialize_example_np(self._records[i], decoders={"image": tfds.decode.SkipDecoding()})


def kept_features(features, name):
    """Returns the features `image`, `label` and `name` as a FeaturesDict; others are not parsed."""
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel, "name": tfds.features.Text}
    kept = {key: features[key] for key, kind in kinds.items() if key in features and isinstance(features[key], kind)}
    if "image" not in kept or kept["image"].np_dtype not in (np.uint8, np.uint16):
        raise UsageError(
            f"--dataset {name}: no feature 'image' with 8- or 16-bit images, only {', '.join(sorted(features))}; "
            "choose an image dataset"
        )
    return tfds.features.FeaturesDict(kept)


def prepared_folder(data_dir=None):
    """Returns the folder of prepared datasets: `data_dir`, default `GAN_TF_CACHE`/tfds."""
    return Path(data_dir).expanduser() if data_dir else cache_root() / "tfds"


def manual_folder(data_dir=None):
    """Returns the folder in which TFDS expects files downloaded by the user."""
    return prepared_folder(data_dir) / "downloads" / "manual"


def make_builder(make):
    """Calls `make()` and returns (the builder, True if its data are prepared).

    Raises:
        UsageError: the data are prepared in another format than FILE_FORMAT.
    """
    with quiet():
        builder = make()
        prepared = builder.is_prepared()
    formats = {kind.value for kind in builder.info.available_file_formats()} if prepared else {FILE_FORMAT}
    if FILE_FORMAT not in formats:
        raise UsageError(
            f"{original_path(builder.data_dir)} is prepared as {', '.join(sorted(formats))} instead of {FILE_FORMAT}: "
            "delete that folder, or set GAN_TF_CACHE to another one"
        )
    return builder, prepared


def prepare(make):
    """Downloads and prepares the data of the builder that `make()` returns, and returns the builder.

    TFDS writes under a temporary name and renames, so that a kill leaves no incomplete data. Concurrent processes wait
    for each other.
    """
    # Data prepared by Google have another file format, and TFDS downloads them without a message.
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    folder = original_path(make_builder(make)[0].data_dir).parent
    with locked(folder.with_name(f"{folder.name}.lock")) as own:
        builder, prepared = make_builder(make)  # another process may have prepared it
        if not prepared:
            try:
                with quiet():
                    builder.download_and_prepare(download_config=config, file_format=FILE_FORMAT)
            except OSError:
                builder, prepared = make_builder(make)
                if not (own and prepared):  # without locks, another process may have prepared it in the meantime
                    raise
        return builder


@contextlib.contextmanager
def quiet():
    """Suppresses the progress bars, notices and warnings of TFDS."""
    tfds.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
