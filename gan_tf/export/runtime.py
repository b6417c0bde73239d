"""LiteRT.js, the runtime of the web app: obtained once by npm and kept in the cache, or taken from a local folder."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from gan_tf.errors import UsageError
from gan_tf.io.content import reason_of
from gan_tf.io.files import cache_root, exists, printable, sha256_of
from gan_tf.io.locks import locked
from gan_tf.io.shell import quote

VERSION = "2.5.3"
PACKAGES = ("@litertjs/core", "@litertjs/wasm-utils")
MEGABYTES = 12  # of the download
WASM_UTILS = "wasm-utils.js"
# {name in a site: (path in node_modules/@litertjs, SHA-256)}. "compat" is for browsers without relaxed SIMD.
FILES = {
    "index.js": ("core/dist/index.js", "e7daccc3a31eef890848a737ccb863ded5f046a6b40c3fdc0556495adeb5d9b3"),
    WASM_UTILS: ("wasm-utils/dist/index.js", "e0e20bc28ab001ac732cf40d15b6eebd24fb0deaeb95eeba5100f51eebf015f2"),
    "litert_wasm_internal.js": (
        "core/wasm/litert_wasm_internal.js",
        "68efb69f770e3f76aff36a377de629ca496c131b86ac0f0f4b592a1543a898eb",
    ),
    "litert_wasm_internal.wasm": (
        "core/wasm/litert_wasm_internal.wasm",
        "7280cf4471774867e385e6c3cd53e2b45e2975b80fea338fff4ef359b0865614",
    ),
    "litert_wasm_compat_internal.js": (
        "core/wasm/litert_wasm_compat_internal.js",
        "4d8f894b7883654fd6e8439730aa41e79ceaab7d19184fc4f1f0b0f1a2a2c8a5",
    ),
    "litert_wasm_compat_internal.wasm": (
        "core/wasm/litert_wasm_compat_internal.wasm",
        "5255c8ad06eabdbd2522cdebf6b22fc10faf74625c23a49b9e072570cd1fa41c",
    ),
}


def npm_command(folder) -> list[str]:
    """Returns the command that puts the packages into `folder`/node_modules. It runs no script of a package."""
    packages = [f"{name}@{VERSION}" for name in PACKAGES]
    return ["npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", *packages]


def npm_text(folder="litert") -> str:
    """Returns `npm_command` as text, to be pasted."""
    return " ".join(map(quote, npm_command(folder)))


def obtain_runtime(folder=None, offline=False, log=print) -> Path:
    """Returns a folder that `npm_command` filled, with checked files.

    Args:
        folder: such a folder of the user; default: that in the cache, which npm fills once.
        offline: do not download.
        log: called with a line before a download.

    Raises:
        UsageError: files are missing or are those of another version, or the download fails.
    """
    if folder is not None:
        _check(folder, f"give --runtime a folder made by {npm_text()}")
        return folder
    folder = cache_root() / f"litert-{VERSION}"
    with locked(folder.with_name(folder.name + ".lock")):
        if not exists(folder):
            _download(folder, offline, log)
    _check(folder, "delete the folder, and it is downloaded again")
    return folder


def copy_runtime(folder, out):
    """Writes the files of FILES from a folder of `obtain_runtime` to the folder `out`."""
    for name, (path, _) in FILES.items():
        content = _path(folder, path).read_bytes()
        if name == "index.js":  # browsers do not find packages by name
            content = content.replace(f'"{PACKAGES[1]}"'.encode(), f'"./{WASM_UTILS}"'.encode())
        (out / name).write_bytes(content)


def _path(folder, path):
    return Path(folder, "node_modules", "@litertjs", path)


def _download(folder, offline, log):
    elsewhere = f"run {npm_text()} on another machine, and give the folder with --runtime"
    if offline:
        raise UsageError(f"--offline forbids downloading LiteRT.js {VERSION}: {elsewhere}")
    program = shutil.which("npm")
    if program is None:
        raise UsageError(f"LiteRT.js {VERSION} comes from npm, which is not installed: install Node.js, or {elsewhere}")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.", suffix=".part") as part:
        new = Path(part, "new")
        command = npm_command(new)
        packages = " and ".join(command[-len(PACKAGES) :])
        log(f"downloading {packages} ({MEGABYTES} MB) with npm to {folder}")
        done = subprocess.run([program, *command[1:], "--fetch-retries=1"], capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith(("npm error", "npm ERR!"))]
            reason = printable("; ".join(lines[:3]) or f"exit code {done.returncode}")
            raise UsageError(f"npm cannot download {packages} ({reason}): try again, or {elsewhere}")
        _check(new, "try again")
        os.replace(new, folder)


def _check(folder, remedy):
    """Raises UsageError unless a folder has all files of FILES, unchanged; `remedy`: end of the message."""
    for path, digest in FILES.values():
        file = _path(folder, path)
        if not exists(file):
            raise UsageError(f"{folder} has no {file.relative_to(folder)} of LiteRT.js: {remedy}")
        if sha256_of(file) != digest:
            version = _version_of(_path(folder, "core/package.json"))
            is_other = version not in (None, VERSION)
            reason = f"is of version {version}" if is_other else reason_of("is damaged or another file", file)
            raise UsageError(f"{file} of LiteRT.js {reason}, not of {VERSION}: {remedy}")


def _version_of(path):
    """Returns the version in a package.json, None if there is none."""
    if not exists(path):
        return None
    try:
        return printable(json.loads(path.read_bytes())["version"])
    except (ValueError, TypeError, KeyError):
        return None
