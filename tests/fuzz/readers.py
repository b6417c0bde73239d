"""Readers of untrusted files, with small valid files, and functions that make an input of them and read it."""

import functools
import io
import json
import pickletools
import zipfile
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageCms, ImageDraw

from gan_tf.config.settings import TrainConfig, changed, stored_settings
from gan_tf.convert import read_weight_file
from gan_tf.data.class_labels import ClassLabels
from gan_tf.data.images import UnreadableImage, load_image
from gan_tf.data.label_file import parse_label_file
from gan_tf.data.sources import open_source
from gan_tf.models import fastgan, pggan
from gan_tf.pretrained.torch_files import read_torch_file
from gan_tf.report import report_html
from gan_tf.runs.files import META_KEY
from gan_tf.runs.folder import FORMAT, Run
from gan_tf.sampling.latents_file import checked_images, read_latents_file
from gan_tf_datasets.faces.files import TarSource
from tests.convert import file_writers
from tests.convert.states import PGGAN, built, pggan_networks
from tests.data.encoded import encode, tar_bytes
from tests.fuzz.mutate import bytes_of, json_of, npy_of, pickle_of, tar_of, zip_of
from tests.parity.state_dicts import state_dict
from tests.pretrained.torch_format import Storage, tensor, whole, write_legacy, write_zip

SIZE = 16  # pixels of the decoded images

# Small valid files


