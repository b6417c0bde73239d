"""Atomic file writes, errors of reading and writing, and the cache folder."""

import contextlib
import errno
import fnmatch
import hashlib
import os
import re
import secrets
from pathlib import Path

from gan_tf.errors import UsageError

# Control characters, which terminals interpret, and lone surrogates, which cannot be encoded.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

NO_FOLDER = (errno.ENOTDIR, errno.EEXIST)  # a file exists where a folder is needed
CHECK_ACCESS = "check that it can be read and written"
REMEDIES = {  # for a full and for a read-only disk, and for a path of too many characters
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some disk space"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), CHECK_ACCESS),
    errno.ENAMETOOLONG: "give a shorter path",
}
MACHINE_REMEDIES = {  # for faults that are not of a disk
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the limit of open files (ulimit -n)"),
    errno.ENOMEM: "free some memory",
}

# Errors that another start would not change: of a file, of a setting, of a file system without locks, of a program.
# Every other error of the system counts as a fault of the disk, the network drive or the machine, see `disk_fault`.
LASTING = {
    *REMEDIES,
    *NO_FOLDER,
    *(errno.ENOENT, errno.EISDIR, errno.ENOTEMPTY, errno.EXDEV),
    *(errno.ELOOP, errno.EINVAL, errno.EILSEQ, errno.EOVERFLOW, errno.ESPIPE),
    *(errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP),
    *(errno.EBADF, errno.EPIPE, errno.ESRCH, errno.ECHILD),
}


def disk_remedy(error) -> str | None:
    """Returns advice if an OSError or TensorFlow error means a full or read-only disk, else None."""
    if isinstance(error, OSError):
        return REMEDIES.get(error.errno)
    # TensorFlow's message ends with the system's text; its error code ("resource exhausted") is less precise.
    return next((remedy for number, remedy in REMEDIES.items() if os.strerror(number) in str(error)), None)


def disk_fault(error, path=None) -> OSError | None:
    """Returns the error of a disk, a network drive or this machine that may pass, as an OSError with a file name.

    None for errors in LASTING, and for errors that are not of the system.

    Args:
        error: an exception. The exceptions that caused it count too, since libraries raise others for damaged files,
            and so does the text of TensorFlow's.
        path: the file, if the error does not name it.
    """
    while isinstance(error, BaseException):
        number, name = getattr(error, "errno", None), getattr(error, "filename", None)
        if hasattr(error, "error_code"):  # of TensorFlow; the first form is that of a Python function called by it
            texts = [(int(n), m) for n, m in re.findall(r"\[Errno (\d+)\][^'\n]*(?:'([^'\n]+)')?", str(error))]
            texts += [(n, None) for n in errno.errorcode if f"; {os.strerror(n)}" in str(error)]
            number, name = texts[0] if texts else (None, None)
        if number in errno.errorcode and number not in LASTING:
            return OSError(number, os.strerror(number), os.fspath(name or path or "a file"))
        error = error.__cause__ or error.__context__
    return None


def refuse_no_access(error, path):
    """Raises UsageError if `error`, or one that caused it, is that this user may not read the file: it is whole."""
    while error is not None:
        if disk_remedy(error) == CHECK_ACCESS:
            raise UsageError(f"{path} cannot be read ({os.strerror(errno.EACCES)}); {CHECK_ACCESS}")
        error = getattr(error, "__cause__", None) or getattr(error, "__context__", None)


def raise_fault(error, path=None):
    """Raises `disk_fault(error, path)` if there is one.

    Called first wherever an error of reading is caught: a file that cannot be read for a moment is not missing or
    damaged.
    """
    if fault := disk_fault(error, path):
        raise fault from error


@contextlib.contextmanager
def naming(path):
    """Names the file in errors of a failing disk: those of reading an open file have no name."""
    try:
        yield
    except OSError as error:
        raise_fault(error, path)
        raise


def exists(path) -> bool:
    """Returns True if there is a file or folder that this user can reach. Raises the OSError of a failing disk."""
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        raise_fault(error, path)
        return False
    return True


def list_folder(folder, pattern="*") -> list[Path]:
    """Returns the paths in a folder whose names match a pattern of `fnmatch`, sorted; [] if there is no such folder.

    Raises OSError if the folder cannot be listed, which `Path.glob` ignores.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [Path(folder, name) for name in sorted(fnmatch.filter(names, pattern))]


def printable(text):
    """Returns untrusted text, or an exception's message (if empty, its type), as one line of at most 200 characters."""
    return UNPRINTABLE.sub("?", " ".join(str(text).split()))[:200] or type(text).__name__


