"""Paths for TensorFlow, TFDS and other C++ libraries."""

import atexit
import contextlib
import functools
import os
import re
import shutil
import tempfile
from pathlib import Path

from gan_tf.errors import UsageError

# In a path, TensorFlow's reader of checkpoints and TFDS take these for a pattern, and cannot encode surrogates (UTF-8).
PATTERN = re.compile(r"[*?\[\]\\\ud800-\udfff]")
links = {}  # {folder with such a path: a link to it}


def tensorflow_path(path) -> str:
    """Returns `path` for TensorFlow, TFDS and other C++ libraries. All paths that they get must come from here.

    A path with a character of PATTERN leads through a link in a temporary folder, which exists until the process ends.
    Only the last name may be new; missing folders above it are created.
    """
    path = Path(path)
    if not PATTERN.search(path.as_posix()):
        return os.fspath(path)
    folder = Path(os.path.abspath(path if PATTERN.search(path.name) else path.parent))
    if folder not in links:
        with contextlib.suppress(OSError):  # reads no file: the caller's error is clearer
            folder.mkdir(parents=True, exist_ok=True)
        links[folder] = _links_folder() / str(len(links))
        try:
            links[folder].symlink_to(folder, target_is_directory=True)
        except OSError as error:  # reads no file: Windows requires a privilege for links
            raise UsageError(f"{folder}: TensorFlow takes * ? [ ] for a pattern; rename that folder") from error
    return os.fspath(links[folder] if PATTERN.search(path.name) else links[folder] / path.name)


@functools.cache
def _links_folder():
    folder = tempfile.mkdtemp(prefix="gan-tf-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # removes the links only
    return Path(folder)


def original_path(path) -> Path:
    """Returns the path that `tensorflow_path` was called with, for a path or one below it."""
    for folder, link in links.items():
        if Path(path).is_relative_to(link):
            return folder / Path(path).relative_to(link)
    return Path(path)
