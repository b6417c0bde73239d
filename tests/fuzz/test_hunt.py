"""The hunt itself: what it must find."""

import dataclasses
import sys

import pytest

from gan_tf.errors import UsageError
from tests.fuzz import hunt
from tests.fuzz.readers import Reader

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of a process as Linux has them")


def make(random, folder):
    path = folder / "input"
    path.write_text("x")
    return path


def loop(path):
    while True:
        try:
            sum(range(1000))
        except Exception:  # noqa: BLE001  a reader that swallows everything
            continue


def refuse(text):
    def read(path):
        raise UsageError(text.replace("PATH", str(path)))

    return read


def fail(path):
    raise KeyError("traceback")


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda path: None, "valid"),
        (refuse("PATH is damaged; get another"), "refused"),
        (refuse("PATH is\ndamaged"), "no clean line"),
        (refuse("PATH is \x1b[31mdamaged"), "no clean line"),
        (refuse("PATH is " + 2000 * "x"), "no clean line"),
        (refuse("something is damaged"), "names no file"),
        (fail, "KeyError: 'traceback'"),
        (loop, "more than 0.2 seconds"),
    ],
)
def test_what_is_found(tmp_path, monkeypatch, read, words):
    monkeypatch.setitem(hunt.READERS, "mine", Reader(make, read, seconds=0.2))
    hunt.signal.signal(hunt.signal.SIGPROF, hunt._too_long)
    what, seconds = hunt.attempt("mine", 0, tmp_path)
    assert words in what and seconds < 2
    assert list(tmp_path.iterdir()) == []


def test_the_death_of_the_process_is_a_finding(monkeypatch):
    monkeypatch.setattr(hunt.sys, "executable", "false")
    result = hunt.hunt_apart("npz", 10)
    [(_, what)] = result.findings
    assert "the process ended with 1" in what and dataclasses.asdict(result)["inputs"] == 0
