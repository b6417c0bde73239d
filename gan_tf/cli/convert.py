"""`gan-tf convert FILE RUN`: a run folder out of the weights of an official program."""

import contextlib
import dataclasses
import glob
import os
import re
import secrets
import shlex
import shutil
from typing import Annotated

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.config.presets import PRESETS
from gan_tf.config.settings import TrainConfig
from gan_tf.errors import UsageError
from gan_tf.io.files import printable, sha256_of, user_path

PART = re.compile(r"\.[0-9a-f]{8}\.part")  # what a run folder's name ends in while it is written


@dataclasses.dataclass(frozen=True)
class ConvertOptions:
    """Makes a run folder of weights that an official program saved: a checkpoint of FastGAN-pytorch (N.pth, all_N.pth),
    or a pickle of Progressive GAN or StyleGAN2-ADA (network-*.pkl). No code in the file is run, and PyTorch is not
    needed."""

    # The checkpoint or pickle.
    file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    # Folder of the new run, such as checkpoints/converted.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    verbose: bool = False  # let TensorFlow speak


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: a file that cannot be converted, or a folder that cannot be written.
    """
    options = arguments.parse(ConvertOptions, argv, prog="gan-tf convert")
    path, folder = user_path(options.file), user_path(options.run)
    if folder.name in ("", ".."):
        raise UsageError(f"RUN is {options.run!r}; give the name of a new folder, such as checkpoints/converted")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"RUN: {folder} is there already; give a new folder")
    except OSError as error:
        raise unwritable(folder, error) from error
    start_tensorflow(options.verbose)
    import tensorflow as tf

    try:
        print(convert(path, folder), flush=True)
        return 0
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise UsageError(f"{path}: its networks need more memory than is free; close other programs") from error
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(folder, error):
    """What an OSError about RUN says to the user."""
    return UsageError(f"RUN: {folder} cannot be written: {error.strerror or error}; give another folder")


def remove_parts(folder):
    """Removes what a conversion to `folder` that was killed left beside it. One that is going on holds its lock."""
    from gan_tf.runs.folder import Run

    for part in folder.parent.glob(f"{glob.escape(folder.name)}.*.part"):
        if PART.fullmatch(part.name.removeprefix(folder.name)) and part.is_dir() and not part.is_symlink():
            run = Run(part)
            with contextlib.suppress(UsageError):
                run.create()
                run.close()
                shutil.rmtree(part)


def convert(path, folder) -> str:
    """Reads and writes. Returns what there is to tell.

    The run folder holds
        config.json          the settings that the file tells; all others stand at the family's default. The data is
                             "converted_from" the file, with no images: such a run cannot be continued
        environment.json     versions of this moment
        best/generator.npz   the averaged generator, without a score, at image count 0: the file does not tell it
        state/               if the file has a discriminator: a checkpoint of both players and the averaged generator,
                             with fresh optimisers, for `--init-from` and `--which last`
    and takes its name when it is whole.
    """
    from gan_tf.convert.official import read_official
    from gan_tf.pretrained.unpickling import one_line

    remove_parts(folder)
    found = read_official(path)
    with one_line(path, "checkpoint or pickle"):
        digest = sha256_of(path)
    config = settings_of(found, path)
    networks = build(config, found, path)
    part = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.part")
    try:
        write(part, config, networks, f"{printable(path.name)} (SHA-256 {digest})")
        if folder.exists():
            folder.rmdir()  # empty, and in Windows in the way
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return summary(found, config, networks, folder)


def settings_of(found, path):
    """TrainConfig of the converted run.

    Raises:
        UsageError: settings that a run of this family cannot have.
    """
    default = next(iter(PRESETS[found.model].values()))
    try:
        return dataclasses.replace(default, **found.settings)
    except UsageError as error:
        raise UsageError(f"{path} has networks that cannot be trained here: {error}") from error


def build(config: TrainConfig, found, path):
    """{"g", "d" or "g_ema": network} with the file's weights; "g" and "d" where it has a discriminator."""
    from gan_tf.convert.official import fill
    from gan_tf.models import FAMILIES

    family = FAMILIES[config.model]
    kinds = {"g_ema": family.generator}
    if "d" in found.states:
        kinds |= {"g": family.generator, "d": family.discriminator}
    networks = {name: kind(config, "float32") for name, kind in kinds.items()}
    for name, network in networks.items():
        fill(network, found.states.get(name, found.states["g_ema"]), path)
    return networks


