"""Command-line arguments of `gan-tf train`."""

from gan_tf.cli import arguments
from gan_tf.cli.datasets import known_names
from gan_tf.config.presets import PRESETS, choose
from gan_tf.config.settings import TrainConfig, refuse_foreign
from gan_tf.errors import UsageError


def parse_arguments(argv):
    """Returns (TrainConfig, name of the preset): `--preset` and `--model` are taken out first, since they set the
    other defaults.

    Raises:
        UsageError: an unknown flag, preset or value, a flag of another family, or no data set.
    """
    preset, rest = take_option(argv, "--preset", None)
    model, rest = take_option(rest, "--model", None)
    preset, defaults = choose(preset, model)
    refuse_foreign(flags_in(rest), defaults.model)
    names = "; ".join(f"{family}: {', '.join(table)}" for family, table in PRESETS.items())
    config = arguments.parse(
        TrainConfig,
        rest,
        prog="gan-tf train",
        description=f"Train a generator, or continue a run. --preset NAME sets the defaults ({names}).",
        default=defaults,
    )
    if not config.dataset:
        raise UsageError(f"--dataset is missing; give a folder, a .zip, an .npz, or one of {', '.join(known_names())}")
    return config, preset


def flags_in(argv):
    """The fields that arguments such as --batch-size 8, --batch-size=8 and --no-tanh speak of, and other words."""
    names = [word[2:].partition("=")[0].replace("-", "_") for word in argv if word.startswith("--")]
    return {*names, *(name.removeprefix("no_") for name in names)}


def take_option(argv, name, default):
    """Takes `name VALUE` or `name=VALUE` out of a list of arguments: (value, the other arguments)."""
    value, rest, words = default, [], iter(argv)
    for word in words:
        if word == name:
            value = next(words, None)
            if value is None:
                raise UsageError(f"{name} needs a value")
        elif word.startswith(name + "="):
            value = word.split("=", 1)[1]
        else:
            rest.append(word)
    return value, rest
