"""ONNX: one file for onnxruntime and many others, made by tf2onnx. The metadata are the JSON text `gan_tf` of
`metadata_props`; onnxruntime shows them as `session.get_modelmeta().custom_metadata_map["gan_tf"]`.
"""

import json
import logging

import gan_tf
from gan_tf.export import network

NAME = "gan_tf"  # key in metadata_props
OPSET = 17  # which onnxruntime reads since 1.12, of 2022
FORMS = network.CONVERTIBLE
ANY = "N"  # name of the batch axis where it is free


def write(trained, settings, metadata, path):
    """Writes the file `path`."""
    import onnx
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    make = network.traced(trained, settings, FORMS)
    model, _ = tf2onnx.convert.from_function(make, input_signature=make.input_signature, opset=OPSET)
    for value in (*model.graph.input, *model.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if settings.batch is None:
            first.dim_param = ANY
    model.producer_name, model.producer_version = "gan_tf", gan_tf.__version__
    model.graph.name = f"gan_tf {metadata['family']}"
    entry = model.metadata_props.add()
    entry.key, entry.value = NAME, json.dumps(metadata, allow_nan=False)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def open_file(path):
    """Returns a function of [latents, labels, noise maps ...], those that the file takes, that gives images float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = network.usable_cores()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(inputs):
        return session.run([network.IMAGES], dict(zip(names, inputs, strict=True)))[0]

    return run


def read_metadata(path):
    """The metadata dict of a file written here."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    return json.loads({entry.key: entry.value for entry in model.metadata_props}[NAME])
