"""Makes zips that stand for the few-shot archives."""

import io
import zipfile

import numpy as np
from PIL import Image


def png(seed, side=16):
    """Encoded noise."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_zip(path, count, folder="", seed=0, extra=()):
    """A zip of `count` pictures below `folder`, and `extra` entries [(name, bytes)]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            archive.writestr(f"{folder}{i}.png", png(seed + i))
        for name, data in extra:
            archive.writestr(name, data)
    return path
