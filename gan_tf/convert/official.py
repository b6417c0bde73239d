"""Files of official programs, of whatever kind, as networks of this project."""

import os
from pathlib import Path

from gan_tf.convert import fastgan_files, nvidia_files
from gan_tf.convert.found import Found, refuse_unfit
from gan_tf.convert.state_dicts import load_state_dict
from gan_tf.errors import UsageError
from gan_tf.io.files import UNPRINTABLE, printable
from gan_tf.pretrained.network_pickles import foreign_name_in
from gan_tf.pretrained.torch_files import MAGIC_WITHIN, is_torch_file
from gan_tf.pretrained.unpickling import FileError, Refused, one_line

PICKLE = b"\x80"  # how all since protocol 2 begin
MOST_TEXT = 600  # characters of a refusal, into which a file may put names


def read_official(path) -> Found:
    """Reads a checkpoint of FastGAN-pytorch, or a pickle of Progressive GAN or StyleGAN2-ADA. No code in it is run.

    Raises:
        UsageError: one line that names the path: it cannot be read, is damaged, asks for what weights do not need, or
            holds other networks than these.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise UsageError("no plain file; give a .pth or .pkl")
        with one_line(path, "checkpoint or pickle"):
            with open(path, "rb") as file:
                head, size = file.read(MAGIC_WITHIN), os.fstat(file.fileno()).st_size
            if not is_torch_file(head) and not head.startswith(PICKLE):
                refuse_other(path)
            found = (fastgan_files if is_torch_file(head) else nvidia_files).read(path)
            refuse_unfit(found.states, size)
        return found
    except UsageError as error:
        raise _named(path, error) from error


def refuse_other(path):
    """Raises UsageError for a file that is neither of the two; an older pickle tells what it would do."""
    with one_line(path, "checkpoint or pickle"):
        if name := foreign_name_in(path):
            raise Refused(printable(name))
    raise UsageError("neither a checkpoint of torch.save nor a pickle; give N.pth, all_N.pth or network-*.pkl")


def fill(network, arrays, path):
    """Copies an official state dict into a built network.

    Raises:
        UsageError: an array is missing, left over, or of another shape; the line begins with the path.
    """
    try:
        load_state_dict(network, arrays)
    except UsageError as error:
        raise _named(path, error) from error


def _named(path, error):
    """An error whose line tells the file, whatever names of tensors the file put into it."""
    if isinstance(error, FileError):
        return error
    return UsageError(f"{path}: {UNPRINTABLE.sub('?', ' '.join(str(error).split()))[:MOST_TEXT]}")
