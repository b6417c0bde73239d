"""What commands print: any names with any encoding, closed pipes, and commands that a shell accepts."""

import io
import os
import subprocess
import sys

import pytest

from gan_tf.cli import output
from gan_tf.io.shell import quote
from tests.scored import fid, make_run
from tests.training import tiny

PROGRAM = [sys.executable, "-m", "gan_tf.cli.main"]
NAMES = ["-x y", "it's", "ü 1", "a\x1b[31mb", "a\nb", "$HOME`x`\\", "~", os.fsdecode(b"\xff0")]
# With this environment Python reads names as ASCII, writes files as ASCII, and prints ASCII.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def words_in_bash(text):
    """Returns the arguments in the text of a command as bash reads them."""
    command = ["bash", "-c", f"printf '%s\\0' {text}"]
    return [os.fsdecode(word) for word in subprocess.run(command, stdout=-1, check=True).stdout.split(b"\0")[:-1]]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_quoted_paths_are_one_word_in_bash(monkeypatch, tmp_path, encoding):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    texts = [quote(tmp_path / name) for name in NAMES] + [quote(tmp_path / "-x" / "..").replace(str(tmp_path), "")]
    assert all(text.isprintable() and text.encode(encoding) for text in texts)
    assert words_in_bash(" ".join(texts))[: len(NAMES)] == [str(tmp_path / name) for name in NAMES]
    assert quote(tmp_path.__class__("-x")) == "./-x" and quote(-1) == "-1"


def test_runs_of_any_name_are_listed_in_ascii(tmp_path):
    for name in NAMES:
        make_run(tmp_path / name, [fid(50)])
    process = subprocess.run([*PROGRAM, "runs", "."], cwd=tmp_path, env={**os.environ, **ASCII}, capture_output=True)
    assert (process.returncode, process.stderr) == (0, b"")
    printed = process.stdout.decode("ascii")
    assert not output.CONTROL.search(printed)
    rows = [line.split("best   ")[1] for line in printed.splitlines() if "best   " in line]
    assert sorted(os.path.normpath(path) for path in words_in_bash(" ".join(rows))) == sorted(NAMES)


@pytest.mark.parametrize("shell", ["{} | true", "{} >&-", "{} 2>&-", "{} 2>&1 | true"])
@pytest.mark.parametrize("arguments", ["runs {folder}", "--help", "runs nowhere"])
def test_a_closed_pipe_is_no_error(tmp_path, shell, arguments):
    make_run(tmp_path / "a", [fid(50)])
    command = shell.format(" ".join(map(quote, PROGRAM)) + f" {arguments.format(folder=quote(tmp_path))}")
    process = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True)
    assert process.returncode == (2 if "nowhere" in arguments else 0)
    assert all(line.startswith("gan-tf: error: ") for line in process.stderr.splitlines())


def test_control_characters_of_an_error_are_escaped(refused):
    assert "no\\x1b]0;where\\x07 cannot be read" in refused("runs", "no\x1b]0;where\x07")


@pytest.mark.slow
def test_printed_commands_run_in_any_folder(dataset, tmp_path):
    """Trains, and continues, in an environment of ASCII; then bash runs the commands that were printed."""
    (tmp_path / "gan-tf").write_text(f'#!/bin/sh\nexec {" ".join(PROGRAM)} "$@"\n')
    (tmp_path / "gan-tf").chmod(0o755)
    environment = {**os.environ, **ASCII, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

    def run(command):
        process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)
        assert process.returncode == 0, process.stderr
        return process.stdout.decode("ascii")

    for kimg in (0.04, 0.06):
        flags = {"run": None, "total_kimg": kimg, "epoch_images": 20}
        arguments = map(str, tiny.arguments(dataset, "My [1] Drive's ü", **flags))
        printed = run(["gan-tf", "train", *arguments, "--run=-b"])
    assert "continuing" in printed
    generate, tensorboard = printed.split("next:\n")[1].splitlines()
    assert "64 images" in run(["bash", "-c", generate])
    [run_folder] = (tmp_path / words_in_bash(tensorboard)[2]).iterdir()
    assert run_folder.name == "-b" and (run_folder / "report.html").is_file()
