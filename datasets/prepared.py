"""Sets prepared by TensorFlow Datasets, as image sources: encoded pictures, read by index, without TensorFlow."""

import contextlib
import functools
import hashlib
import io

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from gan_tf.errors import UsageError

FILE_FORMAT = "array_record"  # the one of TFDS's formats that can be read by index


class PreparedSource:
    """The pictures of a prepared builder's split.

    Attributes:
        name: what the user called the set.
        names: one string for each picture.
        labels: int32 [N], zeros where the set has no single class label.
        class_names: tuple of strings, empty without labels.

    Raises:
        UsageError: the set has no feature `image` that holds 8- or 16-bit pictures.
    """

    def __init__(self, builder, name, split=None):
        self.name = name
        features = builder.info.features
        image = features["image"] if "image" in features else None
        if not isinstance(image, tfds.features.Image) or image.np_dtype not in (np.uint8, np.uint16):
            raise UsageError(
                f"--dataset {name}: no feature 'image' with 8- or 16-bit pictures, only {', '.join(sorted(features))}; "
                "choose an image set"
            )
        split = split or next(iter(builder.info.splits))
        kept = [key for key in ("image", "label", "name") if key in features]
        decoders = tfds.decode.PartialDecoding(
            dict.fromkeys(kept, True), decoders={"image": tfds.decode.SkipDecoding()}
        )
        self._records = builder.as_data_source(split, decoders=decoders)
        self.class_names = ()
        if "label" in features and isinstance(features["label"], tfds.features.ClassLabel):
            self.class_names = tuple(features["label"].names)
        self.names, self.labels = self._index(split, "name" in kept)

    def _index(self, split, named):
        """Reads every record once: names and labels."""
        names, labels = [], np.zeros(len(self), np.int32)
        for i, record in enumerate(self._records):
            names.append(record["name"].decode() if named else f"{split}-{i}")
            if self.class_names:
                labels[i] = max(int(record["label"]), 0)  # TFDS writes -1 for "no label"
        return names, labels

    def __len__(self):
        return len(self._records)

    def read(self, index):
        """Encoded bytes (PNG or JPEG) of one picture."""
        return self._records[index]["image"]

    @functools.cached_property
    def fingerprint(self):
        """Hex digest of every picture and label, in order; equal wherever the same pictures were prepared."""
        digest = hashlib.sha256()
        for i, label in enumerate(self.labels):
            picture = self.read(i)
            digest.update(f"{len(picture)} {label} ".encode())
            digest.update(picture)
        return digest.hexdigest()


def prepare_quietly(builder):
    """Prepares a builder's data if they are not, without the progress bars and notices of TFDS.

    TFDS writes under a temporary name and renames, so that a killed preparation leaves nothing half done.
    """
    if builder.is_prepared():
        return
    # Data prepared elsewhere by Google would be in another file format, and would be fetched without a word.
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    with quiet():
        builder.download_and_prepare(download_config=config)


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
