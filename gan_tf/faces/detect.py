"""Faces in photographs by MTCNN: boxes, scores and five landmarks.

Source: Zhang et al. 2016 (Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks);
networks and weights of the package `mtcnn`, which brings them along.
"""

import numpy as np
from mtcnn import MTCNN

# A face of this many pixels in the copy is still found: 40 of 40 at 24 pixels, 36 of 40 at 16, on a board of portraits.
FINDABLE_PIXELS = 24
BATCH_PIXELS = 3 << 20  # of copies searched at once; MTCNN takes about 150 bytes for each

# What is known of one face: the photograph's number; x1, y1, x2, y2 of its box; how sure MTCNN is, 0 to 1; (x, y) of
# left eye, right eye, nose, left and right corner of the mouth, where left is the picture's left. Pixels, counted from
# the picture's left and upper edge, so that the centre of the first pixel is (0.5, 0.5). A box may reach over an edge.
FACE = np.dtype([("photo", "<i8"), ("box", "<f4", 4), ("score", "<f4"), ("landmarks", "<f4", (5, 2))])


def copy_scale(min_face):
    """Size of the copy to search, relative to the photograph: a face of `min_face` pixels keeps FINDABLE_PIXELS in it.

    MTCNN's time goes with the pixels of what it looks at, and large faces are found as well in a small copy. At most 1:
    enlarging adds nothing to find.
    """
    return min(1.0, FINDABLE_PIXELS / min_face)


class Detector:
    """MTCNN's three networks, on the CPU: they are so small that decoding the photographs takes longer."""

    def __init__(self):
        self._mtcnn = MTCNN(device="CPU:0")

    def find(self, pictures, confidence):
        """Finds the faces in some pictures.

        Pictures of one size are searched together and others apart: MTCNN would pad them to one size, and what is found
        in a picture would depend on its neighbours.

        Args:
            pictures: list of uint8 [H, W, 3], of any sizes.
            confidence: faces with a lower score are left out.

        Returns:
            list of FACE arrays, one for each picture, in no particular order; `photo` is its number in the list.
        """
        found = [np.empty(0, FACE)] * len(pictures)
        for numbers in _batches([picture.shape for picture in pictures]):
            rows = self._mtcnn.detect_faces(
                # min_face_size stays MTCNN's 20: with 30 or more its pyramid ends in levels too small for its network,
                # which it reports as pictures without faces. The copy is scaled instead.
                [pictures[i].astype(np.float32) for i in numbers],
                fit_to_image=False,
                box_format="xyxy",
                output_type="numpy",
                threshold_onet=confidence,
            )
            for place, i in enumerate(numbers):
                found[i] = _faces_of(rows[rows[:, 0] == place], i)
        return found


def _batches(shapes):
    """Lists of the numbers of equal shapes, each of BATCH_PIXELS at most (or of one picture)."""
    groups = {}
    for i, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(i)
    for shape, numbers in groups.items():
        count = max(1, BATCH_PIXELS // (shape[0] * shape[1]))
        yield from (numbers[start : start + count] for start in range(0, len(numbers), count))


def _faces_of(rows, photo):
    """MTCNN's rows (number, box, score, five x, five y; the first pixel's centre is 0) -> FACE array."""
    faces = np.empty(len(rows), FACE)
    faces["photo"] = photo
    faces["box"] = rows[:, 1:5] + 0.5
    faces["score"] = rows[:, 5]
    faces["landmarks"] = rows[:, 6:16].reshape(-1, 2, 5).swapaxes(1, 2) + 0.5
    return faces


def scaled(faces, scale_x, scale_y):
    """The same faces in a picture that is so many times as wide and high, to a hundredth of a pixel.

    Rounding keeps the last bits of the networks' arithmetic, which another machine rounds otherwise, out of the crops.
    """
    faces = faces.copy()
    faces["box"] = np.round(faces["box"] * [scale_x, scale_y, scale_x, scale_y], 2)
    faces["landmarks"] = np.round(faces["landmarks"] * [scale_x, scale_y], 2)
    return faces


def long_sides(faces):
    """float32 [F]: the longer side of each box, pixels."""
    box = faces["box"]
    return np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])


def select(faces, confidence, min_face):
    """The faces of one photograph that are wanted, largest first.

    Args:
        faces: FACE array.
        confidence, min_face: least score, and least pixels of the box's longer side.
    """
    sides = long_sides(faces)
    wanted = (faces["score"] >= confidence) & (sides >= min_face)
    order = np.lexsort((faces["box"][:, 1], faces["box"][:, 0], -sides))  # equal ones from the left, then from the top
    return faces[order[wanted[order]]]
