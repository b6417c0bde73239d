"""TrainedGenerator generators as files that other programs run without this one, each checked by running it.

Every file takes `latents` float32 [N, Z] (of a conditional network `labels` int32 [N], unless the file is of one class;
and with `--noise input` one map for each `noise_shapes`), gives `images` float32 [N, R, R, 3] in [-1, 1], RGB, and
carries a JSON text that says so and where it comes from.
"""

import dataclasses
import importlib.util
from collections.abc import Callable

from gan_tf.errors import UsageError
from gan_tf.export import onnx, saved_model, tflite


@dataclasses.dataclass(frozen=True)
class Format:
    """One kind of file.

    suffix: what the default name ends in.
    batch: images at once unless the user says so; None: any number.
    needs: names of packages, as pip and `import` know them, that are no part of a plain installation.
    program: what runs the file when it is checked.
    write: (TrainedGenerator, ExportSettings, metadata dict, path) -> None.
    open: path -> function of [latents, labels, noise maps ...], arrays that the file takes, that gives images.
    read_metadata: path -> what `write` was given.
    """

    suffix: str
    batch: int | None
    needs: dict[str, str]
    program: str
    write: Callable
    open: Callable
    read_metadata: Callable


FORMATS = {
    "saved_model": Format(
        "-saved_model",
        None,
        {},
        "tensorflow",
        saved_model.write,
        saved_model.open_file,
        saved_model.read_metadata,
    ),
    "tflite": Format(
        ".tflite",
        1,
        {"ai-edge-litert": "ai_edge_litert"},
        "ai-edge-litert",
        tflite.write,
        tflite.open_file,
        tflite.read_metadata,
    ),
    "onnx": Format(
        ".onnx",
        None,
        {"onnx": "onnx", "tf2onnx": "tf2onnx", "onnxruntime": "onnxruntime"},
        "onnxruntime",
        onnx.write,
        onnx.open_file,
        onnx.read_metadata,
    ),
}


def require_packages(name):
    """Refuses a format whose packages are missing, before any work is done.

    Raises:
        UsageError: with pip's command.
    """
    needs = FORMATS[name].needs
    missing = [package for package, module in needs.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f"--format {name} needs {', '.join(missing)}: pip install {' '.join(missing)}")
