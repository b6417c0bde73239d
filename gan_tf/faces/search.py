"""The search: photographs -> decoded ahead in threads -> searched in batches -> faces cut out of them -> store."""

import concurrent.futures
import hashlib
import os
from collections import deque
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
from PIL import Image

from gan_tf.data.images import UnreadableImage, open_image, to_rgb
from gan_tf.faces import align
from gan_tf.faces.detect import FACE, copy_scale, scaled, select
from gan_tf.io.progress import Progress

FORMAT = 1  # of the store; raised whenever the same photographs would give other faces
WINDOW = 16  # photographs searched together,
WINDOW_PIXELS = 48 << 20  # and their pixels: what is held in memory, three bytes each, besides what is decoded ahead
LOOK_PIXELS, LOOK_MARGIN = 64, 0.2  # the crops that faces are looked for in again,
LOOK_CONFIDENCE = 0.5  # how sure that look has to be,
LOOK_MOVED = 0.05  # and how far it may see a landmark elsewhere, as a share of the crop's side
SHOWN_TWICE = 0.01  # most of a crop that may show eyes, nose or mouth again; more than that looks like two faces
BACKGROUND = (255, 255, 255)  # under transparent parts of a picture


class Settings(NamedTuple):
    """What the faces depend on, besides the photographs.

    Attributes:
        size: S, pixels of a face cut out.
        faces: "all" or "largest" of each photograph.
        align: "eyes" or "none".
        margin: added on each side, as a share of the face.
        confidence: least score, 0 to 1.
        min_face: least pixels, in the photograph, of the longer side of a face's box.
        at_edge: "skip" or "keep" faces so near to an edge that the crop, mirrored there, shows a part of them twice.
    """

    size: int = 256
    faces: str = "all"
    align: str = "eyes"
    margin: float = 0.2
    confidence: float = 0.8
    min_face: int = 80
    at_edge: str = "skip"


class Photo(NamedTuple):
    """One photograph, decoded: number, Pillow image in mode RGB, copy to search uint8 [H, W, 3]; or why it is not."""

    number: int
    image: Image.Image | None
    copy: np.ndarray | None
    reason: str | None = None

    @property
    def pixels(self):
        return self.image.width * self.image.height if self.image else 0


def key_of(source, settings):
    """What a search's outcome depends on, by the names that the user knows.

    Photographs are told apart by name, size and date: reading all of them first would double the reading.
    """
    stamps = source.stamps() or source.digests
    photos = hashlib.sha256("\n".join([*source.names, *stamps]).encode()).hexdigest()
    options = {f"--{name.replace('_', '-')}": value for name, value in settings._asdict().items()}
    return {**options, "photographs": photos, "version": f"{FORMAT}, mtcnn {version('mtcnn')}"}


def search(source, settings, detector, store, check):
    """Finds and cuts out the faces of the photographs that `store` does not have yet.

    Args:
        source: ImageSource of the photographs.
        settings: Settings.
        detector: has `find` as detect.Detector.
        store: Store of this source and these settings.
        check: called after each window of photographs; what it raises ends the search, with everything saved.
    """
    workers = os.cpu_count() or 1
    pool = concurrent.futures.ThreadPoolExecutor(workers)  # Pillow works outside of Python's lock
    try:
        with Progress(len(source), "searched", "photographs", before=store.photos) as progress:
            for window in _windows(_decoded(source, store.photos, copy_scale(settings.min_face), pool, workers)):
                found, cuts, at_edge = _search_window(window, settings, detector, pool)
                images = list(pool.map(lambda task: align.cut(*task, settings.size), cuts))
                unreadable = [(photo.number, photo.reason) for photo in window if photo.reason]
                store.add(len(window), found, images, unreadable, at_edge)
                progress.advance(len(window))
                check()
    finally:
        pool.shutdown(cancel_futures=True)
        store.save()


def _search_window(window, settings, detector, pool):
    """Searches some photographs: (FACE array of the faces wanted, (image, Square) of each, how many are at an edge)."""
    images = {photo.number: photo.image for photo in window if photo.image}
    faces = _first_look([photo for photo in window if photo.image], settings, detector)
    if settings.align == "eyes":
        faces = _second_look(images, faces, detector, pool)
    kept, cuts, at_edge, taken = [], [], 0, set()
    for k, face in enumerate(faces):
        image = images[face["photo"]]
        square = align.square_of(face, settings.align, settings.margin)
        if settings.at_edge == "skip" and align.shown_twice(face, square, *image.size) > SHOWN_TWICE:
            at_edge += 1
        elif settings.faces == "all" or face["photo"] not in taken:  # largest first
            taken.add(face["photo"])
            kept.append(k)
            cuts.append((image, square))
    return faces[kept], cuts, at_edge


def _first_look(photos, settings, detector):
    """FACE array of what is found in the copies, in the photographs' pixels: by photograph, the largest first."""
    selected = [np.empty(0, FACE)]
    for photo, faces in zip(photos, detector.find([photo.copy for photo in photos], settings.confidence), strict=True):
        height, width, _ = photo.copy.shape
        faces = scaled(faces, photo.image.width / width, photo.image.height / height)
        faces["photo"] = photo.number
        selected.append(select(faces, settings.confidence, settings.min_face))
    return np.concatenate(selected)


def _second_look(images, faces, detector, pool):
    """The same faces with the landmarks that the detector sees in a small upright crop of each.

    In portraits turned by up to 30 degrees the eyes' slope then varies by 0.3 degrees from one turn to the other, where
    the first look varies by 1.0. A landmark that moved far is of something else: then the first look stays.
    """
    squares = [align.square_of(face, "eyes", LOOK_MARGIN) for face in faces]
    crops = list(pool.map(lambda k: align.cut(images[faces["photo"][k]], squares[k], LOOK_PIXELS), range(len(faces))))
    faces = faces.copy()
    for face, square, found in zip(faces, squares, detector.find(crops, LOOK_CONFIDENCE), strict=True):
        landmarks = align.to_photo(found["landmarks"].astype(np.float64), square, LOOK_PIXELS)
        moved = np.hypot(*np.moveaxis(landmarks - face["landmarks"], -1, 0)).max(axis=1) / square.side
        if len(moved) and moved.min() <= LOOK_MOVED:
            face["landmarks"] = landmarks[moved.argmin()].round(2)
    return faces


def _windows(photos):
    """Lists of photographs: the same ones wherever a killed search begins again, since windows are stored whole."""
    window = []
    for photo in photos:
        window.append(photo)
        if len(window) == WINDOW or sum(photo.pixels for photo in window) >= WINDOW_PIXELS:
            yield window
            window = []
    if window:
        yield window


def _decoded(source, start, scale, pool, workers):
    """Yields the Photos from number `start` on, in order, decoded ahead in threads: fewer where they are large."""
    waiting, ahead, todo = deque(), 2 * workers, iter(range(start, len(source)))
    while True:
        while len(waiting) < ahead and (i := next(todo, None)) is not None:
            waiting.append(pool.submit(_decode, source, i, scale))
        if not waiting:
            return
        photo = waiting.popleft().result()
        if photo.pixels:
            ahead = min(max(workers, WINDOW_PIXELS // photo.pixels), WINDOW)
        yield photo


def _decode(source, i, scale):
    try:
        image = to_rgb(open_image(source.read(i)), BACKGROUND)
    except UnreadableImage as error:
        return Photo(i, None, None, str(error))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return Photo(i, image, np.asarray(image.resize(size, Image.Resampling.BOX)))
