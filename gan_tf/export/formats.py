"""Writers and readers of the three file formats: SavedModel, TFLite, ONNX.

SavedModel: a folder with the signature `serving_default`; the metadata are in assets/gan_tf.json.
TFLite (LiteRT): for phones, browsers and boards, with built-in operators only; the metadata are the entry `gan_tf` of
the file's metadata. `int8` stores kernels as 8-bit integers with a scale for each filter and computes in float32: with
8-bit activations the error of FastGAN at 256 pixels was three times as large, at the same speed.
ONNX: converted by tf2onnx; the metadata are the entry `gan_tf` of `metadata_props`.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import json
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

import gan_tf
from gan_tf.errors import UsageError
from gan_tf.export import network
from gan_tf.io.files import refuse_existing
from gan_tf.io.json_text import json_text
from gan_tf.io.tensorflow_paths import tensorflow_path

SIGNATURE = "serving_default"
NAME = "gan_tf"  # of the metadata in each format
ASSET = f"{NAME}.json"
SAVED_MODEL = ("saved_model.pb", "fingerprint.pb", "variables", "assets")  # all that a SavedModel consists of
OPSET = 17  # supported by onnxruntime since 1.12 (2022)


# SavedModel


def write_saved_model(trained, settings, metadata, path):
    """Writes a SavedModel folder at `path`. Each writer has the arguments of `Format.write`."""
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        asset = Path(folder) / ASSET
        asset.write_text(json_text(metadata, indent=2) + "\n", encoding="utf-8")
        _save(network.traced(trained, settings, network.UNCOMPILED), path, asset)


def _save(function, path, asset=None):
    """Saves a function of `network.traced` with the variables that it uses, and no others."""
    concrete = function.get_concrete_function()
    module = tf.Module()
    module.used = list(concrete.graph.variables)
    if asset is not None:
        module.metadata = tf.saved_model.Asset(tensorflow_path(asset))
    tf.saved_model.save(module, tensorflow_path(path), signatures={SIGNATURE: concrete})


def open_saved_model(path):
    """Returns a function from the list of input arrays to images float32 [N, H, W, C]."""
    loaded = tf.saved_model.load(tensorflow_path(path))
    names = [entry["name"] for entry in read_saved_model_metadata(path)["inputs"]]

    def run(inputs):
        named = {name: tf.constant(array) for name, array in zip(names, inputs, strict=True)}
        return loaded.signatures[SIGNATURE](**named)[network.IMAGES].numpy()

    return run


def read_saved_model_metadata(path):
    """Returns the metadata dict of a SavedModel."""
    return json.loads((Path(path) / "assets" / ASSET).read_text(encoding="utf-8"))


# TFLite


def write_tflite(trained, settings, metadata, path):
    """Writes a TFLite file."""
    # Transposed convolutions on large maps are a fifth faster in float32, for a file a tenth larger (FastGAN at 256
    # pixels); with 8-bit kernels they are slower.
    forms = network.CONVERTIBLE if settings.precision == "int8" else network.TRANSPOSED
    convert_to_tflite(network.traced(trained, settings, forms), settings.precision, metadata, path)


def convert_to_tflite(function, precision, metadata, path):
    """Writes a traced tf.function as a TFLite file. precision: of the stored weights, as in ExportSettings."""
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        _save(function, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(tensorflow_path(folder), signature_keys=[SIGNATURE])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        model = converter.convert()
    Path(path).write_bytes(_with_tflite_metadata(model, metadata))


def _with_tflite_metadata(model, metadata) -> bytes:
    """Adds an entry to the metadata table of a TFLite model (bytes)."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    tree.buffers.append(schema.BufferT())
    tree.buffers[-1].data = json_text(metadata).encode()
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME, len(tree.buffers) - 1
    tree.metadata = [*(tree.metadata or []), entry]
    for buffer in tree.buffers:
        buffer.Pack = functools.partial(_pack_buffer, schema, buffer.data)
    builder = flatbuffers.Builder(len(model) + (1 << 20))  # large enough that it is not copied to grow
    builder.Finish(tree.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _pack_buffer(schema, data, builder):
    """Writes a buffer at a multiple of 16 bytes, which TFLite requires and the schema's own Python class does not do.

    Returns the offset of the table that points to it.
    """
    vector = None
    if data is not None and len(data):
        builder.StartVector(1, len(data), 16)
        builder.head -= len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = bytes(data)
        vector = builder.EndVector()
    schema.BufferStart(builder)
    if vector is not None:
        schema.BufferAddData(builder, vector)
    return schema.BufferEnd(builder)


def open_tflite(path):
    """Returns a function as `open_saved_model` does. A file of dynamic batch size takes any number of inputs."""
    names = [entry["name"] for entry in read_tflite_metadata(path)["inputs"]]
    runner = tflite_runner(path)
    return lambda inputs: runner(**dict(zip(names, inputs, strict=True)))[network.IMAGES]


def tflite_runner(path):
    """Returns a function from named arrays to {name of output: array} of a TFLite file of `convert_to_tflite`."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=tensorflow_path(path), num_threads=network.usable_cores())
    interpreter.allocate_tensors()  # else the first call does so, with a message
    return interpreter.get_signature_runner(SIGNATURE)


def read_tflite_metadata(path):
    """Returns the metadata dict of a TFLite file."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(Path(path).read_bytes(), 0)
    entries = [model.Metadata(i) for i in range(model.MetadataLength())]
    [entry] = [entry for entry in entries if entry.Name().decode() == NAME]
    return json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())


