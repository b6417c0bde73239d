"""What a file of an official program holds, in the words of this project, before any network is built."""

import dataclasses

import numpy as np

from gan_tf.errors import UsageError

STORED = 2  # bytes of a number in the file, at least: of half precision and bfloat16, which is read as float32


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
