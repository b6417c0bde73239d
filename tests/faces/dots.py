"""Photographs whose faces are five coloured dots, and a detector for them: known answers for the geometry."""

import numpy as np
from PIL import Image

from gan_tf.faces.results import FACE, PartialResult
from gan_tf.faces.search import search, search_key

COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)], np.uint8)
# Landmarks of a frontal face relative to the middle between the eyes, in units of the distance of the eyes.
LANDMARKS = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, 0.55), (-0.4, 1.0), (0.4, 1.0)])
BOX = np.array([(-1.0, -1.0), (1.0, 1.75)])  # like MTCNN's boxes: 2 wide, 2.75 high


def landmarks_of(x, y, eyes, degrees=0.0):
    """Returns the positions [5, 2] of a face's dots; (x, y) is between its eyes, which are `eyes` pixels apart."""
    angle = np.radians(degrees)
    matrix = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    return LANDMARKS * eyes @ matrix + (x, y)


def photo(size, faces, grey=40):
    """Returns a Pillow image of `size` (width, height) with dots; `faces` are arguments of `landmarks_of`."""
    ys, xs = np.mgrid[: size[1], : size[0]] + 0.5
    pixels = np.full((size[1], size[0], 3), float(grey))
    for face in faces:
        for colour, (x, y) in zip(COLOURS, landmarks_of(*face), strict=True):
            cover = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * (face[2] / 12) ** 2))[..., None]
            pixels = pixels * (1 - cover) + colour * cover
    return Image.fromarray(pixels.round().astype(np.uint8))


def find_dots(pixels, grey=40):
    """Returns the centres of mass [5, 2] of the dots of one face in uint8 [H, W, 3]; None if a colour is missing."""
    ys, xs = np.mgrid[: pixels.shape[0], : pixels.shape[1]] + 0.5
    centres = []
    for colour in COLOURS:
        full = colour == 255  # each channel of a colour is 255 or 0; the weight is that of the least saturated channel
        excess = np.where(full, pixels - float(grey), grey - pixels.astype(float)) / np.where(full, 255 - grey, grey)
        weight = np.clip(excess.min(axis=2) - 0.2, 0, None)
        if not weight.any():
            return None
        centres.append(((weight * xs).sum() / weight.sum(), (weight * ys).sum() / weight.sum()))
    return np.array(centres)


class DotDetector:
    """Replaces search.Detector: finds one face of dots per image, with a score of 0.99.

    Attributes:
        searched: shapes of the images searched.
        scores: scores to return instead of 0.99, one per image.
    """

    def __init__(self, scores=()):
        self.searched = []
        self.scores = list(scores)

    def find(self, images, confidence):
        results = []
        for image in images:
            self.searched.append(image.shape)
            landmarks = find_dots(image)
            faces = np.zeros(int(landmarks is not None), FACE)
            if len(faces):
                eyes = np.hypot(*(landmarks[1] - landmarks[0]))
                faces["landmarks"] = landmarks
                faces["box"] = (BOX * eyes + landmarks[:2].mean(0)).reshape(4)
                faces["score"] = self.scores.pop(0) if self.scores else 0.99
            results.append(faces)
        return results


def run_search(source, out, settings, detector):
    """Returns the PartialResult of a search."""
    partial = PartialResult(out, search_key(source, settings))
    search(source, settings, detector, partial, lambda: None)
    partial.close()
    return partial
