"""TFLite (LiteRT): one file for phones, browsers and boards, of built-in operators only.

The metadata stand in the model's table of metadata under the name `gan_tf`, as a buffer of JSON.
`int8` stores kernels as integers of 8 bits with a scale for each filter and computes the rest in float32. Activations
of 8 bits as well made the error three times as large on FastGAN at 256 pixels, and nothing faster.
"""

import json
from pathlib import Path

import tensorflow as tf

from gan_tf.export import network, saved_model
from gan_tf.export.output import part_folder

NAME = "gan_tf"  # of the entry in the table of metadata
ALIGNMENT = 16  # bytes; the format's schema demands it of every buffer
IDENTIFIER = b"TFL3"


def write(trained, settings, metadata, path):
    """Writes the file `path`."""
    with part_folder(path) as folder:
        saved_model.converted_source(trained, settings, forms_of(settings), folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[saved_model.SIGNATURE])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if settings.precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if settings.precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        model = converter.convert()
    with open(path, "wb") as file:
        file.write(with_metadata(model, metadata))


def forms_of(settings):
    """Convolutions of large maps as transposed ones, which LiteRT does a fifth faster in float32, for a file a tenth
    larger (FastGAN at 256 pixels); kernels of 8 bits make them slower.
    """
    return network.CONVERTIBLE if settings.precision == "int8" else network.TRANSPOSED


def open_file(path):
    """Returns a function of [latents, labels, noise maps ...], those that the file takes, that gives images float32.

    A file of any batch size is set to that of the arrays.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=network.usable_cores())
    names = interpreter.get_signature_list()[saved_model.SIGNATURE]["inputs"]
    names = sorted(names, key=saved_model.input_order)
    interpreter.allocate_tensors()  # or the first call would, and speak of it
    runner = interpreter.get_signature_runner(saved_model.SIGNATURE)

    def run(inputs):
        return runner(**dict(zip(names, inputs, strict=True)))[network.IMAGES]

    run.owner = interpreter
    return run


def with_metadata(model, metadata) -> bytes:
    """A TFLite model (bytes) with one more entry in its table of metadata."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    tree.buffers.append(schema.BufferT())
    tree.buffers[-1].data = json.dumps(metadata, allow_nan=False).encode()
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME, len(tree.buffers) - 1
    tree.metadata = [*(tree.metadata or []), entry]
    tree.buffers = [Aligned(schema, buffer.data) for buffer in tree.buffers]
    builder = flatbuffers.Builder(len(model) + (1 << 20))  # grown, it would be copied
    builder.Finish(tree.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


class Aligned:
    """A buffer that packs itself at a multiple of ALIGNMENT, which the schema's own Python class does not."""

    def __init__(self, schema, data):
        self.schema = schema
        self.data = data

    def Pack(self, builder):  # noqa: N802 the name that ModelT calls
        """Writes the bytes, then the table that points to them; returns the table's place."""
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


def read_metadata(path):
    """The metadata dict of a file written here."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(Path(path).read_bytes(), 0)
    entries = [model.Metadata(i) for i in range(model.MetadataLength())]
    [entry] = [entry for entry in entries if entry.Name().decode() == NAME]
    return json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
