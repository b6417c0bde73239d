"""`gan-tf convert FILE RUN`: makes a run folder from an official program's weight file."""

import contextlib
import dataclasses
import glob
import os
import secrets
import shutil
from pathlib import Path
from typing import Annotated

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.config.presets import PRESETS
from gan_tf.config.settings import DISCRIMINATOR_FIELDS, TrainConfig, architecture_fields, as_argument
from gan_tf.errors import UsageError
from gan_tf.io.files import list_folder, printable, raise_fault, sha256_of, user_path
from gan_tf.io.shell import quote

ROLES = {"g_ema": "EMA generator", "g": "generator", "d": "discriminator"}


@dataclasses.dataclass(frozen=True)
class ConvertOptions:
    """Makes a run folder from the weights of an official program: a checkpoint of FastGAN-pytorch (N.pth, all_N.pth),
    or a pickle of Progressive GAN or StyleGAN2-ADA (network-*.pkl). No code in the file is run, and PyTorch is not
    needed."""

    # The checkpoint or pickle.
    file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    # Folder of the new run, such as checkpoints/converted.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    # FastGAN: keep the statistics of batch norm in the file. By default they are estimated again from generated images,
    # because the official program averages the weights without them, and does not use them
    keep_statistics: bool = False
    # Family and pixels of the networks; the file determines them, and other ones are refused.
    model: str | None = None
    resolution: int | None = None
    verbose: bool = False  # print TensorFlow's messages


def main(argv) -> int:
    """Runs the command and returns 0. Raises UsageError if the file cannot be converted or the folder not written."""
    options = arguments.parse(ConvertOptions, argv, prog="gan-tf convert")
    path, folder = user_path(options.file), user_path(options.run)
    if folder.name in ("", ".."):
        raise UsageError(f"RUN is {options.run!r}; give the name of a new folder, such as checkpoints/converted")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"RUN: {folder} already exists; give a new folder")
        start_tensorflow(options.verbose)
        lines = convert(path, folder, options.keep_statistics, options.model, options.resolution)
    except MemoryError as error:
        raise UsageError(f"{path}: its networks need more memory than is free; close other programs") from error
    except OSError as error:
        raise_fault(error, folder)
        raise UsageError(f"RUN: {folder} cannot be written: {error.strerror or error}; give another folder") from error
    print(lines, flush=True)
    return 0


def convert(path, folder, keep_statistics=False, model=None, resolution=None) -> str:
    """Converts a weight file into a run folder. Returns a summary.

    Raises UsageError unless the file has networks of `model` and `resolution`, if they are given. `keep_statistics`:
    of batch norm.

    The folder gets its name when it is complete. It contains
        config.json          the settings of the networks, defaults for all others; no images, so it cannot be continued
        environment.json     versions of the programs
        best/generator.npz   the EMA generator, without a score, at image count 0
        state/               if the file has a discriminator: a checkpoint of both players and the EMA generator, with
                             fresh optimisers, for `--init-from` and `--which last`
    """
    import tensorflow as tf

    from gan_tf.convert import load_state_dict, read_weight_file
    from gan_tf.models import FAMILIES
    from gan_tf.models.statistics import StandingStatistics, has_statistics
    from gan_tf.models.variables import load_weights
    from gan_tf.pretrained.torch_files import reading
    from gan_tf.training.state import weights_of

    remove_parts(folder)
    with reading(path, "checkpoint or pickle"):
        weights, digest = read_weight_file(path), sha256_of(path)
    try:
        config = dataclasses.replace(default_config(weights.model), **weights.settings)
    except UsageError as error:
        raise UsageError(f"{path} has networks that cannot be trained here: {error}") from error
    for name, given in (("model", model), ("resolution", resolution)):
        if given not in (None, getattr(config, name)):
            raise UsageError(f"--{name} is {given}, but {path} has networks of --{name} {getattr(config, name)}")
    family = FAMILIES[config.model]
    builders = {"g_ema": family.generator}
    if "d" in weights.states:
        builders |= {"g": family.generator, "d": family.discriminator}
    try:
        networks = {name: builder(config, "float32") for name, builder in builders.items()}
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError from error
    with reading(path, "checkpoint or pickle"):
        for name, network in networks.items():
            load_state_dict(network, weights.states.get(name, weights.states["g_ema"]))
    estimated = has_statistics(networks["g_ema"]) and not keep_statistics
    if estimated:
        g_ema = networks["g_ema"]
        load_weights(g_ema, StandingStatistics(g_ema)(weights_of(g_ema)), path)
    part = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.part")
    try:
        write(part, config, networks, f"{printable(path.name)} (SHA-256 {digest})")
        if folder.exists():
            folder.rmdir()  # it is empty
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return summary(weights, config, networks, folder, estimated)


def default_config(model):
    """Returns the TrainConfig of a family's first preset."""
    return next(iter(PRESETS[model].values()))