def write(folder, config, networks, origin):
    """Writes the run folder."""
    import tensorflow as tf

    import gan_tf
    from gan_tf.models.variables import load_weights, named_variables
    from gan_tf.runs.folder import Run
    from gan_tf.training.recipes import RECIPES
    from gan_tf.training.state import create_state, save_state

    run = Run(folder)
    run.create("RUN")
    try:
        weights = {name: variable.numpy() for name, variable in named_variables(networks["g_ema"]).items()}
        run.replace_best(weights, {"images_seen": 0, "converted_from": origin})
        if "d" in networks:
            recipe = RECIPES[config.model]
            state = create_state(networks["g"], networks["d"], networks["g_ema"], config, recipe)
            load_weights(state.g_ema, weights, folder)  # which a fresh state's average does not begin with
            save_state(state, run, keep=1)
        run.write_environment({"gan_tf": gan_tf.__version__, "tensorflow": tf.__version__, "converted_from": origin})
        names = [str(number) for number in range(config.classes)]  # the file tells no names, nor how often each was
        data = {"fingerprint": "", "images": 0, "class_names": names, "class_counts": [1] * len(names)}
        run.write_settings(config, {**data, "converted_from": origin})
    finally:
        run.close()


def summary(found, config, networks, folder):
    """What was converted, what was left out, and what to do next."""
    from gan_tf.models.variables import named_variables

    sizes = ", ".join(f"{name} {getattr(config, name)}" for name in names_of_sizes(config, "d" in networks))
    words = {"g_ema": "averaged generator", "g": "generator", "d": "discriminator"}
    parts = ", ".join(f"{words[name]} ({len(named_variables(net))} variables)" for name, net in networks.items())
    lines = [f"{folder}: {config.model} of {found.origin}: {sizes}", f"converted: {parts}"]
    if "d" in networks and "g" not in found.states:
        lines.append("the file has one generator: it is both the averaged one and the one to train on")
    if "d" not in networks:
        lines.append("no discriminator: a run that begins with this one trains a new discriminator")
    lines += [f"left out: {printable(what)}" for what in found.left_out]
    if "g" in found.states and "g" not in networks and found.states["g"] is not found.states["g_ema"]:
        lines.append(
            "left out: g, the generator that is trained: without its discriminator, the averaged one is better"
        )
    shown = shlex.quote(os.path.relpath(folder))
    after = [
        "next:",
        f"  gan-tf generate {shown} --seeds 0-63 --out pictures --grid",
        f"  gan-tf evaluate {shown} --dataset DATASET",
    ]
    if half_grown := half_grown_size(networks["g_ema"], config):
        lines.append(f"half grown: to {half_grown}, where --init-from wants networks of their full size")
    else:
        flags = architecture_flags(config)
        after.append(f"  gan-tf train --dataset DATASET --init-from {shown} --run NAME{flags}")
    return "\n".join(lines + after)


def half_grown_size(g, config):
    """How far a generator has grown, such as "8x8 of 16x16", None if fully."""
    from gan_tf.models.pggan import GROWTH, resolution_of

    if not hasattr(g, GROWTH) or float(g.growth.numpy()) == g.levels:
        return None
    size = resolution_of(int(g.growth.numpy()))
    return f"{size}x{size} of {config.resolution}x{config.resolution}"


def names_of_sizes(config, with_discriminator):
    """Names of the settings that say what the networks are, without those of a discriminator that is not there."""
    from gan_tf.config.settings import DISCRIMINATOR_FIELDS, architecture_fields

    names = [name for name in architecture_fields(config.model)[1:] if name != "classes" or config.classes]
    return [name for name in names if with_discriminator or name not in DISCRIMINATOR_FIELDS]


def architecture_flags(config):
    """The flags that a run with the same networks needs, where they are not the defaults of its family."""
    from gan_tf.config.settings import as_argument

    default = next(iter(PRESETS[config.model].values()))
    words = [f" --model {config.model}"] if config.model != TrainConfig().model else []
    for name in names_of_sizes(config, with_discriminator=True):
        value = getattr(config, name)
        if name == "classes":
            words.append(" --conditional")  # how many there are, the data set says
        elif value != getattr(default, name):
            words.append(f" {as_argument(name, value)}")
    return "".join(words)
