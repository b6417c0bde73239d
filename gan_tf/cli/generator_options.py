"""Options shared by the commands that generate images, and loading of the generator that they select."""

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gan_tf.cli.quiet import start_tensorflow
from gan_tf.errors import UsageError
from gan_tf.io.files import unwritable_error, user_path


@dataclasses.dataclass(frozen=True)
class GeneratorOptions:
    """Options that select a trained generator and its settings."""

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    which: str = "best"  # best: best score; last: newest checkpoint; 12000: snapshot saved at 12,000 images
    # Name or number of the class to generate, for runs trained with --conditional. Default: drawn from each seed.
    class_name: Annotated[str | None, tyro.conf.arg(name="class", metavar="NAME")] = None
    truncation: float = 1.0  # 0 to 2: truncation psi, for w (StyleGAN2) or the latent (FastGAN); below 1: less variety
    batch_size: int | None = None  # images per batch; default: chosen by resolution and device
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the hardware supports it
    verbose: bool = False  # show TensorFlow's log messages

    def __post_init__(self):
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"--batch-size is {self.batch_size}; give an integer of at least 1")


@dataclasses.dataclass(frozen=True)
class LoadedGenerator:
    """The generator of a run, ready for inference."""

    run: object  # runs.folder.Run
    trained: object  # runs.weights.TrainedGenerator
    generator: object  # folded
    precision: str  # "float32" or "bfloat16"
    batch_size: int
    class_number: int | None = None  # class of all images; None: each seed draws its class

    def labels(self, seeds):
        """Returns the classes of the images of `seeds`, int32 [N], or None for unconditional networks."""
        return self.trained.classes.of_seeds(seeds, self.class_number)

    def describe_classes(self, seeds, prefix):
        """Returns text such as "; classes: panda, cat", or "" for unconditional networks."""
        names = self.trained.classes.describe(self.labels(seeds))
        return f"{prefix}: {names}" if names else ""


def load_from_options(options) -> LoadedGenerator:
    """Loads and folds the generator selected by `options` and prints one line about it.

    Raises:
        UsageError: the run, weights or class do not exist.
    """
    import tensorflow as tf

    from gan_tf.distributed import devices
    from gan_tf.runs.folder import Run
    from gan_tf.runs.weights import load_generator
    from gan_tf.sampling.generate import suitable_batch_size

    run = Run(user_path(options.run))
    trained = load_generator(run, options.which)
    class_number = requested_class(options, trained)
    precision, reason = devices.choose_precision(options.precision)
    generator = trained.folded(devices.KERAS_POLICIES[precision])
    resolution, full = generator.resolution, trained.config.resolution
    growing = f" (growing to {full}x{full})" if resolution < full else ""
    print(
        f"{options.run}: {trained.config.model} at {resolution}x{resolution}{growing}, {options.which} weights, "
        f"{trained.images_seen / 1000:.1f} kimg; precision: {precision} ({reason})",
        flush=True,
    )
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    batch_size = options.batch_size or suitable_batch_size(resolution, on_gpu)
    return LoadedGenerator(run, trained, generator, precision, batch_size, class_number)


def requested_class(options, trained):
    """Returns the number of the class given by `--class`, or None without that option.

    Raises:
        UsageError: the class does not exist, or the networks are unconditional.
    """
    if options.class_name is None:
        return None
    if not trained.classes:
        raise UsageError(
            f"--class {options.class_name}: {options.run} is a run of unconditional networks; leave out --class, or "
            "train with --conditional"
        )
    return trained.classes.number(options.class_name)


def run_on_device(command, options) -> int:
    """Starts TensorFlow, calls `command(options)` and returns its exit code.

    Raises:
        UsageError: out of memory, or `--out` cannot be written.
    """
    start_tensorflow(options.verbose)
    import tensorflow as tf

    try:
        return command(options)
    except tf.errors.ResourceExhaustedError as error:
        raise UsageError(f"out of memory: give a smaller --batch-size, or --precision bfloat16 ({error.op})") from error
    except OSError as error:
        if not _concerns(error, user_path(options.out).absolute()):
            raise
        raise unwritable_error(options.out, "--out", error) from error


def _concerns(error, out):
    """Returns True if an OSError names `out`, a file whose name starts like it, or a folder above it."""
    if error.filename is None:
        return False
    path = Path(os.fsdecode(error.filename)).absolute()
    return str(path).startswith(str(out.with_suffix(""))) or out.is_relative_to(path)


def image_settings(options, loaded):
    """Returns the settings, apart from the seeds, that determine the generated images, as a dict for JSON."""
    import tensorflow as tf

    import gan_tf
    from gan_tf.models.variables import named_variables

    weights = hashlib.sha256()
    for name, variable in named_variables(loaded.trained.generator).items():
        weights.update(name.encode() + variable.numpy().tobytes())
    return {
        "weights": weights.hexdigest(),
        "truncation": options.truncation,
        "class": loaded.class_number,
        "precision": loaded.precision,
        "versions": [gan_tf.__version__, tf.__version__],
    }


def check_supported(options, model, feature, flag):
    """Raises UsageError if the family `model` does not support `feature`; see models.Family."""
    from gan_tf.models import FAMILIES

    reason = FAMILIES[model].unsupported.get(feature)
    if reason:
        raise UsageError(f"{flag}: {options.run} is a run of {model}, which {reason}")
