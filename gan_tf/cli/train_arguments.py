"""Command-line arguments of `gan-tf train`: the settings of one family of networks, in titled groups."""

import dataclasses
import typing

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.datasets import known_names
from gan_tf.config.presets import PRESETS, choose
from gan_tf.config.settings import TrainConfig, reject_other_families
from gan_tf.config.validation import LOSSES, RESOLUTIONS
from gan_tf.errors import UsageError

GROUPS = {  # {first field of each group in TrainConfig: title in --help}
    "dataset": "model and data",
    "loss": "optimisation",
    "augment": "augmentation",
    "total_kimg": "length and scoring",
    "precision": "computation",
    "run": "session",
    "ngf": "{} networks",
    "batch_size": "{} batches and losses",
}
CHOICES = {"resolution": RESOLUTIONS, "loss": LOSSES}  # {setting: {family: choices}}
FAMILY_NAMES = {"fastgan": "FastGAN", "pggan": "Progressive GAN", "stylegan2": "StyleGAN2"}


def parse_arguments(argv):
    """Returns (TrainConfig, name of the preset). `--preset` and `--model` are read first: they set the defaults.

    Raises:
        UsageError: an unknown flag, preset or value, a flag of another family, or no data set.
    """
    preset, rest = take_option(argv, "--preset")
    model, rest = take_option(rest, "--model")
    preset, defaults = choose(preset, model)
    reject_other_families(flag_names(rest), defaults.model)
    presets = "; ".join(f"{family}: {', '.join(table)}" for family, table in PRESETS.items())
    description = (
        "Trains a generator, or continues a run.\n\n"
        f"Shown are the settings of --model {defaults.model} and the defaults of --preset {preset}; another --model "
        f"or --preset with --help shows those.\n\nPresets of {presets}."
    )
    options = arguments.parse(grouped_options(defaults, preset), rest, prog="gan-tf train", description=description)
    changes = {name: value for group in vars(options).values() for name, value in vars(group).items()}
    changes.pop("preset")
    config = dataclasses.replace(defaults, **changes)
    if not config.dataset:
        raise UsageError(f"--dataset is missing; give a folder, a .zip, an .npz, or one of {', '.join(known_names())}")
    return config, preset


def grouped_options(defaults, preset):
    """Returns a dataclass with one field per group, itself a dataclass of flags with the defaults of a TrainConfig.

    Fields of other families are left out. `--preset` is added for --help.
    """
    annotations = typing.get_type_hints(TrainConfig)
    groups = {}
    for field in dataclasses.fields(TrainConfig):
        if field.name in GROUPS:
            members = groups.setdefault(GROUPS[field.name].format(FAMILY_NAMES[defaults.model]), [])
        if defaults.model in field.metadata["models"] and field.metadata["help"]:
            annotation = annotations[field.name]
            if field.name in CHOICES:
                annotation = typing.Literal[CHOICES[field.name][defaults.model]]
            annotation = typing.Annotated[annotation, tyro.conf.arg(help=field.metadata["help"])]
            members.append((field.name, annotation, getattr(defaults, field.name)))
        if field.name == "model":
            help = "named settings, which set the defaults of the other flags"
            members.append(("preset", typing.Annotated[str, tyro.conf.arg(help=help)], preset))
    classes = {title: dataclasses.make_dataclass("Group", members) for title, members in groups.items()}
    return dataclasses.make_dataclass(
        "TrainOptions",
        [(f"group{n}", typing.Annotated[classes[title], tyro.conf.arg(name=title)]) for n, title in enumerate(classes)],
    )


def flag_names(argv):
    """Returns the field names in arguments such as --batch-size 8, --batch-size=8 and --no-tanh."""
    names = [word[2:].partition("=")[0].replace("-", "_") for word in argv if word.startswith("--")]
    return {*names, *(name.removeprefix("no_") for name in names)}


def take_option(argv, name):
    """Removes `name VALUE` or `name=VALUE` from a list of arguments; returns (value or None, other arguments)."""
    value, rest, words = None, [], iter(argv)
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
