"""Missing packages: the `pip install` command of an extra of pyproject.toml, and the error without TensorFlow."""

import contextlib
import importlib.metadata
import platform
import shutil
import sys
import traceback
from pathlib import Path

from gan_tf.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


def install_command(extra) -> str:
    """Returns the command that installs an extra, such as "onnx", also for a copy of the repository."""
    try:
        importlib.metadata.distribution("gan_tf")
    except importlib.metadata.PackageNotFoundError:
        return f'pip install -e "{ROOT}[{extra}]"'
    return f'pip install "gan_tf[{extra}]"'  # pip adds to the installed gan_tf and does not look for another one


def tensorflow_extra() -> str:
    """Returns the extra for this machine: "cuda" on Linux x86-64 with an NVIDIA driver, otherwise "cpu"."""
    is_linux = sys.platform == "linux" and platform.machine() == "x86_64"
    return "cuda" if is_linux and shutil.which("nvidia-smi") else "cpu"


@contextlib.contextmanager
def requiring_tensorflow():
    """Converts an ImportError in the block, if TensorFlow is missing or cannot be imported, to a UsageError."""
    try:
        yield
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "tensorflow":
            problem = "TensorFlow is missing"
        elif any("tensorflow" in Path(frame.filename).parts for frame in traceback.extract_tb(error.__traceback__)):
            while error.__context__:  # TensorFlow's own error has a whole traceback as its message
                error = error.__context__
            problem = f"TensorFlow cannot be imported ({' '.join(str(error).split())[:200]}); install it again"
        else:
            raise
        raise UsageError(f"{problem}: {install_command(tensorflow_extra())}") from error
