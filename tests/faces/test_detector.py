"""MTCNN: images without faces, batches, conversion of its results, selection."""

import numpy as np
import tensorflow as tf  # noqa: F401  at the top, so that the devices are split in time

from gan_tf.faces.results import FACE
from gan_tf.faces.search import Detector, select_faces


def test_images_without_faces_of_all_sizes():
    detector = Detector()
    draw = np.random.default_rng(0)
    noise = draw.integers(0, 256, (120, 90, 3), np.uint8)
    slope = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (150, 200, 3))
    images = [noise, np.zeros((1, 300, 3), np.uint8), slope, noise[::-1], noise[:11, :11]]
    faces = detector.find(images, 0.8)
    assert [f.shape for f in faces] == [(0,)] * 5
    assert all(f.dtype == FACE for f in faces)
    assert detector.find([], 0.8) == []


def test_rows_of_mtcnn_become_faces_of_their_images():
    # Index, box, score, five x, five y; the centre of MTCNN's first pixel is at 0.
    row = [0, 1, 2, 3, 4, 0.9, *range(10, 15), *range(20, 25)]
    calls = []

    class Recorded(Detector):
        def __init__(self):
            self._mtcnn = self

        def detect_faces(self, images, **options):
            calls.append([image.shape for image in images])
            return np.array([[i, *row[1:]] for i in range(len(images))])

    wide, high = np.ones((4, 6, 3), np.uint8), np.ones((6, 4, 3), np.uint8)
    faces = Recorded().find([wide, high, wide, high], 0.8)
    assert calls == [[(4, 6, 3)] * 2, [(6, 4, 3)] * 2]  # of equal size only: padding would change the faces
    assert [f["photo"].tolist() for f in faces] == [[0], [1], [2], [3]]
    np.testing.assert_array_equal(faces[3]["box"], [[1.5, 2.5, 3.5, 4.5]])
    np.testing.assert_array_equal(faces[3]["landmarks"][0], [(x + 0.5, x + 10.5) for x in range(10, 15)])


def test_selection():
    faces = np.zeros(4, FACE)
    faces["box"] = [(0, 0, 50, 70), (5, 5, 95, 95), (0, 0, 99, 20), (9, 0, 59, 70)]
    faces["score"] = [0.9, 0.85, 0.7, 0.9]
    assert select_faces(faces, 0.8, 0)["box"][:, 0].tolist() == [5, 0, 9]  # largest first, then from the left
    assert select_faces(faces, 0.0, 71)["box"][:, 0].tolist() == [0, 5]
    assert select_faces(faces, 0.86, 0)["box"][:, 0].tolist() == [0, 9]
    assert len(select_faces(faces, 0.95, 0)) == len(select_faces(faces[:0], 0, 0)) == 0
