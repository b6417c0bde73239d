"""State dicts written by torch.save, read without PyTorch and without trusting the file.

Such a file is a pickle, a program that `unpickling` runs, and the numbers that it refers to: a zip archive
(`torch_zip`), or the legacy format (`torch_legacy`). What the pickle may make stands in `torch_tensors`.
"""

import math
from pathlib import Path

from gan_tf.pretrained.torch_legacy import MAGIC, MAGIC_WITHIN, read_legacy
from gan_tf.pretrained.torch_tensors import Tensor
from gan_tf.pretrained.torch_zip import ZIP_START, read_zip
from gan_tf.pretrained.unpickling import one_line, size_within

MOST_VALUES = 200_000  # in the dicts and lists of a checkpoint
MOST_DEPTH = 8  # of dicts in dicts


def read_torch_file(path, only=None):
    """Reads a state dict.

    Args:
        path: a file of torch.save, in either format.
        only: function of a tensor's name; False leaves the tensor out, and its numbers unread. Default: all.

    Returns:
        {name: array} in the file's order, shapes and types as stored, but bfloat16 as float32. Tensors that share a
        storage are views of one array; all are read-only.

    Raises:
        UsageError: no such file; a file that is truncated, damaged or of another program; one that asks for anything
            but tensors, which the message names.
    """
    return _read(path, _named_tensors, only, None, "state dict of torch.save")


def read_torch_checkpoint(path, only=None, check=None):
    """Reads a dict of state dicts, as training scripts save it, the state of their optimisers among them.

    Args:
        path, only: as for `read_torch_file`; `only` is asked for the tuple of keys that leads to a tensor.
        check: function of {(key, ..., key): description with `shape` and `ndim`} that raises UsageError if these are
            not the tensors to read. It is called before any of their numbers are read.

    Returns:
        {(key, ..., key): array}: the keys of dicts (strings, or numbers) and the places in lists that lead to it.
        Values that are no tensors (numbers, text) are left out.

    Raises:
        UsageError: as `read_torch_file`.
    """
    return _read(path, _nested_tensors, only, check, "checkpoint of torch.save")


def is_torch_file(head: bytes) -> bool:
    """True if a file that begins so is one of torch.save, in either format."""
    return head.startswith(ZIP_START) or MAGIC.to_bytes(10, "little") in head[:MAGIC_WITHIN]


def _read(path, tensors_of, only, check, kind):
    """{name: array} of the tensors that `tensors_of` finds in what a file of torch.save holds."""
    path = Path(path)

    def wanted(tensors):
        found = {name: tensor for name, tensor in tensors.items() if only is None or only(name)}
        if check is not None:
            check(found)
        return found

    with one_line(path, kind), open(path, "rb") as file:
        size = size_within(file)
        is_zip = file.read(len(ZIP_START)) == ZIP_START
        return (read_zip if is_zip else read_legacy)(file, size, tensors_of, wanted)


def _named_tensors(state, size):
    """The tensors of a state dict: {name: Tensor}."""
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__} and no dict of tensors")
    for name, tensor in dict.items(state):
        if type(name) is not str:
            raise ValueError(f"a tensor whose name is a {type(name).__name__}")
        if type(tensor) is not Tensor:
            raise ValueError(f"{name!r:.80} is a {type(tensor).__name__} and no tensor")
        _refuse_larger((name,), tensor, size)
    return dict(dict.items(state))


def _nested_tensors(state, size):
    """The tensors in dicts and lists of others: {(key, ..., key): Tensor}."""
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__} and no dict")
    found, left = {}, [((), state)]
    for _ in range(MOST_VALUES):
        if not left:
            return found
        path, value = left.pop()
        if type(value) is Tensor:
            _refuse_larger(path, value, size)
            found[path] = value
        elif isinstance(value, (dict, list)) or type(value) is tuple:
            if len(path) >= MOST_DEPTH:
                raise ValueError(f"dicts or lists in each other, deeper than {MOST_DEPTH}")
            if len(left) + len(value) > MOST_VALUES:
                break
            pairs = list(dict.items(value) if isinstance(value, dict) else enumerate(value))
            left += [((*path, key), part) for key, part in reversed(pairs)]
        elif not isinstance(value, (int, float, str, bytes, type(None))):
            raise ValueError(f"{_text(path)!r} is a {type(value).__name__} and no tensor")
    raise ValueError(f"more than {MOST_VALUES} values")


def _refuse_larger(path, tensor, size):
    if math.prod(tensor.shape) > size:
        raise ValueError(f"{_text(path)!r} has the shape {tensor.shape}, more numbers than the file has bytes")


def _text(path):
    """The keys that lead to a value, for a line; each may be as long as the file."""
    return "/".join(str(key)[:80] for key in path)[:80]
