"""What commands that make images have in common: a run's generator, opened and told about, and errors of the device."""

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
    """Which generator makes images, and how."""

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    which: str = "best"  # best: the best score; last: the newest checkpoint; 12000: the snapshot at so many images
    # The class of all images, by its name or number: for runs with --conditional. Default: drawn for each by its seed.
    class_name: Annotated[str | None, tyro.conf.arg(name="class", metavar="NAME")] = None
    truncation: float = 1.0  # 0 to 2: scale of the latents, in StyleGAN2 of w about its mean; below 1 less variety
    batch_size: int | None = None  # images at once; default as many as keep the machine busy
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the hardware multiplies it
    verbose: bool = False  # let TensorFlow speak

    def __post_init__(self):
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"--batch-size is {self.batch_size}; give an integer of at least 1")


@dataclasses.dataclass(frozen=True)
class Opened:
    """A run's generator, ready to make images.

    run: run.Run. trained: weights.Trained. generator: folded. precision: what it computes in. batch_size: images at
    once. wanted: number of the class that all images shall have, or None.
    """

    run: object
    trained: object
    generator: object
    precision: str
    batch_size: int
    wanted: int | None = None

    def labels(self, seeds):
        """Classes of the images of seeds, int32 [N]; None of unconditional networks."""
        return self.trained.classes.of_seeds(seeds, self.wanted)

    def words_of_classes(self, seeds, what):
        """Words for a file's description, such as "; classes: panda, cat"; "" of unconditional networks."""
        known = self.trained.classes.describe(self.labels(seeds))
        return f"{what}: {known}" if known else ""


def open_run(options) -> Opened:
    """Loads and folds the generator that a command's options name, and says what it is in a line.

    Args:
        options: with `run`, `which`, `class_name`, `precision` and `batch_size`.

    Raises:
        UsageError: no run, no such weights, or no such class.
    """
    import tensorflow as tf

    from gan_tf.distributed import devices
    from gan_tf.runs.folder import Run
    from gan_tf.runs.weights import load_generator
    from gan_tf.sampling.generate import suitable_batch_size

    run = Run(user_path(options.run))
    trained = load_generator(run, options.which)
    wanted = class_of(options, trained)
    precision, why = devices.choose_precision(options.precision)
    generator = trained.folded(devices.KERAS_POLICIES[precision])
    resolution, full = generator.resolution, trained.config.resolution
    growing = f", which grows to {full}x{full}" if resolution < full else ""
    print(
        f"{options.run}: {trained.config.model} at {resolution}x{resolution}{growing}, {options.which} weights, "
        f"{trained.images_seen / 1000:.1f} kimg; precision: {precision} ({why})",
        flush=True,
    )
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    batch_size = options.batch_size or suitable_batch_size(resolution, on_gpu)
    return Opened(run, trained, generator, precision, batch_size, wanted)


def class_of(options, trained):
    """Number of the class that `--class` asks for; None where it is left out.

    Raises:
        UsageError: there is none of that name, or the networks know no classes.
    """
    if options.class_name is None:
        return None
    if not trained.classes:
        raise UsageError(
            f"--class {options.class_name}: {options.run} is a run of unconditional networks, which learnt all images "
            "as one kind; leave it out, or train with --conditional"
        )
    return trained.classes.number(options.class_name)


def on_device(work, options) -> int:
    """Starts TensorFlow and calls work(options); returns its exit code.

    Raises:
        UsageError: of `work`; too little memory; or what it writes cannot be written.
    """
    start_tensorflow(options.verbose)
    import tensorflow as tf

    try:
        return work(options)
    except tf.errors.ResourceExhaustedError as error:
        raise UsageError(f"out of memory: give a smaller --batch-size, or --precision bfloat16 ({error.op})") from error
    except OSError as error:
        if not _concerns(error, user_path(options.out).absolute()):
            raise
        raise unwritable_error(options.out, "--out", error) from error


def _concerns(error, out):
    """True if an error is of what is written to `out`, of files beside it or the folders above it."""
    if error.filename is None:
        return False
    path = Path(os.fsdecode(error.filename)).absolute()
    return str(path).startswith(str(out.with_suffix(""))) or out.is_relative_to(path)


def job_of(options, opened):
    """What the images of a command depend on besides their seeds, as a dict for a journal."""
    import tensorflow as tf

    import gan_tf
    from gan_tf.models.variables import named_variables

    total = hashlib.sha256()
    for name, variable in named_variables(opened.trained.generator).items():
        total.update(name.encode() + variable.numpy().tobytes())
    return {
        "weights": total.hexdigest(),
        "truncation": options.truncation,
        "class": opened.wanted,
        "precision": opened.precision,
        "versions": [gan_tf.__version__, tf.__version__],
    }


def refuse(options, model, what, flag):
    """Raises UsageError if networks of `model` cannot do what a flag asks for; see models.Family."""
    from gan_tf.models import FAMILIES

    reason = FAMILIES[model].cannot.get(what)
    if reason:
        raise UsageError(f"{flag}: {options.run} is a run of {model}, which {reason}")
