"""Readers of untrusted files, with functions that make an input and read it."""

import dataclasses
import json
from collections.abc import Callable

from gan_tf.config.settings import changed, stored_settings
from gan_tf.convert.reading import read_weight_file
from gan_tf.data.images import UnreadableImage, load_square
from gan_tf.data.sources import open_source
from gan_tf.pretrained.network_pickles import read_network_pickle
from gan_tf.pretrained.torch_files import read_state_dict, read_torch_file
from gan_tf.report import report_html
from gan_tf.runs.folder import Run
from gan_tf_datasets.faces.files import TarSource
from tests.fuzz import seeds
from tests.fuzz.archives import PACKINGS, npy_of, png_of, tar_of, zip_of
from tests.fuzz.mutate import bytes_of, json_of
from tests.fuzz.pickles import pickle_of

SIZE = 16  # pixels of the decoded images


@dataclasses.dataclass(frozen=True)
class Reader:
    """One reader.

    make: (random.Random, folder) -> path of an input in the folder.
    read: path -> None; raises the errors of the reader.
    """

    make: Callable
    read: Callable


def make_run(random, folder):
    """A run folder with a changed config.json, environment.json or stats.jsonl."""
    config = random.choice(seeds.settings())
    name = random.choice(("config.json", "config.json", "config.json", "environment.json", "stats.jsonl"))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "environment.json").write_text('{"gan_tf": "0.1.0", "command": ["--dataset", "panda"]}')
    lines = b"\n".join(json_of(random, line) for line in seeds.records()) + b"\n"
    changed_file = lines if name == "stats.jsonl" else json_of(random, config)
    (folder / name).write_bytes(changed_file)
    return folder


def read_run(folder):
    """Reads all text files of a run folder; the report shows the readable parts of damaged ones."""
    run = Run(folder)
    html = report_html(run)
    assert "<script" not in html and html.encode()
    run.trained_images()
    run.cut(12)
    run.read_environment()
    config, data = run.read_settings()
    assert config.total_images > 0 and config.epoch_length(data["images"]) > 0 and config.run_name
    assert config.phase_batches and config.phase_lrs
    assert not changed(config, config, "identity") and json.dumps([stored_settings(config), data]).encode()


def make_weights(random, folder):
    """A run folder with changed best weights."""
    path = Run(folder).best
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(zip_of(random, seeds.weights(), npy_of, PACKINGS[:1]))
    return folder


def read_weights(folder):
    """Reads weights and their metadata."""
    Run(folder).best_meta()
    weights, meta = Run(folder).best_weights()
    assert sum(array.nbytes for array in weights.values()) <= Run(folder).best.stat().st_size
    assert type(meta["images_seen"]) is int


def make_npz(random, folder):
    """An .npz of images."""
    path = folder / "set.npz"
    path.write_bytes(zip_of(random, random.choice(seeds.image_sets()), npy_of))
    return path


def make_zip(random, folder):
    """A zip of images."""
    path = folder / "set.zip"
    path.write_bytes(zip_of(random, seeds.files(), bytes_of))
    return path


def make_tar(random, folder):
    """A tar of images."""
    path = folder / "set.tar"
    path.write_bytes(tar_of(random, seeds.files()))
    return path


def read_set(path):
    """Opens a data set and decodes its first images."""
    source = TarSource(path) if path.suffix == ".tar" else open_source(path)
    assert len(source) == len(source.names) == len(source.labels)
    assert "\n" not in "".join((*source.names, *source.class_names))
    "".join((*source.names, *source.class_names, *source.ignored)).encode()
    for i in range(min(len(source), 4)):
        try:
            load_square(source.read(i), SIZE, "crop", (255, 255, 255))
        except UnreadableImage as error:
            check_refusal(error)


def make_torch(random, folder):
    """A file of torch.save, in either format."""
    members, legacy = seeds.torch_files(folder.parent)
    path = folder / "weights.pth"
    if random.random() < 0.3:
        head, state, rest = legacy
        program = head + pickle_of(random, state) + rest
        path.write_bytes(program if random.random() < 0.7 else bytes_of(random, head + state + rest))
        return path
    path.write_bytes(zip_of(random, members, change_torch, PACKINGS[:1]))
    return path


def make_checkpoint(random, folder):
    """A checkpoint of FastGAN-pytorch, in either format."""
    members, legacy = seeds.checkpoints(folder.parent)
    path = folder / "all.pth"
    if random.random() < 0.4:
        head, state, rest = legacy
        path.write_bytes(head + pickle_of(random, state) + rest)
    else:
        path.write_bytes(zip_of(random, members, change_torch, PACKINGS[:1]))
    return path


def make_networks(random, folder):
    """A pickle of NVIDIA's networks, in either form."""
    path = folder / "network.pkl"
    content = random.choice(seeds.networks(folder.parent))
    path.write_bytes(pickle_of(random, content) if random.random() < 0.85 else bytes_of(random, content))
    return path


def make_official(random, folder):
    """A checkpoint of FastGAN, or a pickle of NVIDIA's networks."""
    return random.choice((make_checkpoint, make_networks))(random, folder)


def check_arrays(arrays, path):
    """Asserts that arrays can be read, and are no copies that exceed the file: bfloat16 takes twice its size."""
    assert sum(array.nbytes for array in arrays if 0 not in array.strides) <= 64 * path.stat().st_size
    for array in arrays:
        if array.size <= path.stat().st_size:
            array.sum()


def read_networks(path):
    """Reads all networks; their arguments can be written as JSON."""
    found, others = read_network_pickle(path)
    check_arrays([array for network in found.values() for array in network.arrays.values()], path)
    json.dumps([[network.name, network.arguments] for network in found.values()] + others)


def read_converted(path):
    """Reads a file as `gan-tf convert` does, without building networks."""
    weights = read_weight_file(path)
    check_arrays([array for state in weights.states.values() for array in state.values()], path)
    assert weights.settings["resolution"] <= 1024


def change_torch(random, content):
    """A changed member of a zip of torch.save; a pickle is changed by instructions."""
    return pickle_of(random, content) if content.startswith(b"\x80") else bytes_of(random, content or b"\0")


def make_image(random, folder):
    """An encoded image."""
    form, content = random.choice(seeds.images())
    changed_content = png_of(random, content) if form == "PNG" and random.random() < 0.8 else None
    path = folder / "image"
    path.write_bytes(changed_content or bytes_of(random, content, range(0, min(64, len(content)))))
    return path


def read_image(path):
    """Decodes an image, with each way to make it square."""
    for fit in ("crop", "pad", "stretch"):
        pixels, _ = load_square(path.read_bytes(), SIZE, fit, (255, 255, 255))
        assert pixels.shape == (SIZE, SIZE, 3)


def check_refusal(error, path=None):
    """Asserts that an error is one short printable line, which names the path of the input."""
    text = str(error)
    assert text and text.isprintable() and len(text) < 1500, f"no clean line: {text!r:.300}"
    assert path is None or isinstance(error, UnreadableImage) or str(path) in text, f"without the path: {text}"


READERS = {
    "config": Reader(make_run, read_run),
    "weights": Reader(make_weights, read_weights),
    "npz": Reader(make_npz, read_set),
    "zip": Reader(make_zip, read_set),
    "tar": Reader(make_tar, read_set),
    "torch": Reader(make_torch, lambda path: check_arrays(list(read_state_dict(path).values()), path)),
    "checkpoint": Reader(make_checkpoint, read_torch_file),
    "networks": Reader(make_networks, read_networks),
    "convert": Reader(make_official, read_converted),
    "image": Reader(make_image, read_image),
}
