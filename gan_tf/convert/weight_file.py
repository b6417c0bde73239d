"""Description of an official program's weight file, and the checks that all families share."""

import dataclasses

import numpy as np

from gan_tf.errors import UsageError

NAMES = {"G": "g", "D": "d", "G_ema": "g_ema"}  # roles in NVIDIA's pickles -> keys of `WeightFile.states`
SHOWN = 40  # characters of a value in a message


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """Networks in a file.

    model: key of FAMILIES.
    program: the official program.
    settings: {field of TrainConfig: value}, from the shapes and the networks' construction arguments.
    states: {"g_ema", and if the file has them "g" and "d": {official name: array}}.
    left_out: descriptions of the other content.
    """

    model: str
    program: str
    settings: dict
    states: dict
    left_out: list


def check_weights(states: dict, size: int):
    """Raises UsageError for arrays {network: {name: array}} that cannot be weights of a file of `size` bytes.

    Weights are floating-point numbers, finite in float32, and together no more numbers than the file has bytes.
    """
    distinct = {id(array): array for arrays in states.values() for array in arrays.values()}
    if sum(array.size for array in distinct.values()) > size:
        raise UsageError("its tensors have more numbers than the file has bytes")
    for network, arrays in states.items():
        for name, array in arrays.items():
            if array.dtype.kind != "f" and array.ndim:
                raise UsageError(f"{network}: {name} has type {array.dtype}, and should have floating-point numbers")
            with np.errstate(over="ignore"):
                finite = np.isfinite(array.astype(np.float32, copy=False)).all()
            if not finite:
                raise UsageError(f"{network}: {name} has numbers that are not finite")


def check_arguments(role, arguments, fixed, known):
    """Raises UsageError if a network was built with an argument that networks of gan_tf cannot have.

    Args:
        role: of the network, for the message.
        arguments: {name: value}.
        fixed: {name: the values that are supported}.
        known: names of other arguments.
    """
    for name, value in arguments.items():
        if name in fixed and value not in fixed[name]:
            supported = " or ".join(map(str, fixed[name]))
            raise UsageError(f"{role} was built with {name} {shown(value)}; only {supported} can be converted")
        if name not in fixed and name not in known:
            raise UsageError(f"{role} was built with the unknown argument {shown(name)} ({shown(value)})")


def merge_settings(settings, role, new, largest=()):
    """Adds the settings of one more network to `settings`; of the names in `largest` the larger value is kept.

    Raises:
        UsageError: another network of the file has another value.
    """
    for name, value in new.items():
        if name in largest:
            settings[name] = max(value, settings.get(name, 0))
        elif settings.setdefault(name, value) != value:
            raise UsageError(f"{role} has {name} {value}, another network of the file {settings[name]}")


def shown(value):
    """Returns a value of a file for a message."""
    return str(value)[:SHOWN]


def shape_of(arrays, name, axes):
    """Returns the shape of an array. Raises UsageError if it is missing or has another number of axes."""
    if name not in arrays:
        raise UsageError(f"{name} is missing")
    if arrays[name].ndim != axes:
        raise UsageError(f"{name} has the shape {arrays[name].shape}, and should have {axes} axes")
    return arrays[name].shape


def check_shape(arrays, name, shape):
    """Raises UsageError if an array is missing or has another shape.

    Called for the largest arrays of a network: settings read from checked shapes build a network whose size is bounded
    by the size of the file.
    """
    if shape_of(arrays, name, len(shape)) != shape:
        raise UsageError(f"{name} has the shape {arrays[name].shape}, and should have {shape}")
