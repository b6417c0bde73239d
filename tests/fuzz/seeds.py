"""Small valid files for each reader, which the fuzzer changes."""

import functools
import io
import pickletools
import zipfile
from collections import OrderedDict, deque

import numpy as np
from PIL import Image, ImageDraw

from gan_tf.config.settings import TrainConfig, stored_settings
from gan_tf.convert.state_dicts import state_dict
from gan_tf.models import pggan
from gan_tf.runs.folder import FORMAT, META_KEY
from tests.convert import file_writers, official_fastgan
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


def _npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    with zipfile.ZipFile(file) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


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
    """Members of a zip of torch.save; a file in the legacy format in three parts: before, in and after its dict."""
    shared = Storage(np.arange(12, dtype=np.float32))
    bits = Storage(np.arange(4, dtype=np.uint16), "BFloat16Storage")
    state = OrderedDict(
        a=tensor(shared, 0, (3, 4), (4, 1)),
        b=tensor(shared, 1, (3,), (4,)),
        c=whole(np.arange(3)),
        d=tensor(bits, 0, (2, 2), (2, 1)),
    )
    with zipfile.ZipFile(write_zip(folder / "seed.pth", state)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    return members, _in_three(write_legacy(folder / "seed-old.pth", state).read_bytes())


@functools.cache
def checkpoints(folder):
    """As `torch_files`, for a checkpoint of FastGAN: a small generator, its averages, and an optimiser."""
    g = official_fastgan.shapes_of_generator(256, ngf=2, latent_size=2)
    state = {name: np.full(shape, 0.5, np.float32) for name, shape in g.items()}
    averages = [whole(value) for name, value in state.items() if name.endswith(("weight_orig", ".weight", ".bias"))]
    moments = {"state": {0: {"step": 1.0, "exp_avg": whole(PIXELS[0, 0])}}, "param_groups": [{"betas": (0.5, 0.9)}]}
    content = {"g": file_writers.tensors(state), "g_ema": averages, "opt_g": moments}
    with zipfile.ZipFile(write_zip(folder / "seed-all.pth", content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    return members, _in_three(write_legacy(folder / "seed-all-old.pth", content).read_bytes())


@functools.cache
def networks(folder):
    """Pickles of networks: (G, D, Gs) of Progressive GAN, nested networks, modules of PyTorch."""
    sizes = {"resolution": 8, "fmap_base": 16, "fmap_max": 4}
    states = {"G_paper": pggan.PgganGenerator(**sizes, latent_size=3), "D_paper": pggan.PgganDiscriminator(**sizes)}
    for name, network in states.items():
        network.build()
        states[name] = {**state_dict(network), "lod": np.float32(0)}
    arguments = {"num_channels": 3, **sizes}
    parts = [file_writers.TfNetwork(name, states[name], arguments) for name in ("G_paper", "D_paper")]
    parts.append(
        file_writers.TfNetwork("G_paper", {name: v.copy() for name, v in states["G_paper"].items()}, arguments)
    )
    arguments = {**arguments, "resample": [1, 3.0, None]}
    inner = file_writers.TfNetwork("G_mapping", {"Dense0/weight": np.ones((2, 3), ">f4")}, arguments, {})
    outer = file_writers.TfNetwork("G_main", {"lod": np.float32(1)}, arguments, {"mapping": inner})
    layer = file_writers.Module(
        "Layer", {"weight": file_writers.Parameter(PIXELS[0, 0])}, {"up": file_writers.Tensor(PIXELS[1])}
    )
    module = file_writers.Module(
        "Generator", {"bias": None}, {}, {"b4": layer}, z_dim=np.int64(3), s=file_writers.EasyDict(a=1)
    )
    path = folder / "seed.pkl"
    return [
        file_writers.write_tensorflow(path, tuple(parts)).read_bytes(),
        file_writers.write_tensorflow(path, tuple(parts), protocol=3).read_bytes(),
        file_writers.write_tensorflow(path, outer, "dnnlib.tflib.network").read_bytes(),
        file_writers.write_pytorch(path, {"G_ema": module, "D": module, "augment_pipe": None}).read_bytes(),
    ]


def _in_three(content):
    """Splits a file in the legacy format into the parts before, in and after its dict."""
    stream = io.BytesIO(content)
    ends = [deque(pickletools.genops(stream), 1) and stream.tell() for _ in range(4)]  # magic, protocol, system, dict
    return content[: ends[2]], content[ends[2] : ends[3]], content[ends[3] :]


@functools.cache
def images():
    """Encoded images of every format and of most modes: [(format, bytes)]."""
    image = Image.new("RGB", (24, 17), "orange")
    ImageDraw.Draw(image).ellipse((3, 2, 20, 14), "navy")
    exif = Image.Exif()
    exif[0x0112] = 6
    forms = [
        *(("PNG", mode, {}) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")),
        *(("JPEG", mode, {"exif": exif}) for mode in ("RGB", "L", "CMYK")),
        ("JPEG", "RGB", {"progressive": True}),
        *(("WEBP", mode, {"exif": exif}) for mode in ("RGB", "RGBA")),
        *(("BMP", mode, {}) for mode in ("RGB", "P", "1")),
        *(("GIF", mode, {}) for mode in ("P", "L")),
        *(("TIFF", mode, {"compression": packing}) for mode, packing in (("RGB", None), ("RGBA", "tiff_lzw"))),
        *(("TIFF", mode, {"compression": packing}) for mode, packing in (("F", None), ("CMYK", "tiff_adobe_deflate"))),
        ("TIFF", "1", {"compression": "group4"}),
    ]
    return [
        (form, _encoded(image.convert("L") if mode == "I;16" else image, mode, form, more))
        for form, mode, more in forms
    ]


def _encoded(image, mode, form, more):
    file = io.BytesIO()
    animated = {"save_all": True, "append_images": [image.rotate(90)]} if form in ("GIF", "WEBP") else {}
    image.convert(mode).save(file, form, **more, **animated)
    return file.getvalue()


@functools.cache
def files():
    """Members of a zip or tar of images."""
    encoded = [content for _, content in images()[:2]]
    return [("x/a.png", encoded[0]), ("x/b.png", encoded[1]), ("y/c.png", encoded[0]), ("y/readme.txt", b"hello")]
