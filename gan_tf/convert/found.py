"""What a file of an official program holds, in the words of this project, before any network is built."""

import dataclasses

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.pretrained.network_pickles import STORED

ROLES = {"G": "g", "D": "d", "G_ema": "g_ema"}  # of networks in NVIDIA's pickles: their names in `Found.states`
MOST = 40  # characters of a value in a message


@dataclasses.dataclass(frozen=True)
class Found:
    """Networks of a file.

    model: key of FAMILIES.
    origin: the program that the file is of, for people.
    settings: {field of TrainConfig: value} that the arrays and the file's own arguments tell.
    states: {"g_ema", and where the file has them "g" and "d": {official name: array}}.
    left_out: what else the file holds, each a few words.
    """

    model: str
    origin: str
    settings: dict
    states: dict
    left_out: list


def refuse_unfit(states: dict, size: int):
    """Refuses arrays that cannot be weights.

    Args:
        states: {network: {name: array}}.
        size: bytes of the file.

    Raises:
        UsageError: one is not of floating-point numbers, or not finite in float32, which networks have; or all together
            have more numbers than the file, as no file of weights needs, and as would take more memory than the file's
            size promises.
    """
    distinct = {id(array): array for arrays in states.values() for array in arrays.values()}
    if sum(array.size * min(array.itemsize, STORED) for array in distinct.values()) > size:
        raise UsageError("its tensors are larger than the file: they repeat themselves")
    for network, arrays in states.items():
        for name, array in arrays.items():
            if array.dtype.kind != "f" and array.ndim:
                raise UsageError(f"{network}: {name} holds {array.dtype}, no floating-point numbers")
            with np.errstate(over="ignore"):
                finite = np.isfinite(array.astype(np.float32, copy=False)).all()
            if not finite:
                raise UsageError(f"{network}: {name} holds numbers that are not finite")


def refuse_other_arguments(role, arguments, fixed, known):
    """Raises UsageError if a network was built with an argument that ours cannot have.

    Args:
        role: of the network, for the message.
        arguments: {name: value}.
        fixed: {name: values} of those that ours have at few values only.
        known: names of all others that there are.
    """
    for name, value in arguments.items():
        if name in fixed:
            if value not in fixed[name]:
                wanted = " or ".join(map(str, fixed[name]))
                raise UsageError(
                    f"{role} was built with {name} {shown(value)}; only networks with {wanted} can be converted"
                )
        elif name not in known:
            raise UsageError(f"{role} was built with the unknown argument {name[:MOST]} ({shown(value)})")


def shown(value):
    """A value of a file as a message tells it."""
    return str(value)[:MOST]


def shape_of(otherwise, arrays, name, axes):
    """The shape of an official array that must be there with so many axes.

    Raises:
        UsageError: it is not; the line begins with `otherwise`, what the arrays then are not.
    """
    if name not in arrays:
        raise UsageError(f"{otherwise}: {name} is missing")
    if arrays[name].ndim != axes:
        raise UsageError(f"{otherwise}: {name} has the shape {arrays[name].shape}, and should have {axes} axes")
    return arrays[name].shape


def require_shape(otherwise, arrays, name, shape):
    """Raises UsageError, as `shape_of`, unless an array has a shape.

    Of an array so large that the whole network is no larger, but for a factor of a few, than the file.
    """
    if shape_of(otherwise, arrays, name, len(shape)) != shape:
        raise UsageError(f"{otherwise}: {name} has the shape {arrays[name].shape}, and should have {shape}")
