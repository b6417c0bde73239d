"""`gan-tf COMMAND`: finds the command, and turns every error that is the user's to mend into one line."""

import importlib
import sys

from gan_tf.errors import UsageError

COMMANDS = {
    "train": "train a generator, or continue a run",
    "launch": "train on several worker processes of this machine",
    "generate": "make images with a trained generator",
    "interpolate": "walk smoothly from image to image, as an animation or a picture",
    "style-mix": "give images the style of others",
    "project": "find the latent of a picture",
    "neighbours": "show the training images nearest to generated ones",
    "evaluate": "score a generator, or a folder of images, and look for copies",
    "progress": "show the training as an animation",
    "report": "write the report of a run as one HTML file",
    "export": "write a trained generator as SavedModel, TFLite or ONNX",
    "runs": "rank runs and snapshots by their scores",
    "inspect": "report on a set of images",
    "convert": "make a run of an official program's weights",
    "crop-faces": "cut the faces out of photographs, as a training set",
    "augment-preview": "show what the discriminator will see",
}
USAGE_ERROR = 2
INTERRUPTED = 42  # what batch systems are told: start me again


def main(argv=None) -> int:
    """Runs one command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0 if argv else USAGE_ERROR
    if argv[0] == "--version":
        import gan_tf

        print(f"gan-tf {gan_tf.__version__}")
        return 0
    return run_command(argv[0], argv[1:])


def run_command(name, argv) -> int:
    """Runs the command `name`; returns the exit code."""
    try:
        if name not in COMMANDS:
            raise UsageError(f"unknown command {name!r}; choose from {', '.join(COMMANDS)}")
        return importlib.import_module(f"gan_tf.cli.{name.replace('-', '_')}").main(argv)
    except UsageError as error:
        print(f"gan-tf: error: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("\ngan-tf: interrupted", file=sys.stderr)
        return INTERRUPTED


def usage() -> str:
    """The overview of commands."""
    lines = [f"  {name:<16} {purpose}" for name, purpose in COMMANDS.items()]
    return "\n".join(
        ["usage: gan-tf COMMAND [OPTIONS]", "", *lines, "", "gan-tf COMMAND --help shows the options of a command."]
    )


if __name__ == "__main__":
    sys.exit(main())
