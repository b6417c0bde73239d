"""`gan-tf COMMAND`: runs a command, and prints a UsageError, or the fault of a disk, as one line."""

import importlib
import sys

import gan_tf
from gan_tf.cli.output import protect_streams
from gan_tf.errors import FAULT, INTERRUPTED, USAGE_ERROR, UsageError
from gan_tf.io.files import MACHINE_REMEDIES, disk_fault, disk_remedy, escaped
from gan_tf.io.packages import requiring_tensorflow

COMMANDS = {
    "train": "train a generator, or continue a run",
    "launch": "train with several worker processes on this machine",
    "generate": "generate images",
    "interpolate": "interpolate between latents, as an animation or an image strip",
    "style-mix": "mix the styles of generated images",
    "project": "project an image into the latent space",
    "neighbours": "show the training images nearest to generated images",
    "evaluate": "score a generator or a folder of images, and check for copies of training images",
    "progress": "show the course of training as an animation",
    "report": "write the report of a run as one HTML file",
    "export": "export generators as SavedModel, TFLite, ONNX, or as an app for browsers or Android",
    "serve": "serve an exported web app, on this machine or the local network",
    "runs": "rank runs and snapshots by their scores",
    "inspect": "report on a dataset",
    "convert": "convert official weights into a run",
    "crop-faces": "crop aligned faces from photos, as a dataset",
    "augment-preview": "show augmented training images",
}


def main(argv=None) -> int:
    """Prints the help or the version, or runs a command. Returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    protect_streams(colours="--help" in argv)
    if not argv or argv[0] in ("-h", "--help"):
        commands = "\n".join(f"  {name:<16} {purpose}" for name, purpose in COMMANDS.items())
        print(f"usage: gan-tf COMMAND [OPTIONS]\n\n{commands}\n\ngan-tf COMMAND --help shows the options of a command.")
        return 0 if argv else USAGE_ERROR
    if argv[0] == "--version":
        print(f"gan-tf {gan_tf.__version__}")
        return 0
    return run_command(argv[0], argv[1:])


def run_command(name, argv) -> int:
    """Runs the command `name` with the arguments `argv`. Returns the exit code."""
    protect_streams(colours="--help" in argv)
    try:
        if name not in COMMANDS:
            raise UsageError(f"unknown command {name!r}; choose from {', '.join(COMMANDS)}")
        with requiring_tensorflow():
            return importlib.import_module(f"gan_tf.cli.{name.replace('-', '_')}").main(argv)
    except UsageError as error:
        print(f"gan-tf: error: {error}", file=sys.stderr)
        return USAGE_ERROR
    except OSError as error:
        fault, remedy = disk_fault(error), disk_remedy(error)
        if not fault and not remedy:
            raise
        if fault:
            remedy, error = MACHINE_REMEDIES.get(fault.errno, "the disk or the network drive failed; wait"), fault
        file = escaped(str(error.filename or "a file"))
        print(f"gan-tf: error: cannot use {file} ({error.strerror}): {remedy}, and start again", file=sys.stderr)
        return FAULT if fault else USAGE_ERROR
    except KeyboardInterrupt:
        print("\ngan-tf: interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
