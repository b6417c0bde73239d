"""Commands on other platforms: without TensorFlow, with one that cannot be imported, and without POSIX modules."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib

import pytest

from gan_tf.cli.main import COMMANDS
from gan_tf.export import FORMATS
from gan_tf.io import image_files, packages
from tests.programs import ROOT
from tests.test_source_rules import POSIX_MODULES, POSIX_NAMES
from tests.training import tiny

# Commands that only read files; with --no-walk, `report` is one too.
WITHOUT_TENSORFLOW = ("inspect", "progress", "report", "runs")
HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
"""
BROKEN = """
try:
    raise ImportError("libcudart.so.12: cannot open shared object file")
except ImportError:
    raise ImportError("Traceback (most recent call last):\\n  File ...\\n\\nFailed to load the native runtime.")
"""
# This process without the modules and functions that Windows lacks, as far as Linux can show it: os.name stays "posix",
# and paths, TensorFlow and the standard library are those of Linux. A file must be writable for fsync, and closed for
# its removal or replacement.
WINDOWS = (
    f"MODULES, NAMES = {POSIX_MODULES.split('|')}, {POSIX_NAMES.split('|')}"
    + """
import builtins, contextlib, errno, os, signal, sys, types

import_module, fsync = builtins.__import__, os.fsync

def import_for_windows(name, globals=None, locals=None, fromlist=(), level=0):
    if (globals or {}).get("__name__", "").startswith("gan_tf"):
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name == "msvcrt":
            return types.SimpleNamespace(LK_NBLCK=2, locking=lambda descriptor, mode, count: None)
    return import_module(name, globals, locals, fromlist, level)

def fsync_for_windows(descriptor):
    with open(f"/proc/self/fdinfo/{descriptor}") as file:
        flags = int(file.read().split("flags:")[1].split()[0], 8)
    if flags & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "Bad file descriptor")
    fsync(descriptor)

def closed_only(function):
    def checked(*paths, **options):
        used = set()
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):  # another thread has closed it
                used.add(os.readlink(f"/proc/self/fd/{number}"))
        for path in () if options else paths:
            if os.path.abspath(os.fsdecode(path)) in used:
                raise PermissionError(errno.EACCES, "used by another process", path)
        return function(*paths, **options)
    return checked

builtins.__import__, os.fsync = import_for_windows, fsync_for_windows
for name in ("replace", "rename", "remove", "unlink"):
    setattr(os, name, closed_only(getattr(os, name)))
for name in NAMES:
    delattr(os if hasattr(os, name) else signal, name)
"""
)
RUN_COMMANDS = """
import contextlib, io, json, sys
from gan_tf.cli.main import run_command

results = {}
for name, arguments in json.load(sys.stdin).items():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as err:
        code = run_command(name, arguments)
    results[name] = code, err.getvalue()
print(json.dumps(results))
"""


def run_python(program, folder, commands=None):
    """Runs a program with the modules in `folder` before all others, and returns its standard output."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    options = {"input": json.dumps(commands), "capture_output": True, "text": True, "env": environment, "cwd": folder}
    done = subprocess.run([sys.executable, "-c", program], **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_commands(commands, folder):
    """Runs {command: arguments} in one process as `run_python`, and returns {command: (exit code, standard error)}."""
    return json.loads(run_python(RUN_COMMANDS, folder, commands).splitlines()[-1])


@pytest.fixture
def commands(run, dataset, tmp_path):
    """{command: arguments} that get as far as TensorFlow; a new command gets RUN."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for i, image in enumerate(tiny.square_images(4)):
        image_files.save_png(photos / f"{i}.png", image)
    training = tiny.arguments(dataset, tmp_path / "runs")
    arguments = {
        "train": training,
        "launch": ["--workers", "1", "--", "train", *training],
        "project": [run.folder, photos / "0.png", "--out", out],
        "generate": [run.folder, "--out", out],
        "interpolate": [run.folder, "--out", tmp_path / "x.webp"],
        "style-mix": [run.folder, "--out", tmp_path / "x.png"],
        "neighbours": [run.folder, "--out", tmp_path / "x.png"],
        "evaluate": [run.folder, "--dataset", dataset],
        "progress": [run.folder, "--out", tmp_path / "progress.webp"],
        "report": [run.folder, "--no-walk", "--out", tmp_path / "report.html"],
        "export": [run.folder, "--format", "saved_model", "--out", out],
        "inspect": [photos],
        "convert": [run.best / "generator.npz", out],
        "crop-faces": [photos, out],
        "augment-preview": [photos, "--out", tmp_path / "preview.png"],
    }
    return {name: list(map(str, arguments.get(name, [run.folder]))) for name in COMMANDS}