def members_of(file):
    """[(name, content)] of a zip archive."""
    with zipfile.ZipFile(file) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def npz(**arrays):
    """Members of an .npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return members_of(file)


def encoded_images():
    """Encoded images of every format and of several modes."""
    image = Image.new("RGB", (24, 17), "orange")
    ImageDraw.Draw(image).ellipse((3, 2, 20, 14), "navy")
    exif = Image.Exif()
    exif[0x0112] = 6
    forms = [("PNG", mode, {}) for mode in ("RGB", "RGBA", "L", "P", "1")]
    forms += [("JPEG", mode, {"exif": exif}) for mode in ("RGB", "CMYK")] + [("WEBP", "RGBA", {"exif": exif})]
    forms += [("BMP", "P", {}), ("GIF", "P", {}), ("TIFF", "RGBA", {"compression": "tiff_lzw"}), ("TIFF", "F", {})]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    forms += [("AVIF", "RGB", {}), ("TIFF", "RGB", {"icc_profile": profile}), ("JPEG", "L", {"icc_profile": profile})]
    return [encode(image.convert(mode), form, **more) for form, mode, more in forms]


# Contents of config.json, of two families.
CONFIGS = (TrainConfig(dataset="panda"), TrainConfig(model="pggan", resolution=64, phase_lr="64:0.001", limit=5))
DATA = {"fingerprint": "f" * 64, "images": 12, "class_names": ["cat", "dog"]}
SETTINGS = [{"format": FORMAT, "settings": stored_settings(config), "data": DATA} for config in CONFIGS]
CONTENTS = {"names": ["a.png", "b.png"], "digests": ["0" * 16, ""]}
# Lines of stats.jsonl.
RECORDS = [
    {"images_seen": 8, "kind": "train", "loss/g": 1.0},
    {"images_seen": 16, "kind": "epoch", "metric": "swd2k", "score": 2.0, "parts": {"a": 1.0}, "copies": 0.1},
    {"images_seen": 16, "kind": "change", "changes": ["--keep: 1 -> 2"]},
]
# Members of best/generator.npz.
META = '{"score": {"name": "swd2k", "value": 2.5, "lower_is_better": true}, "images_seen": 40}'
WEIGHTS = npz(**{META_KEY: np.array(META), "a/kernel": np.ones((2, 3), np.float32), "b": np.float32(1)})
# Members of .npz files of images.
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), np.uint8)
NAMED = {"labels": np.array([1, 0, 1]), "class_names": np.array(["x", "y"]), "names": np.array(["a", "b", "c"])}
IMAGE_SETS = [npz(images=PIXELS), npz(images=PIXELS, **NAMED), npz(other=PIXELS[..., 0], y=np.array([[7], [3], [7]]))]
# Encoded images, and the files of a zip or tar of images.
IMAGES = encoded_images()
FILES = {"x/a.png": IMAGES[0], "x/b.png": IMAGES[1], "y/c.png": IMAGES[0], "y/readme.txt": b"hello"}
LABELS = {"labels": [["x/a.png", 1], ["x\\b.png", 0], ["y/c.png", 1]], "class_names": ["u", "v"]}
FILES["dataset.json"] = json.dumps(LABELS).encode()

# A file of the web app, and a stand-in for its generator.
SOURCES = [{"latent": [0.5, -1, 2], "noise_seed": "7", "class": name} for name in ("cat", "dog")]
LATENTS = {"format": "gan_tf latents", "version": 1, "model": {"name": "a", "family": "stylegan2", "weights": "0"}}
LATENTS["other"] = {"page": 2, "shown": [1, 2]}  # entries that the reader ignores
LATENTS["images"] = [{"seed": "7", **source, "truncation": 0.5, "style": None} for source in SOURCES]
LATENTS["images"][0]["style"] = {**SOURCES[1], "layers": [0, 5]}
STYLED = SimpleNamespace(latent_size=3, mapping=SimpleNamespace(copies=6))
CLASSES = ClassLabels(("cat", "dog"), (1, 2))


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


# Inputs and readers


def written(name, make):
    """Returns a function that writes `make(random)` to the file of this name."""

    def write(random, folder):
        (folder / name).write_bytes(make(random))
        return folder / name

    return write


def make_run(random, folder):
    """A run folder with a changed config.json, environment.json or stats.jsonl."""
    config = random.choice(SETTINGS)
    name = random.choice(("config.json", "config.json", "config.json", "environment.json", "stats.jsonl"))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "images.json").write_bytes(json_of(random, CONTENTS))
    (folder / "environment.json").write_text('{"gan_tf": "0.1.0", "command": ["--dataset", "panda"]}')
    lines = b"\n".join(json_of(random, line) for line in RECORDS) + b"\n"
    (folder / name).write_bytes(lines if name == "stats.jsonl" else json_of(random, config))
    return folder


def read_run(folder):
    """Reads all text files of a run folder; the report shows the readable parts of damaged ones."""
    run = Run(folder)
    html = report_html(run)
    assert "<script" not in html and html.encode()
    run.trained_images()
    run.cut(12)
    run.read_environment()
    assert run.describe_changes(
        2, SimpleNamespace(images=[], report=SimpleNamespace(unreadable={}), contents=[("a.png", "1" * 64)])
    ).isprintable()
    config, data = run.read_settings()
    assert config.total_images > 0 and config.epoch_length(data["images"]) > 0 and config.run_name
    assert config.batch_sizes and config.learning_rates
    assert not changed(config, config, "identity") and json.dumps([stored_settings(config), data]).encode()


def make_weights(random, folder):
    """A run folder with changed best weights."""
    path = Run(folder).best
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(zip_of(random, WEIGHTS, npy_of, (zipfile.ZIP_STORED,)))
    return folder


def read_weights(folder):
    """Reads weights and their metadata."""
    Run(folder).best_meta()
    weights, meta = Run(folder).best_weights()
    assert sum(array.nbytes for array in weights.values()) <= Run(folder).best.stat().st_size
    assert type(meta["images_seen"]) is int


def read_set(path):
    """Opens a dataset and decodes its first images."""
    source = TarSource(path) if path.suffix == ".tar" else open_source(path)
    source.read_label_file()
    assert len(source) == len(source.names) == len(source.labels)
    assert "\n" not in "".join((*source.names, *source.class_names))
    "".join((*source.names, *source.class_names, *source.ignored)).encode()
    for i in range(min(len(source), 4)):
        try:
            load_image(source.read(i), (SIZE, SIZE), "crop", (255, 255, 255))
        except UnreadableImage as error:
            check_refusal(error)


def make_torch(random, folder):
    """A state dict in a file of torch.save."""
    path = folder / "weights.pth"
    path.write_bytes(torch_file(random, torch_files(folder.parent)[0]))
    return path


def torch_file(random, seed):
    """A file of torch.save, in either format, with a changed pickle or changed bytes."""
    members, legacy = seed
    if random.random() < 0.6:
        return zip_of(random, members, change_member, (zipfile.ZIP_STORED,))
    stream, ends = io.BytesIO(legacy), []
    for _ in range(4):  # magic number, protocol, system, content
        list(pickletools.genops(stream))
        ends.append(stream.tell())
    begin, end = ends[2:]
    return legacy[:begin] + pickle_of(random, legacy[begin:end]) + legacy[end:]


def change_member(random, content):
    """A changed member of a zip of torch.save; a pickle is changed by instructions."""
    return pickle_of(random, content) if content.startswith(b"\x80") else bytes_of(random, content or b"\0")


def make_official(random, folder):
    """A checkpoint of FastGAN, or a pickle of NVIDIA's networks."""
    path = folder / "weights"
    if random.random() < 0.5:
        path.write_bytes(torch_file(random, torch_files(folder.parent)[1]))
    else:
        path.write_bytes(pickle_of(random, random.choice(networks(folder.parent))))
    return path


