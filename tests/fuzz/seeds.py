"""Small valid files for each reader, which the fuzzer changes."""

import functools
import io
import zipfile
from collections import OrderedDict

import numpy as np
from PIL import Image, ImageDraw

from gan_tf.config.settings import TrainConfig, stored_settings
from gan_tf.models import fastgan, pggan
from gan_tf.runs.files import META_KEY
from gan_tf.runs.folder import FORMAT
from tests.convert import file_writers
from tests.convert.states import PGGAN, built, pggan_networks
from tests.data.encoded import encode
from tests.parity.state_dicts import state_dict
from tests.pretrained.torch_format import Storage, tensor, whole, write_legacy, write_zip

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), np.uint8)
META = '{"score": {"name": "swd2k", "value": 2.5, "lower_is_better": true}, "images_seen": 40}'


@functools.cache
def settings():
    """Content of config.json, of two families."""
    data = {"fingerprint": "f" * 64, "images": 12, "class_names": ["cat", "dog"]}
    configs = (TrainConfig(dataset="panda"), TrainConfig(model="pggan", resolution=64, phase_lr="64:0.001", limit=5))
    return [{"format": FORMAT, "settings": stored_settings(config), "data": data} for config in configs]


@functools.cache
def records():
    """Lines of stats.jsonl."""
    epoch = {"images_seen": 16, "kind": "epoch", "metric": "swd2k", "score": 2.0, "parts": {"a": 1.0}, "copies": 0.1}
    change = {"images_seen": 16, "kind": "change", "changes": ["--keep: 1 -> 2"]}
    return [{"images_seen": 8, "kind": "train", "loss/g": 1.0}, epoch, change]


def members_of(file):
    """[(name, content)] of a zip archive."""
    with zipfile.ZipFile(file) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def _npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return members_of(file)


@functools.cache
def weights():
    """Members of best/generator.npz."""
    return _npz(**{META_KEY: np.array(META), "a/kernel": np.ones((2, 3), np.float32), "b": np.float32(1)})


@functools.cache
def image_sets():
    """Members of .npz files of images."""
    named = {"labels": np.array([1, 0, 1]), "class_names": np.array(["x", "y"]), "names": np.array(["a", "b", "c"])}
    return [_npz(images=PIXELS), _npz(images=PIXELS, **named), _npz(other=PIXELS[..., 0], y=np.array([[7], [3], [7]]))]


@functools.cache
def torch_files(folder):
    """(members of a zip of torch.save, a file in the legacy format) of a state dict and of a checkpoint of FastGAN."""
    shared = Storage(np.arange(12, dtype=np.float32))
    bits = Storage(np.arange(4, dtype=np.uint16), "BFloat16Storage")
    state = OrderedDict(
        a=tensor(shared, 0, (3, 4), (4, 1)),
        b=tensor(shared, 1, (3,), (4,)),
        c=whole(np.arange(3)),
        d=tensor(bits, 0, (2, 2), (2, 1)),
    )
    g = state_dict(built(fastgan.FastGanGenerator, {"resolution": 256, "ngf": 4, "latent_size": 2}))
    moments = {"state": {0: {"step": 1.0, "exp_avg": whole(PIXELS[0, 0])}}, "param_groups": [{"betas": (0.5, 0.9)}]}
    checkpoint = {"g": file_writers.tensors(g), "opt_g": moments}
    path = folder / "seed.pth"
    return [
        (members_of(write_zip(path, content)), write_legacy(path, content).read_bytes())
        for content in (state, checkpoint)
    ]


@functools.cache
def networks(folder):
    """Pickles of networks: (G, D, Gs) of Progressive GAN, and modules of PyTorch."""
    g = state_dict(built(pggan.PgganGenerator, PGGAN | {"latent_size": 6}))
    d = state_dict(built(pggan.PgganDiscriminator, PGGAN))
    parts = pggan_networks((g, d, {name: value.copy() for name, value in g.items()}))
    weight, up = file_writers.parameter(PIXELS[0, 0]), file_writers.buffer(PIXELS[1])
    layer = file_writers.Module("Layer", {"weight": weight}, {"up": up})
    arguments = {"z_dim": np.int64(3), "s": file_writers.EasyDict(a=1)}
    module = file_writers.Module("Generator", {"bias": None}, {}, {"b4": layer}, **arguments)
    path = folder / "seed.pkl"
    return [
        file_writers.write_tensorflow(path, parts).read_bytes(),
        file_writers.write_pytorch(path, {"G_ema": module, "D": module, "augment_pipe": None}).read_bytes(),
    ]


@functools.cache
def images():
    """Encoded images of every format and of several modes."""
    image = Image.new("RGB", (24, 17), "orange")
    ImageDraw.Draw(image).ellipse((3, 2, 20, 14), "navy")
    exif = Image.Exif()
    exif[0x0112] = 6
    forms = [("PNG", mode, {}) for mode in ("RGB", "RGBA", "L", "P", "1")]
    forms += [("JPEG", mode, {"exif": exif}) for mode in ("RGB", "CMYK")] + [("WEBP", "RGBA", {"exif": exif})]
    forms += [("BMP", "P", {}), ("GIF", "P", {}), ("TIFF", "RGBA", {"compression": "tiff_lzw"}), ("TIFF", "F", {})]
    return [encode(image.convert(mode), form, **more) for form, mode, more in forms]


@functools.cache
def files():
    """{name: content} of a zip or tar of images."""
    a, b = images()[:2]
    return {"x/a.png": a, "x/b.png": b, "y/c.png": a, "y/readme.txt": b"hello"}
