"""`.npz` image sources: arrays, classes, names, memory, errors."""

import errno

import numpy as np
import pytest

from gan_tf.data import sources
from gan_tf.data.sources import open_source
from gan_tf.errors import UsageError

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), np.uint8)


@pytest.fixture
def opened(tmp_path):
    """A function that saves arrays as set.npz and opens it."""

    def save_and_open(*args, save=np.savez, **arrays):
        save(tmp_path / "set.npz", *args, **arrays)
        return open_source(tmp_path / "set.npz")

    return save_and_open


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[..., 0], PIXELS[..., :1]])
def test_reads_rows(opened, save, pixels):
    source = opened(images=pixels, save=save)
    assert len(source) == 3 and source.name == "set"
    for i in range(3):
        np.testing.assert_array_equal(source.read(i), pixels[i])


@pytest.mark.parametrize(
    ("arrays", "class_names"),
    [
        ({"labels": [7, 3, 7]}, ("3", "7")),
        ({"labels": [[1], [0], [1]], "class_names": ["x", "y"]}, ("x", "y")),
    ],
)
def test_labels_give_classes(opened, arrays, class_names):
    source = opened(images=PIXELS, **arrays)
    assert source.class_names == class_names and source.labels.tolist() == [1, 0, 1]


def test_names_of_images(opened):
    assert opened(PIXELS, other=np.zeros(7)).names == ["0", "1", "2"]  # a single array of images may have any name
    assert opened(images=PIXELS, names=["a.jpg", "b.jpg", "a.jpg"]).names == ["a.jpg", "b.jpg", "a.jpg"]
    for other in ([1, 2, 3], ["a.jpg", "b.jpg"]):  # not names of the images
        assert opened(images=PIXELS, names=other).names == ["0", "1", "2"]


def test_large_compressed_arrays_are_unpacked_once_and_others_mapped(opened, monkeypatch, cache_folder):
    plain = opened(images=PIXELS)
    assert isinstance(plain.images, np.memmap)
    monkeypatch.setattr(sources, "IN_MEMORY_BYTES", 10)
    packed = opened(images=PIXELS, save=np.savez_compressed)
    again = open_source(packed.where)
    assert isinstance(packed.images, np.memmap) and isinstance(again.images, np.memmap)
    np.testing.assert_array_equal(again.images, PIXELS)
    assert again.fingerprint == plain.fingerprint != opened(images=PIXELS + 1).fingerprint
    assert len(list((cache_folder / "npz").iterdir())) == 1


def test_a_full_cache_is_named(opened, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sources, "IN_MEMORY_BYTES", 10)
    monkeypatch.setattr(sources.shutil, "copyfileobj", full)
    with pytest.raises(UsageError, match="GAN_TF_CACHE"):
        opened(images=PIXELS, save=np.savez_compressed)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.array([{}, []], object)}, '"images" holds Python objects'),
        ({"images": PIXELS, "labels": np.array([None] * 3)}, '"labels" holds Python objects'),
        ({"images": PIXELS / 255}, "float64"),
        ({"images": np.asfortranarray(PIXELS)}, "C order"),
        ({"a": PIXELS, "b": PIXELS}, '"a" uint8'),
        ({"a": np.zeros(3)}, "must hold one uint8"),
        ({"images": PIXELS[:0]}, "no images"),
        ({"images": PIXELS, "labels": [1, 2]}, "labels"),
        ({"images": PIXELS, "labels": [0.5, 1, 2]}, "labels"),
        ({"images": PIXELS, "labels": [0, 1, 2], "class_names": ["x"]}, "class_names"),
    ],
)
def test_unsupported_contents_are_refused(opened, arrays, message):
    with pytest.raises(UsageError, match=message) as caught:
        opened(**arrays)
    assert "\n" not in str(caught.value)