def test_without_tensorflow_every_command_prints_what_to_install(commands, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HIDE)
    for name, (code, err) in run_commands(commands, tmp_path).items():
        if name in WITHOUT_TENSORFLOW:
            assert code == 0, (name, err)
        elif name == "serve":
            assert code == 2 and "not a web app" in err  # it needs no TensorFlow: see test_serve.py
        elif name == "launch":
            assert code == 2  # its worker prints the line
        else:
            assert (code, err) == (2, f"gan-tf: error: TensorFlow is missing: {install()}\n"), name


def install():
    return packages.install_command(packages.tensorflow_extra())


def test_a_tensorflow_that_cannot_be_imported(run, tmp_path):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(BROKEN)
    load = f"import gan_tf\ntry:\n    gan_tf.load({str(run.folder)!r})\nexcept ValueError as error:\n    print(error)"
    [line] = run_python(load, tmp_path).splitlines()
    assert line.startswith("TensorFlow cannot be imported (libcudart.so.12: cannot open") and line.endswith(install())
    [(code, err)] = run_commands({"generate": [str(run.folder)]}, tmp_path).values()
    assert code == 2 and line in err


@pytest.mark.parametrize(
    ("system", "machine", "has_driver", "extra"),
    [
        ("linux", "x86_64", True, "cuda"),
        ("linux", "x86_64", False, "cpu"),
        ("linux", "aarch64", True, "cpu"),  # its wheels of TensorFlow are for the CPU
        ("win32", "AMD64", True, "cpu"),
        ("darwin", "arm64", False, "cpu"),
    ],
)
def test_the_extra_for_a_machine(monkeypatch, system, machine, has_driver, extra):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi" if has_driver else None)
    assert packages.tensorflow_extra() == extra


def test_messages_name_extras_that_have_the_missing_package():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    packages_of = {extra: {re.match(r"[\w-]+", line)[0] for line in lines} for extra, lines in extras.items()}
    for name, form in FORMATS.items():  # `gan-tf export` names the extra like the format
        assert set(form.needs) <= packages_of.get(name, set()), name
    texts = [path.read_text() for path in (ROOT / "gan_tf").rglob("*.py")]
    named = {extra for text in texts for extra in re.findall(r"""install_command\(["'](\w+)["']\)""", text)}
    assert "av" in packages_of["video"] and "video" in named and named <= packages_of.keys()


def test_an_uninstalled_copy_of_the_repository_is_installed_by_its_path(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert packages.install_command("cpu") == f'pip install -e "{ROOT}[cpu]"'


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_without_the_modules_of_posix_a_run_trains_and_is_read(commands, tmp_path):
    """For Windows, on which gan_tf is not tested itself."""
    (tmp_path / "sitecustomize.py").write_text(WINDOWS)
    commands["train"] += ["--total-kimg", "0.04", "--memory-gb", "1e-6", "--no-final-score"]
    commands = {name: commands[name] for name in ("train", "generate", "runs", "inspect", "report", "progress")}
    trained = str(tmp_path / "runs" / "tiny")
    for name in ("generate", "runs", "report", "progress"):
        commands[name][0] = trained
    for name, (code, err) in run_commands(commands, tmp_path).items():
        assert code == 0, (name, err)
