"""Readers of untrusted files, with functions that make an input and read it."""

import io
import json
import pickletools
import zipfile

from gan_tf.config.settings import changed, stored_settings
from gan_tf.convert import read_weight_file
from gan_tf.data.images import UnreadableImage, load_square
from gan_tf.data.sources import open_source
from gan_tf.pretrained.torch_files import read_torch_file
from gan_tf.report import report_html
from gan_tf.runs.folder import Run
from gan_tf_datasets.faces.files import TarSource
from tests.data.encoded import tar_bytes
from tests.fuzz import seeds
from tests.fuzz.mutate import bytes_of, json_of, npy_of, pickle_of, tar_of, zip_of

SIZE = 16  # pixels of the decoded images


def written(name, make):
    """Returns a function that writes `make(random)` to the file of this name."""

    def write(random, folder):
        (folder / name).write_bytes(make(random))
        return folder / name

    return write


def make_run(random, folder):
    """A run folder with a changed config.json, environment.json or stats.jsonl."""
    config = random.choice(seeds.settings())
    name = random.choice(("config.json", "config.json", "config.json", "environment.json", "stats.jsonl"))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "environment.json").write_text('{"gan_tf": "0.1.0", "command": ["--dataset", "panda"]}')
    lines = b"\n".join(json_of(random, line) for line in seeds.records()) + b"\n"
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
    config, data = run.read_settings()
    assert config.total_images > 0 and config.epoch_length(data["images"]) > 0 and config.run_name
    assert config.phase_batches and config.phase_lrs
    assert not changed(config, config, "identity") and json.dumps([stored_settings(config), data]).encode()


def make_weights(random, folder):
    """A run folder with changed best weights."""
    path = Run(folder).best
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(zip_of(random, seeds.weights(), npy_of, (zipfile.ZIP_STORED,)))
    return folder


def read_weights(folder):
    """Reads weights and their metadata."""
    Run(folder).best_meta()
    weights, meta = Run(folder).best_weights()
    assert sum(array.nbytes for array in weights.values()) <= Run(folder).best.stat().st_size
    assert type(meta["images_seen"]) is int


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
    """A state dict in a file of torch.save."""
    path = folder / "weights.pth"
    path.write_bytes(torch_file(random, seeds.torch_files(folder.parent)[0]))
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
        path.write_bytes(torch_file(random, seeds.torch_files(folder.parent)[1]))
    else:
        path.write_bytes(pickle_of(random, random.choice(seeds.networks(folder.parent))))
    return path


def read_converted(path):
    """Reads a file as `gan-tf convert` does, without building networks. bfloat16 takes twice its size."""
    weights = read_weight_file(path)
    arrays = [array for state in weights.states.values() for array in state.values()]
    assert sum(array.nbytes for array in arrays if 0 not in array.strides) <= 64 * path.stat().st_size
    assert weights.settings["resolution"] <= 1024
    for array in arrays:
        array.sum()


def read_image(path):
    """Decodes an image, with each way to make it square."""
    for fit in ("crop", "pad", "stretch"):
        pixels, _ = load_square(path.read_bytes(), SIZE, fit, (255, 255, 255))
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
    "npz": (written("set.npz", lambda r: zip_of(r, r.choice(seeds.image_sets()), npy_of)), read_set),
    "zip": (written("set.zip", lambda r: zip_of(r, seeds.files().items(), bytes_of)), read_set),
    "tar": (written("set.tar", lambda r: tar_of(r, tar_bytes(seeds.files()))), read_set),
    "torch": (make_torch, read_torch_file),
    "convert": (make_official, read_converted),
    "image": (written("image", lambda r: bytes_of(r, r.choice(seeds.images()), range(64))), read_image),
}
