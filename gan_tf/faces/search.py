"""Search for faces: decodes photographs, finds faces with MTCNN, cuts them out.

Source: Zhang et al. 2016 (Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks).
Networks and weights come with the package `mtcnn`.
"""

import hashlib
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
from mtcnn import MTCNN
from PIL import Image

from gan_tf.data.images import UnreadableImage, open_image, to_rgb
from gan_tf.faces import align
from gan_tf.faces.align import FACE
from gan_tf.io.progress import Progress, map_in_order

FORMAT = 2  # of partial results; raise it when the same photographs would give other faces
# Photographs are searched in a copy in which the smallest face has this size: MTCNN found 40 of 40 portraits at 24
# pixels, 36 of 40 at 16.
FINDABLE_PIXELS = 24
BATCH_PIXELS = 3 << 20  # of copies searched together; MTCNN needs about 150 bytes per pixel
WINDOW = 16  # photographs searched together
WINDOW_PIXELS = 48 << 20  # and their pixels, three bytes each, which are held in memory
REFINE_PIXELS, REFINE_MARGIN = 64, 0.2  # size and margin of the crops for refining landmarks
REFINE_CONFIDENCE = 0.5  # least score in a crop
REFINE_MOVED = 0.05  # largest distance that refining may move a landmark, as a share of the crop's side
SHOWN_TWICE = 0.01  # largest share of a crop that may show eyes, nose or mouth again; more looks like two faces
BACKGROUND = (255, 255, 255)  # under transparent parts of an image


class CropSettings(NamedTuple):
    """Settings that the faces depend on."""

    size: int = 256  # S, pixels of a crop
    faces: str = "all"  # or "largest" of each photograph
    align: str = "eyes"  # or "none"
    margin: float = 0.2  # added on each side, as a share of the face
    confidence: float = 0.8  # least score, 0 to 1
    min_face: int = 80  # least length in the photograph, in pixels, of the longer side of a face's box
    at_edge: str = "skip"  # or "keep" faces so near to an edge that the mirrored crop would show part of them twice


def search_key(source, settings):
    """Returns {name: value} of all that the result depends on; names of options as the user writes them.

    Photographs are compared by name, size and date: hashing them would double the reading.
    """
    stamps = source.stamps() or source.digests
    photos = hashlib.sha256("\n".join([*source.names, *stamps]).encode()).hexdigest()
    options = {f"--{name.replace('_', '-')}": value for name, value in settings._asdict().items()}
    return {**options, "photographs": photos, "version": f"{FORMAT}, mtcnn {version('mtcnn')}"}


class Detector:
    """MTCNN on the CPU. Its networks are small: decoding the photographs takes longer."""

    def __init__(self):
        self._mtcnn = MTCNN(device="CPU:0")

    def find(self, images, confidence):
        """Finds faces in images.

        Only images of equal size are searched together: MTCNN would pad others, and the faces of an image would
        depend on the rest of its batch.

        Args:
            images: list of uint8 [H, W, 3] of any sizes.
            confidence: least score.

        Returns:
            list of FACE arrays, one per image, in no particular order; `photo` is the index in the list.
        """
        faces = [np.empty(0, FACE)] * len(images)
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
                faces[i] = _faces_of(rows[rows[:, 0] == position], i)
        return faces


