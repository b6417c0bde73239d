"""`.npz` image sources: arrays, classes, names, memory, errors."""

import errno

import numpy as np
import pytest

from gan_tf.data import npz_source
from gan_tf.data.sources import open_source
from gan_tf.errors import UsageError

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), np.uint8)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[..., 0], PIXELS[..., :1]])
def test_reads_rows(tmp_path, save, pixels):
    save(tmp_path / "set.npz", images=pixels)
    source = open_source(tmp_path / "set.npz")
    assert len(source) == 3 and source.name == "set"
    for i in range(3):
        np.testing.assert_array_equal(source.read(i), pixels[i])


def test_a_single_array_of_images_may_have_any_name(tmp_path):
    np.savez(tmp_path / "set.npz", PIXELS, other=np.zeros(7))
    np.testing.assert_array_equal(open_source(tmp_path / "set.npz").read(2), PIXELS[2])


@pytest.mark.parametrize(
    ("arrays", "class_names"),
    [
        ({"labels": [7, 3, 7]}, ("3", "7")),
        ({"labels": [[1], [0], [1]], "class_names": ["x", "y"]}, ("x", "y")),
    ],
)
def test_labels_give_classes(tmp_path, arrays, class_names):
    np.savez(tmp_path / "set.npz", images=PIXELS, **arrays)
    source = open_source(tmp_path / "set.npz")
    assert source.class_names == class_names and source.labels.tolist() == [1, 0, 1]


def test_names_of_images(tmp_path):
    np.savez(tmp_path / "set.npz", images=PIXELS, names=["a.jpg", "b.jpg", "a.jpg"])
    assert open_source(tmp_path / "set.npz").names == ["a.jpg", "b.jpg", "a.jpg"]
    for other in ([1, 2, 3], ["a.jpg", "b.jpg"]):  # not names of the images
        np.savez(tmp_path / "set.npz", images=PIXELS, names=other)
        assert open_source(tmp_path / "set.npz").names == ["0", "1", "2"]


def test_uncompressed_arrays_are_mapped_and_large_compressed_ones_unpacked_once(tmp_path, monkeypatch, cache_folder):
    np.savez(tmp_path / "plain.npz", images=PIXELS)
    assert isinstance(open_source(tmp_path / "plain.npz").images, np.memmap)
    monkeypatch.setattr(npz_source, "IN_MEMORY_BYTES", 10)
    np.savez_compressed(tmp_path / "packed.npz", images=PIXELS)
    sources = [open_source(tmp_path / "packed.npz") for _ in range(2)]
    assert all(isinstance(source.images, np.memmap) for source in sources)
    np.testing.assert_array_equal(sources[1].images, PIXELS)
    assert len(list((cache_folder / "npz").iterdir())) == 1


def test_a_full_cache_is_named(tmp_path, monkeypatch, cache_folder):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(npz_source, "IN_MEMORY_BYTES", 10)
    monkeypatch.setattr(npz_source.shutil, "copyfileobj", full)
    np.savez_compressed(tmp_path / "a.npz", images=PIXELS)
    with pytest.raises(UsageError, match="GAN_TF_CACHE"):
        open_source(tmp_path / "a.npz")


def test_fingerprint_depends_on_the_contents_only(tmp_path):
    np.savez(tmp_path / "a.npz", images=PIXELS)
    np.savez_compressed(tmp_path / "b.npz", images=PIXELS)
    np.savez(tmp_path / "c.npz", images=PIXELS + 1)
    a, b, c = (open_source(tmp_path / f"{name}.npz").fingerprint for name in "abc")
    assert a == b != c


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
def test_unsupported_contents_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(UsageError, match=message) as caught:
        open_source(tmp_path / "set.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.1, 0.5])
def test_damaged_files_are_refused(tmp_path, share):
    np.savez(tmp_path / "set.npz", images=PIXELS)
    content = (tmp_path / "set.npz").read_bytes()
    (tmp_path / "set.npz").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UsageError, match="set.npz"):
        open_source(tmp_path / "set.npz")
