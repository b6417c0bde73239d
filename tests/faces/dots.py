"""Photographs whose faces are five coloured dots, and a detector that finds those: known answers for the geometry."""

import numpy as np
from PIL import Image

from gan_tf.faces.detect import FACE

COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)], np.uint8)
# Landmarks of a face seen from the front, in units of its eyes' distance around the middle between the eyes.
PLACES = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, 0.55), (-0.4, 1.0), (0.4, 1.0)])
BOX = np.array([(-1.0, -1.0), (1.0, 1.75)])  # as MTCNN's boxes stand: 2 wide, 2.75 high


def landmarks_of(x, y, eyes, degrees=0.0):
    """[5, 2]: where the dots of a face stand; (x, y) is between its eyes, which are `eyes` pixels apart."""
    turn = np.radians(degrees)
    matrix = np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])
    return PLACES * eyes @ matrix + (x, y)


def photo(size, faces, grey=40):
    """A photograph with dots at the landmarks of some faces, as Pillow image.

    Args:
        size: (width, height).
        faces: arguments of `landmarks_of`.
    """
    ys, xs = np.mgrid[: size[1], : size[0]] + 0.5
    pixels = np.full((size[1], size[0], 3), float(grey))
    for face in faces:
        for colour, (x, y) in zip(COLOURS, landmarks_of(*face), strict=True):
            cover = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * (face[2] / 12) ** 2))[..., None]
            pixels = pixels * (1 - cover) + colour * cover
    return Image.fromarray(pixels.round().astype(np.uint8))


def find_dots(pixels, grey=40):
    """[5, 2]: centres of mass of the five colours in uint8 [H, W, 3] with one face; (0.5, 0.5) is the first pixel's.

    None where a colour is missing.
    """
    ys, xs = np.mgrid[: pixels.shape[0], : pixels.shape[1]] + 0.5
    places = []
    for colour in COLOURS:
        full = (
            colour == 255
        )  # every colour's channels are full or empty; how far is the least of them on its way there?
        excess = np.where(full, pixels - float(grey), grey - pixels.astype(float)) / np.where(full, 255 - grey, grey)
        weight = np.clip(excess.min(axis=2) - 0.2, 0, None)
        if not weight.any():
            return None
        places.append(((weight * xs).sum() / weight.sum(), (weight * ys).sum() / weight.sum()))
    return np.array(places)


class DotDetector:
    """Stands in for detect.Detector: finds one face of dots in a picture, with the score 0.99.

    Attributes:
        searched: shapes of the pictures seen.
        scores: scores to give in place of 0.99, one for each picture in turn.
    """

    def __init__(self, scores=()):
        self.searched = []
        self.scores = list(scores)

    def find(self, pictures, confidence):
        found = []
        for picture in pictures:
            self.searched.append(picture.shape)
            landmarks = find_dots(picture)
            faces = np.zeros(int(landmarks is not None), FACE)
            if len(faces):
                eyes = np.hypot(*(landmarks[1] - landmarks[0]))
                faces["landmarks"] = landmarks
                faces["box"] = (BOX * eyes + landmarks[:2].mean(0)).reshape(4)
                faces["score"] = self.scores.pop(0) if self.scores else 0.99
            found.append(faces)
        return found
