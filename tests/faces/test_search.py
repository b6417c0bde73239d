"""From photographs of dots to crops: places, filters, what cannot be read, and going on after an interruption."""

import io

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401  at the top, so that the devices are split in time
from PIL import Image

from gan_tf.data.sources import ArraySource, FolderSource
from gan_tf.faces import search as searching
from gan_tf.faces.search import Photo, Settings, key_of, search
from gan_tf.faces.store import Store
from tests.data.pictures import write
from tests.faces.dots import DotDetector, find_dots, landmarks_of, photo
from tests.faces.test_align import expected

SMALL = Settings(size=32, margin=0.1, min_face=40)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def portrait(k):
    """A photograph with one face, another for every k."""
    return photo((150, 140), [(70 + k, 60, 24 + k, 5 * k)])


def searched(source, out, settings=SMALL, detector=None, check=lambda: None):
    """The Store after a search, closed."""
    store = Store(out, settings.size, key_of(source, settings))
    try:
        search(source, settings, detector or DotDetector(), store, check)
    finally:
        store.close()
    return store


@pytest.fixture
def portraits(tmp_path):
    return FolderSource(write(tmp_path / "photos", {f"{k}.png": encoded(portrait(k)) for k in range(7)}))


def test_dots_land_at_the_stated_places_however_the_photograph_is_stored(tmp_path):
    upright = photo((600, 500), [(290, 230, 80, 15)])
    orientation = Image.Exif()
    orientation[274] = 6  # "turn me clockwise"
    files = {
        "plain.png": encoded(upright),
        "turned.png": encoded(upright.transpose(Image.Transpose.ROTATE_90), exif=orientation),
        "palette.gif": encoded(upright.quantize(256), "GIF"),
        "deep.jpg": encoded(upright, "JPEG", quality=95, subsampling=0),
    }
    source, detector = FolderSource(write(tmp_path / "photos", files)), DotDetector()
    store = searched(source, tmp_path / "out", SMALL._replace(size=64), detector)
    assert len(store) == 4 and not store.unreadable
    assert set(detector.searched) == {(300, 360, 3), (64, 64, 3)}  # 24 / 40 of the photograph, and crops
    for face, image in zip(store.faces(), store.images(), strict=True):
        np.testing.assert_allclose(find_dots(image), expected(64, 0.1), atol=0.5)
        np.testing.assert_allclose(face["landmarks"], landmarks_of(290, 230, 80, 15), atol=1.5)


def test_small_photographs_are_not_enlarged(tmp_path):
    detector = DotDetector()
    source = ArraySource("set", [np.asarray(portrait(0))])
    assert len(searched(source, tmp_path / "out", SMALL._replace(min_face=20), detector)) == 1
    assert detector.searched == [(140, 150, 3), (64, 64, 3)]


def test_faces_are_filtered_by_score_size_and_edge(tmp_path):
    pictures = [
        photo((150, 140), [(70, 60, 24)]),  # score below
        photo((150, 140), [(70, 60, 14)]),  # 38.5 pixels
        photo((150, 140), [(16, 60, 24)]),  # the crop would show it twice
        photo((150, 140), [(70, 60, 24)]),
    ]
    source = ArraySource("set", [np.asarray(picture) for picture in pictures])
    store = searched(source, tmp_path / "out", detector=DotDetector([0.7]))
    assert store.faces()["photo"].tolist() == [3] and store.at_edge == 1
    store = searched(source, tmp_path / "edge", SMALL._replace(at_edge="keep"), DotDetector([0.7]))
    assert store.faces()["photo"].tolist() == [2, 3] and store.at_edge == 0


def test_largest_is_the_largest_that_can_be_used(tmp_path):
    class Crowd:
        def find(self, pictures, confidence):
            [at_edge], [small], [large] = (
                DotDetector().find([np.asarray(photo((250, 140), [face]))], confidence)
                for face in ((30, 60, 50), (70, 60, 24), (180, 60, 30))
            )
            return [np.concatenate([at_edge, small, large])] if len(pictures) == 1 else [at_edge[:0]] * len(pictures)

    source = ArraySource("set", [np.zeros((140, 250, 3), np.uint8)])
    whole = SMALL._replace(min_face=24)
    everything = searched(source, tmp_path / "all", whole, Crowd())
    assert everything.faces()["landmarks"][:, 2, 0].round().tolist() == [180, 70]
    largest = searched(source, tmp_path / "largest", whole._replace(faces="largest"), Crowd())
    assert largest.faces()["landmarks"][:, 2, 0].round().tolist() == [180]


def test_unreadable_and_faceless_photographs_are_noted(tmp_path):
    files = {"a.png": encoded(portrait(0)), "b.jpg": b"", "c.png": b"no picture", "d.png": encoded(photo((90, 80), []))}
    store = searched(FolderSource(write(tmp_path / "photos", files)), tmp_path / "out")
    assert store.faces()["photo"].tolist() == [0] and store.photos == 4
    assert [number for number, _ in store.unreadable] == [1, 2]
    assert store.unreadable[0][1] == "the file is empty" and "known format" in store.unreadable[1][1]


@pytest.mark.parametrize("windows_before", [1, 2, 3])
def test_an_interrupted_search_goes_on_to_the_same_faces(portraits, tmp_path, monkeypatch, windows_before):
    monkeypatch.setattr(searching, "WINDOW", 2)
    whole = searched(portraits, tmp_path / "whole")
    seen = []

    def stop():
        seen.append(None)
        if len(seen) == windows_before:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        searched(portraits, tmp_path / "cut", check=stop)
    rest = DotDetector()
    cut = searched(portraits, tmp_path / "cut", detector=rest)
    assert len(rest.searched) == 2 * (7 - 2 * windows_before)  # photographs, and a crop of each
    for name in ("images.bin", "faces.bin"):
        assert (cut.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert cut.photos == 7 and len(cut) == 7


def test_windows_are_bounded_by_pixels_and_start_anew_at_each_boundary(monkeypatch):
    monkeypatch.setattr(searching, "WINDOW", 3)
    monkeypatch.setattr(searching, "WINDOW_PIXELS", 100)
    sizes = [10, 10, 10, 90, 20, 5, 200, 0, 1, 1]
    photos = [Photo(i, Image.new("L", (size, 1)) if size else None, None) for i, size in enumerate(sizes)]
    windows = [[photo.number for photo in window] for window in searching._windows(photos)]
    assert windows == [[0, 1, 2], [3, 4], [5, 6], [7, 8, 9]]
    assert [[photo.number for photo in window] for window in searching._windows(photos[5:])] == windows[2:]


def test_key_follows_photographs_and_settings(portraits, tmp_path):
    key = key_of(portraits, SMALL)
    assert key == key_of(FolderSource(portraits.folder), SMALL)
    assert key["--min-face"] == 40 and key["--align"] == "eyes"
    assert key != key_of(portraits, SMALL._replace(margin=0.3))
    (portraits.folder / "0.png").write_bytes(encoded(portrait(9)))
    assert key["photographs"] != key_of(FolderSource(portraits.folder), SMALL)["photographs"]
