"""The readers: how an input of each is made, how it is read, and what that may cost."""

import dataclasses
import json
from collections.abc import Callable

from gan_tf.config.settings import changed, stored_settings
from gan_tf.convert.official import read_official
from gan_tf.data.images import UnreadableImage, load_square
from gan_tf.data.sources import open_source
from gan_tf.pretrained.network_pickles import read_network_pickle
from gan_tf.pretrained.torch_files import MOST_DEPTH, read_torch_checkpoint, read_torch_file
from gan_tf.report import report_html
from gan_tf.runs.folder import Run
from gan_tf_datasets.faces.files import TarSource
from tests.fuzz import seeds
from tests.fuzz.archives import PACKINGS, npy_of, png_of, tar_of, zip_of
from tests.fuzz.mutate import bytes_of, json_of
from tests.fuzz.pickled import pickle_of

SIZE = 16  # pixels that pictures are brought to


@dataclasses.dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        make: (random.Random, folder) -> path of an input in the folder.
        read: path -> None; raises what the reader raises.
        seconds: of processor time that an input may take.
        megabytes: by which the process may grow, over all inputs.
    """

    make: Callable
    read: Callable
    seconds: float = 5.0
    megabytes: int = 256


def make_run(random, folder):
    """A run folder in which config.json, environment.json or stats.jsonl is another."""
    config = random.choice(seeds.settings())
    name = random.choice(("config.json", "config.json", "config.json", "environment.json", "stats.jsonl"))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "environment.json").write_text('{"gan_tf": "0.1.0", "command": ["--dataset", "panda"]}')
    lines = b"\n".join(json_of(random, line) for line in seeds.records()) + b"\n"
    changed_file = lines if name == "stats.jsonl" else json_of(random, config)
    (folder / name).write_bytes(changed_file)
    return folder


def read_run(folder):
    """Everything that commands ask of a run folder's texts; the report shows what it can of damaged ones."""
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
    """A run folder with other best weights."""
    path = Run(folder).best
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(zip_of(random, seeds.weights(), npy_of, PACKINGS[:1]))
    return folder


def read_weights(folder):
    """Weights and what stands beside them."""
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
    """A zip of pictures."""
    path = folder / "set.zip"
    path.write_bytes(zip_of(random, seeds.files(), bytes_of))
    return path


def make_tar(random, folder):
    """A tar of pictures."""
    path = folder / "set.tar"
    path.write_bytes(tar_of(random, seeds.files()))
    return path


def read_set(path):
    """Opens a set and decodes its first pictures."""
    source = TarSource(path) if path.suffix == ".tar" else open_source(path)
    assert len(source) == len(source.names) == len(source.labels)
    assert "\n" not in "".join((*source.names, *source.class_names))
    "".join((*source.names, *source.class_names, *source.ignored)).encode()
    for i in range(min(len(source), 4)):
        try:
            load_square(source.read(i), SIZE, "crop", (255, 255, 255))
        except UnreadableImage as error:
            refusal(error)


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
    """Either of the two."""
    return random.choice((make_checkpoint, make_networks))(random, folder)


def read_checkpoint(path):
    """Everything of a checkpoint; no more than the file has."""
    arrays = read_torch_checkpoint(path)
    assert all(type(keys) is tuple and len(keys) <= MOST_DEPTH for keys in arrays)


def read_networks(path):
    """Every network with its arrays and arguments, which are data that JSON can tell."""
    found, others = read_network_pickle(path)
    assert sum(array.nbytes for network in found.values() for array in network.arrays.values()) <= path.stat().st_size
    json.dumps([[network.name, network.arguments] for network in found.values()] + others)


def read_converted(path):
    """As `gan-tf convert` reads a file, short of building networks."""
    found = read_official(path)
    assert found.states and found.settings["resolution"] <= 1024


def change_torch(random, content):
    """A member of a zip of torch.save, changed; the pickle by instructions."""
    return pickle_of(random, content) if content.startswith(b"\x80") else bytes_of(random, content or b"\0")


def make_image(random, folder):
    """An encoded picture."""
    form, content = random.choice(seeds.pictures())
    changed_content = png_of(random, content) if form == "PNG" and random.random() < 0.8 else None
    path = folder / "picture"
    path.write_bytes(changed_content or bytes_of(random, content, range(0, min(64, len(content)))))
    return path


def read_image(path):
    """Decodes, in each way of making it square."""
    for fit in ("crop", "pad", "stretch"):
        pixels, _ = load_square(path.read_bytes(), SIZE, fit, (255, 255, 255))
        assert pixels.shape == (SIZE, SIZE, 3)


def refusal(error):
    """The text of a refusal, which must be one short line that can be shown."""
    text = str(error)
    assert text and text.isprintable() and len(text) < 1500, f"no clean line: {text!r:.300}"
    text.encode()
    return text


READERS = {
    "config": Reader(make_run, read_run),
    "weights": Reader(make_weights, read_weights),
    "npz": Reader(make_npz, read_set),
    "zip": Reader(make_zip, read_set),
    "tar": Reader(make_tar, read_set),
    "torch": Reader(make_torch, lambda path: read_torch_file(path)),
    "checkpoint": Reader(make_checkpoint, read_checkpoint),
    "networks": Reader(make_networks, read_networks),
    "convert": Reader(make_official, read_converted),
    "image": Reader(make_image, read_image, seconds=10.0, megabytes=1536),
}
