"""Files of other kinds given to `gan-tf convert` are refused with their path."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from gan_tf.convert import read_weight_file
from gan_tf.errors import UsageError
from tests.convert.file_writers import tensors
from tests.convert.states import refusal
from tests.pretrained.torch_format import write_zip


def test_other_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for i, content in enumerate((b"", b"hello", b"<html>Not found</html>", pickle.dumps({"a": 1}))):
        (tmp_path / f"{i}.pkl").write_bytes(content)
    for name in ("missing.pth", "pipe", "", *(f"{i}.pkl" for i in range(4))):
        refusal(tmp_path / name)


def test_a_path_that_is_a_word_of_the_message(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_zip(Path("its"), {"g": tensors({"feat_256.1.weight_orig": np.zeros((4, 4, 3, 3), np.float32)})})
    with pytest.raises(UsageError) as caught:
        read_weight_file("its")
    assert str(caught.value).startswith("its: to_128.weight_orig is missing")