def escaped(text):
    """Returns a name with control characters and bytes that are not UTF-8 as escapes, such as "\\n" and "\\udcff"."""
    return UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def file_stamp(path):
    """Returns the size and times of a file as text, or "missing". Raises the OSError of a failing disk.

    Programs can set back the time of the last modification, but not that of the last status change.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise_fault(error, path)
        return "missing"
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def sha256_of(path):
    """Returns the SHA-256 of a file's content as hex."""
    with naming(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_root():
    """Returns the folder GAN_TF_CACHE, or by default ~/.cache/gan_tf; if that does not exist, XDG_CACHE_HOME/gan_tf."""
    if folder := os.environ.get("GAN_TF_CACHE"):
        return user_path(folder)
    default, base = user_path("~/.cache/gan_tf"), os.environ.get("XDG_CACHE_HOME", "")
    return Path(base, "gan_tf") if os.path.isabs(base) and not default.exists() else default


def user_path(text):
    """Returns a user's input as a Path, with ~ and ~name expanded. Raises UsageError if there is no such user."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{text}: its home folder is unknown; write the path in full") from error


def unwritable_error(path, flag, error):
    """Returns the UsageError for an OSError that occurred while writing the path given with `flag`."""
    return UsageError(f"{flag} {path} cannot be written: {printable(error.strerror or error)}")


@contextlib.contextmanager
def writing(path, flag):
    """Converts an OSError in the block, which writes the path given with `flag`, to a UsageError."""
    try:
        yield
    except OSError as error:
        raise_fault(error, path)
        raise unwritable_error(path, flag, error) from error


def refuse_existing(paths, flag, overwrite=False):
    """Raises UsageError if a file that a command will write exists: none is replaced without `--overwrite`."""
    for path in paths:
        if not overwrite and os.path.lexists(path):
            raise UsageError(f"{flag} {path} exists; give --overwrite to replace it, or another path")


def check_writable(path, flag, files=None, overwrite=False):
    """Raises UsageError if a file cannot be written, or exists and `overwrite` is False.

    Writes a temporary file and removes it, with the folders created for it.

    Args:
        path: of the file; with `files`, of the folder for files of these names.
        flag: the option that set the path.
    """
    is_file = files is None
    parent, missing = path.parent if is_file else path, []
    try:
        with writing(path, flag):
            if is_file and path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder; give the path of a file")
            if parent.exists() and not parent.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, f"{parent} is not a folder")
            missing += [ancestor for ancestor in (parent, *parent.parents) if not ancestor.exists()]
            with part_file(path if is_file else path / "trial", keep=False) as file:
                file.write(b"0")
    finally:
        for ancestor in missing:  # the deepest first
            with contextlib.suppress(OSError):  # reads no file: not empty, another process has written to it
                ancestor.rmdir()
    refuse_existing([path] if is_file else [path / name for name in files], flag, overwrite)


@contextlib.contextmanager
def writing_cache(path):
    """Converts an OSError in the block, which writes `path`, to a UsageError that names GAN_TF_CACHE.

    Errors other than a full or unwritable disk, and errors of files outside of `cache_root`, are raised as they are.
    """
    root = cache_root().absolute()
    try:
        yield
    except OSError as error:
        failed = Path(path if error.filename is None else os.fsdecode(error.filename)).absolute()
        in_cache = failed.is_relative_to(root) or (error.errno in NO_FOLDER and root.is_relative_to(failed))
        if not in_cache or error.errno not in (*REMEDIES, *NO_FOLDER):
            raise
        raise UsageError(
            f"GAN_TF_CACHE: the cache in {root} cannot be written ({printable(error.strerror)}); "
            f"{REMEDIES.get(error.errno, CHECK_ACCESS)}, or set GAN_TF_CACHE to another folder"
        ) from error


@contextlib.contextmanager
def part_file(path, keep=True):
    """Opens a temporary file for writing and renames it to `path` once it is complete and on the disk.

    At any time, and after a kill, `path` therefore has either the old content or the new. An OSError without a file
    name gets that of the temporary file. With `keep=False` the file is deleted instead of renamed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep:
            os.replace(part, path)
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(part)
        raise
    finally:
        part.unlink(missing_ok=True)


def remove_parts(folder, names):
    """Removes temporary files of `part_file` left by killed processes; no other process may be writing there.

    `names`: regular expression of the names of the complete files; other files in the folder are not touched.
    """
    for part in list_folder(folder, "*.part"):
        if re.fullmatch(rf"({names})\.[0-9a-f]{{8}}\.part", part.name) and part.is_file():
            part.unlink(missing_ok=True)


def write_atomically(path, content):
    """Replaces a file by `content` (bytes) in one step."""
    with part_file(path) as file:
        file.write(content)
