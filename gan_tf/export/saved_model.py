"""TensorFlow's SavedModel: a folder with the signature `serving_default`, and the metadata as assets/gan_tf.json."""

import contextlib
import json
from pathlib import Path

import tensorflow as tf

from gan_tf.export import network
from gan_tf.export.output import part_folder
from gan_tf.ops.forms import Forms

SIGNATURE = "serving_default"
ASSET = "gan_tf.json"


def write(trained, settings, metadata, path):
    """Writes the folder `path`."""
    save(network.traced(trained, settings, network.UNCOMPILED), path, metadata)


def save(make, path, metadata=None):
    """Writes a traced function of `network` with the variables that it uses, and no others."""
    concrete = make.get_concrete_function()
    module = tf.Module()
    module.used = list(concrete.graph.variables)
    with contextlib.ExitStack() as stack:
        if metadata is not None:
            folder = stack.enter_context(part_folder(path))
            asset = Path(folder) / ASSET
            asset.write_text(json.dumps(metadata, indent=2, allow_nan=False) + "\n")
            module.metadata = tf.saved_model.Asset(str(asset))
        tf.saved_model.save(module, str(path), signatures={SIGNATURE: concrete})


def converted_source(trained, settings, forms: Forms, folder):
    """Writes what TensorFlow's converters read: a SavedModel without metadata."""
    save(network.traced(trained, settings, forms), folder)


def open_file(path):
    """Returns a function of [latents, labels, noise maps ...], those that the file takes, that gives images float32."""
    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures[SIGNATURE]
    names = sorted(serve.structured_input_signature[1], key=input_order)

    def run(inputs):
        named = {name: tf.constant(array) for name, array in zip(names, inputs, strict=True)}
        return serve(**named)[network.IMAGES].numpy()

    run.owner = loaded  # a signature does not keep its variables alive
    return run


def input_order(name):
    """Sorts `latents`, then `labels`, before `noise_0`, `noise_1`, ... `noise_10`."""
    first = {network.LATENTS: -2, network.LABELS: -1}
    return first[name] if name in first else int(name.rpartition("_")[2])


def read_metadata(path):
    """The metadata dict of a folder written here."""
    return json.loads((Path(path) / "assets" / ASSET).read_text())
