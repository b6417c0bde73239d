"""`--dataset tfds:...`, tested with small builders instead of published datasets."""

import concurrent.futures

import numpy as np
import pytest
import tensorflow_datasets as tfds

from gan_tf.cli.datasets import resolve
from gan_tf.errors import UsageError
from gan_tf_datasets import published
from gan_tf_datasets.prepared import quiet

COUNT = 12


class TinyLabels(tfds.core.GeneratorBasedBuilder):
    """Twelve images of two classes, with an unused feature; test split first."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(8, 8, 1)),
            "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            "boxes": tfds.features.Tensor(shape=(2,), dtype=np.float32),
        }
        features = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"test": self._generate_examples(1), "train": self._generate_examples(COUNT)}

    def _generate_examples(self, count):
        for i in range(count):
            yield i, {"image": np.full((8, 8, 1), i, np.uint8), "label": i % 2, "boxes": np.zeros(2, np.float32)}


class TinyFloats(TinyLabels):
    """A dataset without images, which must be refused before it is prepared."""

    def _info(self):
        features = tfds.features.FeaturesDict({"image": tfds.features.Tensor(shape=(8, 8), dtype=np.float32)})
        return tfds.core.DatasetInfo(builder=self, features=features)


def open_dataset(name, folder, **options):
    return resolve(name, size=(64, 64), data_dir=folder, log=options.pop("log", lambda line: None), **options)


def test_train_split_with_labels_is_read_from_several_threads(tmp_path):
    source = open_dataset("tfds:tiny_labels", tmp_path)
    assert len(source) == COUNT and source.names[3] == "train-3"
    assert source.class_names == ("cat", "dog")
    np.testing.assert_array_equal(source.labels, np.arange(COUNT) % 2)
    assert source.labels.dtype == np.int32
    assert open_dataset("tfds:tiny_labels", tmp_path, offline=True).fingerprint == source.fingerprint
    expected = [source.read(i) for i in range(COUNT)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.read, list(range(COUNT)) * 20)) == expected * 20


def test_other_file_format_is_refused(tmp_path):
    with quiet():
        TinyLabels(data_dir=tmp_path).download_and_prepare(file_format="tfrecord")
    with pytest.raises(UsageError, match="tiny_labels/1.0.0 is prepared as tfrecord instead of array_record: delete"):
        open_dataset("tfds:tiny_labels", tmp_path)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("tfds:mnistt", "did you mean tfds:mnist"),
        ("tfds:qqqqqqqq", "has no dataset qqqqqqqq"),
        ("tfds:mnist/zebra", "no such configuration or version; configurations: none; version 3.0.1"),
        ("tfds:cifar10_corrupted/zebra", "configurations: .*frost_1"),
        ("tfds:mnist:9.9.9", "no such configuration or version"),
        ("tfds:mnist/data_dir=3", "write tfds:<name>"),
        ("tfds:huggingface:mnist", "write tfds:<name>"),
        ("tfds:../mnist", "write tfds:<name>"),
        ("tfds:", "write tfds:<name>"),
        ("tfds:tiny_floats", "tiny_floats: no feature 'image' with 8- or 16-bit images, only image"),
    ],
)
def test_invalid_names_and_datasets_without_images_are_refused(tmp_path, name, expected):
    with pytest.raises(UsageError, match=expected) as caught:
        open_dataset(name, tmp_path)
    assert "\n" not in str(caught.value)


def test_offline_names_the_missing_files(tmp_path):
    message = "--offline forbids downloading tfds:cifar10: download .*manual: https://.*tar.gz as cifar"
    with pytest.raises(UsageError, match=message):
        open_dataset("tfds:cifar10", tmp_path, offline=True)


def test_a_missing_network_is_detected_before_tfds_starts(tmp_path, monkeypatch):
    def refuse(url, remedy):
        raise UsageError(f"cannot download {url}: {remedy}")

    monkeypatch.setattr(published, "open_url", refuse)
    lines = []
    message = "cannot download https://.*mnist.*gz: download elsewhere and put into .*manual: .* as train-images"
    with pytest.raises(UsageError, match=message):
        open_dataset("tfds:mnist", tmp_path, log=lines.append)
    assert "downloading tfds:mnist" in lines[0] and "11.6 MB" in lines[0] and str(tmp_path) in lines[0]