# ONNX


def write_onnx(trained, settings, metadata, path):
    """Writes an ONNX file."""
    import onnx
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    function = network.traced(trained, settings, network.CONVERTIBLE)
    model, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=OPSET)
    if settings.batch is None:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "N"
    model.producer_name, model.producer_version = "gan_tf", gan_tf.__version__
    model.graph.name = f"gan_tf {metadata['family']}"
    entry = model.metadata_props.add()
    entry.key, entry.value = NAME, json_text(metadata)
    onnx.checker.check_model(model)
    onnx.save(model, tensorflow_path(path))


def open_onnx(path):
    """Returns a function as `open_saved_model` does."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = network.usable_cores()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(tensorflow_path(path), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return lambda inputs: session.run([network.IMAGES], dict(zip(names, inputs, strict=True)))[0]


def read_onnx_metadata(path):
    """Returns the metadata dict of an ONNX file."""
    import onnx

    model = onnx.load(tensorflow_path(path), load_external_data=False)
    return json.loads({entry.key: entry.value for entry in model.metadata_props}[NAME])


@dataclasses.dataclass(frozen=True)
class Format:
    """A file format."""

    suffix: str  # end of the default file name
    batch: int | None  # default batch size; None: any
    needs: tuple[str, ...]  # pip packages that are not part of a plain installation
    program: str  # pip package that runs the file
    write: Callable  # (TrainedGenerator, ExportSettings, metadata dict, path) -> None
    open: Callable  # path -> function from the list of input arrays to images
    read_metadata: Callable  # path -> metadata dict

    def missing_packages(self) -> list[str]:
        """Returns the needed packages that are not installed."""
        return [package for package in self.needs if not importlib.util.find_spec(package.replace("-", "_"))]


FORMATS = {
    "saved_model": Format(
        "-saved_model", None, (), "tensorflow", write_saved_model, open_saved_model, read_saved_model_metadata
    ),
    "tflite": Format(".tflite", 1, (), "ai-edge-litert", write_tflite, open_tflite, read_tflite_metadata),
    "onnx": Format(
        ".onnx", None, ("onnx", "tf2onnx", "onnxruntime"), "onnxruntime", write_onnx, open_onnx, read_onnx_metadata
    ),
}


# Output


def check_output(path, overwrite, names=()):
    """Raises UsageError if `path` exists and may not be replaced.

    Without `overwrite` nothing may be replaced; with it only a file by a file, and an exported folder without other
    files by one of the same kind. Links are never replaced.

    Args:
        names: all that an exported folder consists of; the first is in no other folder. () for a file.
    """
    path = Path(path)
    refuse_existing([path], "--out", overwrite)
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not (path / names[0] if names else path).is_file():
        kind = "a folder of this format" if names else "a file"
        raise UsageError(f"--out {path} exists and is not {kind}, so it is not replaced; give another --out")
    others = [file.name for file in path.iterdir() if file.name not in names] if names else ()
    if others:
        raise UsageError(f"--out {path} has other files, such as {others[0]}; move them, or give another --out")


@contextlib.contextmanager
def output(path):
    """Context manager: yields a temporary path for a file or folder, and renames it to `path` at the end of the block.

    After an exception or a kill `path` is unchanged, except that a folder is missing for a moment while it is replaced.
    A killed process leaves a folder `NAME.*.part`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.", suffix=".part") as folder:
        part, old = Path(folder) / "new", Path(folder) / "old"
        yield part
        for file in part.rglob("*") if part.is_dir() else [part]:
            if file.is_file():
                with open(file, "r+b") as opened:  # Windows requires it to be writable
                    os.fsync(opened.fileno())
        if not part.is_dir() or not path.exists():
            os.replace(part, path)
            return
        os.replace(path, old)
        try:
            os.replace(part, path)
        except OSError:
            os.replace(old, path)
            raise
