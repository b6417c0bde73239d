"""What a search keeps on the disk: nothing is lost but what was not yet vouched for, and nothing is mixed up."""

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401  at the top, so that the devices are split in time

from gan_tf.errors import UsageError
from gan_tf.faces.detect import FACE
from gan_tf.faces.store import Store

KEY = {"--size": 4, "--align": "eyes", "photographs": "aa"}


def rows(*photos):
    """(FACE array, images) of faces in these photographs."""
    faces = np.zeros(len(photos), FACE)
    faces["photo"] = photos
    return faces, [np.full((4, 4, 3), photo, np.uint8) for photo in photos]


def test_goes_on_after_what_was_saved(tmp_path):
    store = Store(tmp_path / "out.npz", 4, KEY)
    store.add(3, *rows(0, 0, 2), [(1, "broken")], at_edge=2)
    store.save()
    store.add(1, *rows(3))
    store.close()  # killed before the next record: what follows the three rows is dropped
    again = Store(tmp_path / "out.npz", 4, KEY)
    assert (again.photos, len(again), again.unreadable, again.at_edge) == (3, 3, [(1, "broken")], 2)
    again.add(1, *rows(3))
    again.save()
    assert again.faces()["photo"].tolist() == [0, 0, 2, 3]
    assert again.images()[:, 0, 0, 0].tolist() == [0, 0, 2, 3]
    again.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["progress.json", "images.bin", "faces.bin"])
def test_a_damaged_store_is_filled_anew(tmp_path, damage):
    store = Store(tmp_path / "out", 4, KEY)
    store.add(2, *rows(0, 1))
    store.save()
    store.close()
    (store.folder / damage).write_bytes(b"{")
    again = Store(tmp_path / "out", 4, KEY)
    assert again.photos == len(again) == 0
    again.close()


def test_other_settings_are_refused_or_begun_anew(tmp_path):
    store = Store(tmp_path / "out", 4, KEY)
    store.add(1, *rows(0))
    store.save()
    store.close()
    other = {**KEY, "--align": "none", "photographs": "bb"}
    with pytest.raises(UsageError, match="--align was eyes, now none; other photographs.*--overwrite") as caught:
        Store(tmp_path / "out", 4, other)
    assert "\n" not in str(caught.value)
    again = Store(tmp_path / "out", 4, KEY, anew=True)  # the same command with --overwrite goes on, too
    assert len(again) == 1
    again.close()
    anew = Store(tmp_path / "out", 4, other, anew=True)
    assert len(anew) == anew.photos == 0
    anew.close()


def test_two_searches_for_one_result_are_refused(tmp_path):
    store = Store(tmp_path / "out", 4, KEY)
    with pytest.raises(UsageError, match="another gan-tf crop-faces is at work on"):
        Store(tmp_path / "out", 4, KEY)
    store.close()
    Store(tmp_path / "out", 4, KEY).close()