def remove_parts(folder):
    """Removes incomplete folders of killed conversions to `folder`. Those of running conversions are locked.

    Without locks, none is removed.
    """
    from gan_tf.runs.folder import Run

    for part in list_folder(folder.parent, f"{glob.escape(folder.name)}.{'[0-9a-f]' * 8}.part"):
        if part.is_dir() and not part.is_symlink():
            run = Run(part)
            with contextlib.suppress(UsageError):
                is_locked = run.create()
                run.close()
                if is_locked:
                    shutil.rmtree(part)


def write(folder, config, networks, origin):
    """Writes the run folder that `convert` describes. `origin`: name and SHA-256 of the weight file."""
    import tensorflow as tf

    import gan_tf
    from gan_tf.models.variables import load_weights
    from gan_tf.runs.folder import Run
    from gan_tf.training.recipes import recipe_of
    from gan_tf.training.state import create_state, save_state, weights_of

    with contextlib.closing(Run(folder)) as run:
        run.create("RUN")
        names = [str(number) for number in range(config.classes)]  # the file has no class names or counts
        data = {"fingerprint": "", "images": 0, "class_names": names, "class_counts": [1] * len(names)}
        run.write_settings(config, {**data, "converted_from": origin})
        weights = weights_of(networks["g_ema"])
        run.replace_best(weights, {"images_seen": 0, "converted_from": origin})
        if "d" in networks:
            state = create_state(networks["g"], networks["d"], networks["g_ema"], config, recipe_of(config))
            load_weights(state.g_ema, weights, folder)  # create_state has copied g to it
            save_state(state, run, keep=1)
        run.write_environment({"gan_tf": gan_tf.__version__, "tensorflow": tf.__version__, "converted_from": origin})


def summary(weights, config, networks, folder, estimated):
    """Returns the lines to print: converted networks, other content of the file, and the next commands.

    estimated: the batch norm statistics are not those of the file.
    """
    from gan_tf.models.pggan import GROWTH, resolution_of
    from gan_tf.models.statistics import IMAGES
    from gan_tf.models.variables import named_variables

    g_ema = networks["g_ema"]
    sizes = ", ".join(f"{name} {getattr(config, name)}" for name in architecture_names(config, "d" in networks))
    parts = ", ".join(f"{ROLES[name]} ({len(named_variables(net))} variables)" for name, net in networks.items())
    lines = [f"{folder}: {config.model} of {weights.program}: {sizes}", f"converted: {parts}"]
    if estimated:
        lines.append(
            f"statistics of batch norm: of {IMAGES:,} generated images, since those of the file may be of "
            "other weights; --keep-statistics keeps them"
        )
    if "d" not in networks:
        lines.append("no discriminator: a run that starts from this one trains a new discriminator")
    elif "g" not in weights.states:
        lines.append("the file has one generator: it becomes the EMA generator and the one to train")
    lines += [f"left out: {printable(content)}" for content in weights.left_out]
    if "g" in weights.states and "g" not in networks and weights.states["g"] is not weights.states["g_ema"]:
        lines.append("left out: g, the trained generator: without its discriminator, the EMA generator is better")
    run, images = Path(os.path.relpath(folder)), Path(f"{folder.name}-images")
    commands = ["next:", f"  gan-tf generate {quote(run)} --seeds 0-63 --out {quote(images)} --grid"]
    commands.append(f"  gan-tf evaluate {quote(run)} --dataset DATASET")
    if hasattr(g_ema, GROWTH) and (growth := float(g_ema.growth.numpy())) < g_ema.levels:
        size = f"{config.size_text_at(resolution_of(int(growth)))} of {config.size_text}"
        lines.append(f"half grown: to {size}; --init-from needs fully grown networks")
    else:
        flags = architecture_flags(config)
        commands.append(f"  gan-tf train --dataset DATASET --init-from {quote(run)} --run NAME" + flags)
    return "\n".join(lines + commands)


def architecture_names(config, with_discriminator):
    """Returns the names of the settings that define the networks, with or without those of the discriminator.

    All published networks generate square RGB images.
    """
    left_out = {"model", "size", "channels", *(() if config.classes else ("classes",))}
    names = [name for name in architecture_fields(config.model) if name not in left_out]
    return [name for name in names if with_discriminator or name not in DISCRIMINATOR_FIELDS]


def architecture_flags(config):
    """Returns the flags of `gan-tf train` that give the same networks, without flags that have their default."""
    default = default_config(config.model)
    flags = [f" --model {config.model}"] if config.model != TrainConfig().model else []
    for name in architecture_names(config, with_discriminator=True):
        value = getattr(config, name)
        if name == "classes":
            flags.append(" --conditional")  # the dataset determines their number
        elif value != getattr(default, name):
            flags.append(f" {as_argument(name, value)}")
    return "".join(flags)
