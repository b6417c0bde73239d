"""Writers and readers of the three file formats: SavedModel, TFLite, ONNX.

SavedModel: a folder with the signature `serving_default`; the metadata are in assets/gan_tf.json.
TFLite (LiteRT): for phones, browsers and boards, with built-in operators only; the metadata are the entry `gan_tf` in
the metadata table. `int8` stores kernels as 8-bit integers with a scale for each filter and computes in float32: with
8-bit activations the error of FastGAN at 256 pixels was three times as large, at the same speed.
ONNX: converted by tf2onnx; the metadata are the entry `gan_tf` of `metadata_props`.
"""

import json
import logging
from pathlib import Path

import tensorflow as tf

import gan_tf
from gan_tf.export import network
from gan_tf.export.output import part_folder

SIGNATURE = "serving_default"
NAME = "gan_tf"  # of the metadata in each format
ASSET = f"{NAME}.json"
ALIGNMENT = 16  # bytes; required of every buffer by the schema of TFLite
TFLITE_IDENTIFIER = b"TFL3"
OPSET = 17  # supported by onnxruntime since 1.12 (2022)


def write_saved_model(trained, settings, metadata, path):
    """Writes a SavedModel, a folder."""
    with part_folder(path) as folder:
        asset = Path(folder) / ASSET
        asset.write_text(json.dumps(metadata, indent=2, allow_nan=False) + "\n")
        _save(network.traced(trained, settings, network.UNCOMPILED), path, asset)


def _save(function, path, asset=None):
    """Saves a function of `network.traced` with the variables that it uses, and no others."""
    concrete = function.get_concrete_function()
    module = tf.Module()
    module.used = list(concrete.graph.variables)
    if asset is not None:
        module.metadata = tf.saved_model.Asset(str(asset))
    tf.saved_model.save(module, str(path), signatures={SIGNATURE: concrete})


def open_saved_model(path):
    """Returns a function from the list of input arrays to images float32 [N, R, R, 3]."""
    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures[SIGNATURE]
    names = sorted(serve.structured_input_signature[1], key=_input_order)

    def run(inputs):
        named = {name: tf.constant(array) for name, array in zip(names, inputs, strict=True)}
        return serve(**named)[network.IMAGES].numpy()

    run.owner = loaded  # a signature does not keep its variables alive
    return run


def read_saved_model_metadata(path):
    """Returns the metadata dict of a SavedModel."""
    return json.loads((Path(path) / "assets" / ASSET).read_text())


def write_tflite(trained, settings, metadata, path):
    """Writes a TFLite file."""
    # Transposed convolutions on large maps are a fifth faster in float32, for a file a tenth larger (FastGAN at 256
    # pixels); with 8-bit kernels they are slower.
    forms = network.CONVERTIBLE if settings.precision == "int8" else network.TRANSPOSED
    with part_folder(path) as folder:
        _save(network.traced(trained, settings, forms), folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if settings.precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if settings.precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        model = converter.convert()
    Path(path).write_bytes(_with_tflite_metadata(model, metadata))


def _with_tflite_metadata(model, metadata) -> bytes:
    """Adds an entry to the metadata table of a TFLite model (bytes)."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    tree.buffers.append(schema.BufferT())
    tree.buffers[-1].data = json.dumps(metadata, allow_nan=False).encode()
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME, len(tree.buffers) - 1
    tree.metadata = [*(tree.metadata or []), entry]
    tree.buffers = [_AlignedBuffer(schema, buffer.data) for buffer in tree.buffers]
    builder = flatbuffers.Builder(len(model) + (1 << 20))  # large enough that it is not copied to grow
    builder.Finish(tree.Pack(builder), file_identifier=TFLITE_IDENTIFIER)
    return bytes(builder.Output())


class _AlignedBuffer:
    """A buffer that is packed at a multiple of ALIGNMENT; the schema's own Python class does not align it."""

    def __init__(self, schema, data):
        self.schema = schema
        self.data = data

    def Pack(self, builder):  # noqa: N802 called by ModelT
        """Writes the bytes and the table that points to them; returns the offset of the table."""
        vector = None
        if self.data is not None and len(self.data):
            builder.StartVector(1, len(self.data), ALIGNMENT)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = bytes(self.data)
            vector = builder.EndVector()
        self.schema.BufferStart(builder)
        if vector is not None:
            self.schema.BufferAddData(builder, vector)
        return self.schema.BufferEnd(builder)


def open_tflite(path):
    """Returns a function as `open_saved_model` does. A file of dynamic batch size is resized to that of the inputs."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=network.usable_cores())
    names = sorted(interpreter.get_signature_list()[SIGNATURE]["inputs"], key=_input_order)
    interpreter.allocate_tensors()  # else the first call does so, with a message
    runner = interpreter.get_signature_runner(SIGNATURE)

    def run(inputs):
        return runner(**dict(zip(names, inputs, strict=True)))[network.IMAGES]

    run.owner = interpreter
    return run


def read_tflite_metadata(path):
    """Returns the metadata dict of a TFLite file."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(Path(path).read_bytes(), 0)
    entries = [model.Metadata(i) for i in range(model.MetadataLength())]
    [entry] = [entry for entry in entries if entry.Name().decode() == NAME]
    return json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())


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
    entry.key, entry.value = NAME, json.dumps(metadata, allow_nan=False)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def open_onnx(path):
    """Returns a function as `open_saved_model` does."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = network.usable_cores()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(inputs):
        return session.run([network.IMAGES], dict(zip(names, inputs, strict=True)))[0]

    return run


def read_onnx_metadata(path):
    """Returns the metadata dict of an ONNX file."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    return json.loads({entry.key: entry.value for entry in model.metadata_props}[NAME])


def _input_order(name):
    """Sort key of input names: `latents`, `labels`, `noise_0`, `noise_1`, ... `noise_10`."""
    first = {network.LATENTS: -2, network.LABELS: -1}
    return first[name] if name in first else int(name.rpartition("_")[2])
