"""`.npz` files: which array is taken, classes, memory, refusals."""

import numpy as np
import pytest

from gan_tf.data import arrays
from gan_tf.data.sources import open_source
from gan_tf.errors import UsageError

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), np.uint8)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[..., 0], PIXELS[..., :1]])
def test_pictures_are_the_rows(tmp_path, save, pixels):
    save(tmp_path / "set.npz", images=pixels)
    source = open_source(tmp_path / "set.npz")
    assert len(source) == 3 and source.name == "set"
    for i in range(3):
        np.testing.assert_array_equal(source.read(i), pixels[i])


def test_the_only_array_of_images_may_have_any_name(tmp_path):
    np.savez(tmp_path / "set.npz", PIXELS, other=np.zeros(7))
    np.testing.assert_array_equal(open_source(tmp_path / "set.npz").read(2), PIXELS[2])


def test_labels_give_classes(tmp_path):
    np.savez(tmp_path / "set.npz", images=PIXELS, labels=[7, 3, 7])
    source = open_source(tmp_path / "set.npz")
    assert source.class_names == ("3", "7")
    np.testing.assert_array_equal(source.labels, [1, 0, 1])
    np.savez(tmp_path / "named.npz", images=PIXELS, labels=[[1], [0], [1]], class_names=["x", "y"])
    source = open_source(tmp_path / "named.npz")
    assert source.class_names == ("x", "y")
    np.testing.assert_array_equal(source.labels, [1, 0, 1])


def test_plain_arrays_are_mapped_and_packed_ones_unpacked_once(tmp_path, monkeypatch, cache_folder):
    np.savez(tmp_path / "plain.npz", images=PIXELS)
    assert isinstance(open_source(tmp_path / "plain.npz").images, np.memmap)
    monkeypatch.setattr(arrays, "IN_MEMORY_BYTES", 10)
    np.savez_compressed(tmp_path / "packed.npz", images=PIXELS)
    sources = [open_source(tmp_path / "packed.npz") for _ in range(2)]
    assert all(isinstance(source.images, np.memmap) for source in sources)
    np.testing.assert_array_equal(sources[1].images, PIXELS)
    assert len(list((cache_folder / "npz").iterdir())) == 1


def test_fingerprint_is_that_of_the_contents(tmp_path):
    np.savez(tmp_path / "a.npz", images=PIXELS)
    np.savez_compressed(tmp_path / "b.npz", images=PIXELS)
    np.savez(tmp_path / "c.npz", images=PIXELS + 1)
    a, b, c = (open_source(tmp_path / f"{name}.npz").fingerprint for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": np.array([{}, []], object)}, 'array "images" holds Python objects'),
        ({"images": PIXELS, "labels": np.array([None] * 3)}, 'array "labels" holds Python objects'),
        ({"images": PIXELS / 255}, "must be uint8 in C order, got float64"),
        ({"images": np.asfortranarray(PIXELS)}, "must be uint8 in C order"),
        ({"a": PIXELS, "b": PIXELS}, 'must hold one uint8 .* named "images"'),
        ({"a": np.zeros(3)}, "must hold one uint8"),
        ({"images": PIXELS[:0]}, "holds no images"),
        ({"images": PIXELS, "labels": [1, 2]}, r"labels must be integers \[3\]"),
        ({"images": PIXELS, "labels": [0.5, 1, 2]}, r"labels must be integers \[3\]"),
        ({"images": PIXELS, "labels": [0, 1, 2], "class_names": ["x"]}, "do not fit 1 class_names"),
    ],
)
def test_what_is_no_set_of_images_is_refused(tmp_path, content, message):
    np.savez(tmp_path / "set.npz", **content)
    with pytest.raises(UsageError, match=message) as caught:
        open_source(tmp_path / "set.npz")
    assert "\n" not in str(caught.value)


def test_damaged_files_end_in_one_line(tmp_path):
    np.savez(tmp_path / "set.npz", images=PIXELS)
    content = (tmp_path / "set.npz").read_bytes()
    for cut in (0, 50, len(content) // 2):
        (tmp_path / "set.npz").write_bytes(content[:cut])
        with pytest.raises(UsageError, match="is not a whole .npz file"):
            open_source(tmp_path / "set.npz")


def test_images_are_called_as_the_file_says(tmp_path):
    np.savez(tmp_path / "named.npz", images=PIXELS, names=["a.jpg", "b.jpg", "a.jpg"])
    assert open_source(tmp_path / "named.npz").names == ["a.jpg", "b.jpg", "a.jpg"]
    for other in ([1, 2, 3], ["a.jpg", "b.jpg"]):  # another program's, and no names of the images
        np.savez(tmp_path / "other.npz", images=PIXELS, names=other)
        assert open_source(tmp_path / "other.npz").names == ["0", "1", "2"]
