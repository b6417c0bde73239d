"""Random weights in the form of the official weight files of Inception and LPIPS."""

import hashlib

import numpy as np

from gan_tf.pretrained import lpips
from gan_tf.pretrained.downloads import pretrained_folder
from gan_tf.pretrained.inception import Inception
from tests.parity.inception import random_weights
from tests.parity.lpips import made_weights
from tests.pretrained.torch_format import whole, write_legacy, write_zip


def inception_arrays():
    """{official name: float32 array}: random weights that keep the scale of activations from layer to layer."""
    return random_weights(Inception().official_shapes, "")


def made_heads():
    """{official name: array}, not negative, as the published ones are."""
    random = np.random.default_rng(0)
    return {name: random.uniform(size=shape).astype(np.float32) for name, shape in lpips.head_shapes().items()}


def put_weights(monkeypatch, vgg=None, heads=None):
    """Puts both files of LPIPS into the cache and makes their checksums the expected ones. Returns the folder."""
    folder = pretrained_folder()
    folder.mkdir(parents=True)
    classifier = {"classifier.0.weight": np.zeros((100, 25088), np.float32)}
    arrays = {**(vgg or made_weights()), **classifier}
    write_zip(folder / lpips.VGG16.name, {name: whole(value) for name, value in arrays.items()})
    write_legacy(folder / lpips.HEADS.name, {name: whole(value) for name, value in (heads or made_heads()).items()})
    for name in ("VGG16", "HEADS"):
        download = getattr(lpips, name)
        digest = hashlib.sha256((folder / download.name).read_bytes()).hexdigest()
        monkeypatch.setattr(lpips, name, download._replace(sha256=digest[:8], url="http://127.0.0.1:9/x"))
    return folder
