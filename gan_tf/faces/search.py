"""Finds faces in photographs with MTCNN, and cuts them out (see `crop.py`).

Source of the detector: Zhang et al. 2016 (Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks). Its networks and weights come with the package `mtcnn`.
"""

import hashlib
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
from mtcnn import MTCNN
from PIL import Image

from gan_tf.data.images import UnreadableImage, read_image
from gan_tf.faces.crop import crop_square, cut, rotate, shown_twice
from gan_tf.faces.results import FACE
from gan_tf.io.progress import Progress, map_in_order

FORMAT = 3  # of partial results; raise it when the same photographs would give other faces
# Photographs are searched in a reduced copy in which the smallest face has this size: MTCNN found 40 of 40 portraits at
# 24 pixels, 36 of 40 at 16.
FINDABLE_PIXELS = 24
BATCH_PIXELS = 3 << 20  # of copies searched together; MTCNN needs about 150 bytes per pixel
WINDOW = 16  # photographs that are held in memory and saved together, at most
WINDOW_PIXELS = 48 << 20  # a window ends at this number of pixels, three bytes each
BACKGROUND = (255, 255, 255)  # under transparent parts of an image

REFINE_PIXELS, REFINE_MARGIN = 64, 0.2  # size and margin of the crops for refining landmarks
REFINE_CONFIDENCE = 0.5  # least score in a crop
REFINE_MOVED = 0.05  # largest distance that refining may move a landmark, as a share of the crop's side
SHOWN_TWICE = 0.01  # largest share of a crop that may show eyes, nose or mouth again; more looks like two faces


class CropSettings(NamedTuple):
    """Settings that the faces depend on."""

    size: int = 256  # S, pixels of a crop
    faces: str = "all"  # or "largest" of each photograph
    align: str = "eyes"  # or "none"
    margin: float = 0.2  # added on each side, as a share of the face
    confidence: float = 0.8  # least score, 0 to 1
    min_face: int = 80  # least length in the photograph, in pixels, of the longer side of a face's box
    at_edge: str = "skip"  # or "keep" faces so near to an edge that the mirrored crop would show part of them twice


class Photo(NamedTuple):
    """A decoded photograph, or the reason why it is unreadable."""

    index: int  # in the source
    image: Image.Image | None  # mode RGB; None if unreadable, as `copy`
    copy: np.ndarray | None  # uint8 [H, W, 3], reduced for the search
    reason: str | None = None


class Detector:
    """MTCNN on the CPU. Its networks are small: decoding the photographs takes longer."""

    def __init__(self):
        self._mtcnn = MTCNN(device="CPU:0")

    def find(self, images, confidence):
        """Finds faces in uint8 [H, W, 3] images of any sizes.

        Only images of equal size are searched together: MTCNN would pad others, and the faces of an image would
        depend on the rest of its batch.

        Args:
            images: list of arrays.
            confidence: least score of a face, 0 to 1.

        Returns:
            list of FACE arrays, one per image, in no particular order; `photo` is the index in the list.
        """
        found = [np.empty(0, FACE)] * len(images)
        for batch in _batches([image.shape for image in images]):
            rows = self._mtcnn.detect_faces(
                # min_face_size stays at MTCNN's 20: with 30 or more its pyramid ends in levels too small for its
                # network, which it reports as images without faces. The copy is scaled instead.
                [images[i].astype(np.float32) for i in batch],
                fit_to_image=False,
                box_format="xyxy",
                output_type="numpy",
                threshold_onet=confidence,
            )
            for position, i in enumerate(batch):
                # Index in the batch, box, score, five x, five y. The centre of the first pixel is at 0, in FACE at 0.5.
                of_image = rows[rows[:, 0] == position]
                faces = found[i] = np.empty(len(of_image), FACE)
                faces["photo"], faces["box"], faces["score"] = i, of_image[:, 1:5] + 0.5, of_image[:, 5]
                faces["landmarks"] = of_image[:, 6:16].reshape(-1, 2, 5).swapaxes(1, 2) + 0.5
        return found