def _batches(shapes):
    """Yields lists of indices of equal shapes, each of at most BATCH_PIXELS (or of one image)."""
    groups = {}
    for i, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(i)
    for shape, indices in groups.items():
        count = max(1, BATCH_PIXELS // (shape[0] * shape[1]))
        yield from (indices[start : start + count] for start in range(0, len(indices), count))


def _faces_of(rows, photo):
    """Converts MTCNN's rows (index, box, score, five x, five y; first pixel's centre at 0) to a FACE array."""
    faces = np.empty(len(rows), FACE)
    faces["photo"] = photo
    faces["box"] = rows[:, 1:5] + 0.5
    faces["score"] = rows[:, 5]
    faces["landmarks"] = rows[:, 6:16].reshape(-1, 2, 5).swapaxes(1, 2) + 0.5
    return faces


class Photo(NamedTuple):
    """A photograph: index, Pillow image in mode RGB and copy to search uint8 [H, W, 3]; or why it is unreadable."""

    index: int
    image: Image.Image | None
    copy: np.ndarray | None
    reason: str | None = None

    @property
    def pixels(self):
        return self.image.width * self.image.height if self.image else 0


def copy_scale(min_face):
    """Returns the scale of the copies to search: a face of `min_face` pixels has FINDABLE_PIXELS in it.

    MTCNN's time grows with the pixels searched, and it finds large faces in small copies too. At most 1.
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
            image = to_rgb(open_image(source.read(i)), BACKGROUND)
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
    """Groups photographs. A search that continues after a window gets the same windows as one without interruption."""
    window = []
    for photo in photos:
        window.append(photo)
        if len(window) == WINDOW or sum(photo.pixels for photo in window) >= WINDOW_PIXELS:
            yield window
            window = []
    if window:
        yield window


def _search_window(window, settings, detector):
    """Returns (FACE array of the faces kept, list of their crops uint8 [S, S, 3], number left out at an edge)."""
    images = {photo.index: photo.image for photo in window if photo.image}
    faces = _find_faces([photo for photo in window if photo.image], settings, detector)
    if settings.align == "eyes":
        faces = _refine_landmarks(images, faces, detector)
    kept, cuts, at_edge, photos = [], [], 0, set()
    for k, face in enumerate(faces):
        image = images[face["photo"]]
        square = align.crop_square(face, settings.align, settings.margin)
        if settings.at_edge == "skip" and align.shown_twice(face, square, *image.size) > SHOWN_TWICE:
            at_edge += 1
        elif settings.faces == "all" or face["photo"] not in photos:  # largest first
            photos.add(face["photo"])
            kept.append(k)
            cuts.append((image, square))
    crops = list(map_in_order(lambda task: align.cut(*task, settings.size), cuts))
    return faces[kept], crops, at_edge


def _find_faces(photos, settings, detector):
    """Returns a FACE array of the faces in the copies, in pixels of the photographs; by photograph, largest first."""
    selected = [np.empty(0, FACE)]
    for photo, faces in zip(photos, detector.find([photo.copy for photo in photos], settings.confidence), strict=True):
        height, width, _ = photo.copy.shape
        faces = scale_faces(faces, photo.image.width / width, photo.image.height / height)
        faces["photo"] = photo.index
        selected.append(select_faces(faces, settings.confidence, settings.min_face))
    return np.concatenate(selected)


def scale_faces(faces, scale_x, scale_y):
    """Scales the coordinates of a FACE array, rounded to a hundredth of a pixel.

    Rounding makes crops independent of the last bits of the networks' arithmetic, which differ between machines.
    """
    faces = faces.copy()
    faces["box"] = np.round(faces["box"] * [scale_x, scale_y, scale_x, scale_y], 2)
    faces["landmarks"] = np.round(faces["landmarks"] * [scale_x, scale_y], 2)
    return faces


def select_faces(faces, confidence, min_face):
    """Returns the faces of one photograph with at least this score and longer side (pixels), largest first."""
    box = faces["box"]
    sides = np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
    selected = (faces["score"] >= confidence) & (sides >= min_face)
    order = np.lexsort((box[:, 1], box[:, 0], -sides))  # equal sizes from left to right, then from top to bottom
    return faces[order[selected[order]]]


def _refine_landmarks(images, faces, detector):
    """Returns the faces with landmarks detected in a small upright crop of each.

    In portraits rotated by up to 30 degrees this reduces the variation of the eyes' angle from 1.0 to 0.3 degrees. If a
    landmark moved far, the crop's landmarks belong to something else and the first ones are kept.
    """
    squares = [align.crop_square(face, "eyes", REFINE_MARGIN) for face in faces]
    cuts = zip((images[i] for i in faces["photo"]), squares, strict=True)
    crops = list(map_in_order(lambda task: align.cut(*task, REFINE_PIXELS), cuts))
    faces = faces.copy()
    for face, square, refined in zip(faces, squares, detector.find(crops, REFINE_CONFIDENCE), strict=True):
        landmarks = align.to_photo(refined["landmarks"].astype(np.float64), square, REFINE_PIXELS)
        moved = np.hypot(*np.moveaxis(landmarks - face["landmarks"], -1, 0)).max(axis=1) / square.side
        if len(moved) and moved.min() <= REFINE_MOVED:
            face["landmarks"] = landmarks[moved.argmin()].round(2)
    return faces
