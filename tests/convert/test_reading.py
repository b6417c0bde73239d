"""Weight files of any program: hostile, damaged and other files are refused with their path."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from gan_tf.convert.reading import read_weight_file
from gan_tf.errors import UsageError
from tests.convert.file_writers import tensors
from tests.convert.states import refusal
from tests.pretrained.torch_format import Name, write_legacy, write_zip

STATE = {"g": tensors({"feat_256.1.weight_orig": np.zeros((4, 4, 3, 3), np.float32)})}


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_a_hostile_checkpoint(tmp_path, write):
    content = STATE | {"opt_g": {"state": {0: Name("os", "system")}}}
    assert "asks for os.system" in refusal(write(tmp_path / "a.pth", content))


@pytest.mark.parametrize("protocol", range(5))
def test_a_hostile_pickle_of_any_protocol(tmp_path, protocol):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Evil(), protocol))
    assert f"asks for {os.mkdir.__module__}.mkdir" in refusal(tmp_path / "a.pkl")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_a_truncated_checkpoint(tmp_path, write):
    content = write(tmp_path / "a.pth", STATE).read_bytes()
    for length in (len(content) // 3, len(content) - 300):
        (tmp_path / "b.pth").write_bytes(content[:length])
        assert "damaged, incomplete" in refusal(tmp_path / "b.pth")


def test_other_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty.pkl").write_bytes(b"")
    (tmp_path / "text.pkl").write_text("hello")
    (tmp_path / "page.pkl").write_text("<html>Not found</html>")
    (tmp_path / "dict.pkl").write_bytes(pickle.dumps({"a": 1}))
    for name in ("missing.pth", "pipe", "empty.pkl", "text.pkl", "page.pkl", "dict.pkl", ""):
        refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["d", "g", "its"])
def test_a_path_that_is_a_word_of_the_message(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_zip(Path(name), STATE)
    with pytest.raises(UsageError) as caught:
        read_weight_file(name)
    assert str(caught.value).startswith(f"{name}: to_128.weight_orig is missing")