def _batches(shapes):
    """Yields lists of indices of equal shapes, each of at most BATCH_PIXELS (or of one image)."""
    groups = {}
    for i, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(i)
    for shape, indices in groups.items():
        count = max(1, BATCH_PIXELS // (shape[0] * shape[1]))
        yield from (indices[start : start + count] for start in range(0, len(indices), count))


def search_key(source, settings):
    """Returns {name: value} of all that the result depends on; options have their flags as names.

    Files are compared by name, size and times: hashing them would double the reading.
    """
    stamps = source.stamps() or source.digests
    photos = hashlib.sha256("\n".join([*source.names, *stamps]).encode()).hexdigest()
    options = {f"--{name.replace('_', '-')}": value for name, value in settings._asdict().items()}
    return {**options, "photographs": photos, "version": f"{FORMAT}, mtcnn {version('mtcnn')}"}


def copy_scale(min_face):
    """Returns the scale, at most 1, of the copies to search: a face of `min_face` pixels has FINDABLE_PIXELS in it.

    MTCNN's time grows with the pixels searched, and it finds large faces in small copies too.
    """
    return min(1.0, FINDABLE_PIXELS / min_face)


def search(source, settings, detector, partial, check):
    """Finds and cuts out the faces of all photographs that `partial` does not have yet.

    Args:
        source: ImageSource of the photographs.
        settings: CropSettings.
        detector: a Detector.
        partial: results.PartialResult of this source and these settings.
        check: called after each window of photographs; an exception from it ends the search, with everything saved.
    """
    scale = copy_scale(settings.min_face)

    def decode(i):
        try:
            image, _ = read_image(source.read(i), BACKGROUND)
        except UnreadableImage as error:
            return Photo(i, None, None, str(error))
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        return Photo(i, image, np.asarray(image.resize(size, Image.Resampling.BOX)))

    done = partial.photos
    with Progress(len(source), "searched", "photographs", before=done) as progress:
        for window in _windows(map_in_order(decode, range(done, len(source)))):
            faces, images, at_edge = _search_window(window, settings, detector)
            unreadable = [(photo.index, photo.reason) for photo in window if photo.reason]
            partial.add(len(window), faces, images, unreadable, at_edge)
            progress.advance(len(window))
            check()


def _windows(photos):
    """Yields lists of photographs. A search that is continued gets the same windows as one without interruption."""
    window, pixels = [], 0
    for photo in photos:
        window.append(photo)
        pixels += photo.image.width * photo.image.height if photo.image else 0
        if len(window) == WINDOW or pixels >= WINDOW_PIXELS:
            yield window
            window, pixels = [], 0
    if window:
        yield window


def _search_window(window, settings, detector):
    """Returns (FACE array of the faces kept, list of their crops uint8 [S, S, 3], number of faces left out)."""
    images = {photo.index: photo.image for photo in window if photo.image}
    faces = _find_faces([photo for photo in window if photo.image], settings, detector)
    if settings.align == "eyes":
        faces = _refine_landmarks(images, faces, detector)
    kept, cuts, at_edge, photos = [], [], 0, set()
    for k, face in enumerate(faces):
        image = images[face["photo"]]
        square = crop_square(face, settings.align, settings.margin)
        if settings.at_edge == "skip" and shown_twice(face, square, *image.size) > SHOWN_TWICE:
            at_edge += 1
        elif settings.faces == "all" or face["photo"] not in photos:  # largest first
            photos.add(face["photo"])
            kept.append(k)
            cuts.append((image, square))
    crops = list(map_in_order(lambda task: cut(*task, settings.size), cuts))
    return faces[kept], crops, at_edge


def _find_faces(photos, settings, detector):
    """Returns a FACE array of the faces in the copies, in pixels of the photographs; by photograph, largest first.

    Coordinates are rounded to a hundredth of a pixel, so that crops do not depend on the last bits of the networks'
    arithmetic, which differ between machines.
    """
    found = [np.empty(0, FACE)]
    for photo, faces in zip(photos, detector.find([photo.copy for photo in photos], settings.confidence), strict=True):
        scale = np.array(photo.image.size) / photo.copy.shape[1::-1]
        faces["photo"] = photo.index
        faces["box"] = np.round(faces["box"] * np.tile(scale, 2), 2)
        faces["landmarks"] = np.round(faces["landmarks"] * scale, 2)
        box = faces["box"]
        sides = np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
        kept = (faces["score"] >= settings.confidence) & (sides >= settings.min_face)
        order = np.lexsort((box[:, 1], box[:, 0], -sides))  # equal sizes from left to right, then from top to bottom
        found.append(faces[order[kept[order]]])
    return np.concatenate(found)


def _refine_landmarks(images, faces, detector):
    """Returns the faces with landmarks detected in a small upright crop of each.

    In portraits rotated by up to 30 degrees this reduces the variation of the eyes' angle from 1.0 to 0.3 degrees. A
    face in the crop with a landmark that moved by more than REFINE_MOVED is another one. If there is no other, the
    first landmarks are kept.
    """
    squares = [crop_square(face, "eyes", REFINE_MARGIN) for face in faces]
    cuts = zip((images[i] for i in faces["photo"]), squares, strict=True)
    crops = list(map_in_order(lambda task: cut(*task, REFINE_PIXELS), cuts))
    faces = faces.copy()
    for face, square, refined in zip(faces, squares, detector.find(crops, REFINE_CONFIDENCE), strict=True):
        points = (refined["landmarks"].astype(np.float64) - REFINE_PIXELS / 2) * (square.side / REFINE_PIXELS)
        x, y = rotate(*np.moveaxis(points, -1, 0), square.angle)
        landmarks = np.stack([x + square.x, y + square.y], axis=-1)
        moved = np.hypot(*np.moveaxis(landmarks - face["landmarks"], -1, 0)).max(axis=1) / square.side
        if len(moved) and moved.min() <= REFINE_MOVED:
            face["landmarks"] = landmarks[moved.argmin()].round(2)
    return faces
