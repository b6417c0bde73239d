"""Description of an official program's weight file, and the checks that all families share."""

import dataclasses

from gan_tf.errors import UsageError

NAMES = {"G": "g", "D": "d", "G_ema": "g_ema"}  # roles in NVIDIA's pickles -> keys of `WeightFile.states`


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """The networks in a weight file, and the settings of a run with them."""

    model: str  # key of gan_tf.models.FAMILIES
    program: str  # the official one
    settings: dict  # {field of TrainConfig: value}, from the arrays' shapes and the networks' constructor arguments
    states: dict  # {"g_ema" and, if the file has them, "g" and "d": {official name: array}}
    left_out: list  # descriptions of content that is not converted


def check_arguments(role, arguments, fixed, known):
    """Raises UsageError if a network was built with an argument that gan_tf does not support.

    `arguments` is {name: value}, `fixed` {name: the values that are supported}, `known` the names of other arguments.
    """
    for name, value in arguments.items():
        if name in fixed and value not in fixed[name]:
            supported = " or ".join(map(str, fixed[name]))
            raise UsageError(f"{role} was built with {name} {shown(value)}; only {supported} can be converted")
        if name not in fixed and name not in known:
            raise UsageError(f"{role} was built with the unknown argument {shown(name)} ({shown(value)})")


def check_sizes(role, arguments, sizes):
    """Raises UsageError if a network was built with another size than `sizes`, {argument: size} of its arrays."""
    for name, size in sizes.items():
        if arguments.get(name) not in (None, size):
            raise UsageError(f"{role} was built with {name} {shown(arguments[name])}, and its arrays have {size}")


def merge_settings(settings, role, new, largest=()):
    """Adds the settings of one more network to `settings`; for the names in `largest` the larger value is kept.

    Raises:
        UsageError: another network of the file has another value.
    """
    for name, value in new.items():
        if name in largest:
            settings[name] = max(value, settings.get(name, 0))
        elif settings.setdefault(name, value) != value:
            raise UsageError(f"{role} has {name} {value}, another network of the file {settings[name]}")


def shown(value):
    """Returns the first 40 characters of a value in a file, for an error."""
    return str(value)[:40]


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
