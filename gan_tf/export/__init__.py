"""Exported generators: files that other programs run without gan_tf, each compared with Keras.

A file takes `latents` float32 [N, Z], for conditional networks `labels` int32 [N] (unless the class is fixed), and with
`--noise input` a noise map for each of `noise_shapes`. It returns `images` float32 [N, R, R, 3], RGB in [-1, 1]. Its
metadata, as JSON, describe these inputs and outputs and the origin of the weights.
"""

import dataclasses
import importlib.util
from collections.abc import Callable

from gan_tf.errors import UsageError
from gan_tf.export import formats


@dataclasses.dataclass(frozen=True)
class Format:
    """A file format."""

    suffix: str  # end of the default file name
    batch: int | None  # default batch size; None: any
    needs: dict[str, str]  # {pip package: module} that are not part of a plain installation
    program: str  # pip package that runs the file
    write: Callable  # (TrainedGenerator, ExportSettings, metadata dict, path) -> None
    open: Callable  # path -> function from the list of input arrays to images
    read_metadata: Callable  # path -> metadata dict


FORMATS = {
    "saved_model": Format(
        suffix="-saved_model",
        batch=None,
        needs={},
        program="tensorflow",
        write=formats.write_saved_model,
        open=formats.open_saved_model,
        read_metadata=formats.read_saved_model_metadata,
    ),
    "tflite": Format(
        suffix=".tflite",
        batch=1,
        needs={"ai-edge-litert": "ai_edge_litert"},
        program="ai-edge-litert",
        write=formats.write_tflite,
        open=formats.open_tflite,
        read_metadata=formats.read_tflite_metadata,
    ),
    "onnx": Format(
        suffix=".onnx",
        batch=None,
        needs={"onnx": "onnx", "tf2onnx": "tf2onnx", "onnxruntime": "onnxruntime"},
        program="onnxruntime",
        write=formats.write_onnx,
        open=formats.open_onnx,
        read_metadata=formats.read_onnx_metadata,
    ),
}


def require_packages(name):
    """Raises UsageError with the pip command if packages of a format are missing."""
    missing = [package for package, module in FORMATS[name].needs.items() if not importlib.util.find_spec(module)]
    if missing:
        raise UsageError(f"--format {name} needs {', '.join(missing)}: pip install {' '.join(missing)}")