def read_converted(path):
    """Reads a file as `gan-tf convert` does, without building networks. bfloat16 takes twice its size."""
    weights = read_weight_file(path)
    arrays = [array for state in weights.states.values() for array in state.values()]
    assert sum(array.nbytes for array in arrays if 0 not in array.strides) <= 64 * path.stat().st_size
    assert weights.settings["resolution"] <= 1024
    for array in arrays:
        array.sum()


def read_labels(path):
    """Reads a label file."""
    if found := parse_label_file(path.read_bytes(), [name for name in FILES if name.endswith(".png")], path):
        assert len(found[0]) == 3 and max(found[0]) < len(found[1]) and "".join(found[1]).isprintable()


def read_latents(path):
    """Reads a file of latents, and checks it against a generator."""
    trained = SimpleNamespace(config=SimpleNamespace(model="stylegan2", up_blocks="alternating"), classes=CLASSES)
    images = checked_images(read_latents_file(path), trained, STYLED, "run")
    for latents, seeds, labels in (images.content, images.style):
        assert np.isfinite(latents).all() and min(seeds) >= 0 and set(labels) <= {0, 1}
    assert np.isfinite(images.truncation).all() and images.replaced.shape == (len(latents), 6)
    assert "".join(images.descriptions).isprintable()


def read_image(path):
    """Decodes an image, with each way to make it square."""
    for fit in ("crop", "pad", "stretch"):
        pixels, _ = load_image(path.read_bytes(), (SIZE, SIZE), fit, (255, 255, 255))
        assert pixels.shape == (SIZE, SIZE, 3)


def check_refusal(error, path=None):
    """Asserts that an error is one printable line, which names the path of the input."""
    text = str(error)
    assert text and text.isprintable(), f"no clean line: {text!r:.300}"
    assert path is None or isinstance(error, UnreadableImage) or str(path) in text, f"without the path: {text}"


# {name: (make, read)}: `make(random.Random, folder)` returns the path of an input in the folder; `read(path)` may raise
# the errors of the reader.
READERS = {
    "config": (make_run, read_run),
    "weights": (make_weights, read_weights),
    "npz": (written("set.npz", lambda r: zip_of(r, r.choice(IMAGE_SETS), npy_of)), read_set),
    "zip": (written("set.zip", lambda r: zip_of(r, FILES.items(), bytes_of)), read_set),
    "labels": (written("dataset.json", lambda r: json_of(r, LABELS)), read_labels),
    "latents": (written("saved.json", lambda r: json_of(r, LATENTS)), read_latents),
    "tar": (written("set.tar", lambda r: tar_of(r, tar_bytes(FILES))), read_set),
    "torch": (make_torch, read_torch_file),
    "convert": (make_official, read_converted),
    "image": (written("image", lambda r: bytes_of(r, r.choice(IMAGES), range(64))), read_image),
}
