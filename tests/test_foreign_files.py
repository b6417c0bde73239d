"""Files with other content than their name says: every reader of users' files names that content."""

import gzip
import io
import zipfile

import numpy as np
import pytest

from gan_tf.cli.project import read_target
from gan_tf.config.settings import TrainConfig
from gan_tf.convert import read_weight_file
from gan_tf.data.sources import open_source
from gan_tf.errors import UsageError
from gan_tf.io.content import reason_of
from gan_tf.io.image_files import read_png
from gan_tf.pretrained.downloads import obtain, require_checksum
from gan_tf.pretrained.inception import load_inception
from gan_tf.pretrained.lpips import HEADS, KEPT, load_lpips
from gan_tf.pretrained.network_pickles import read_network_pickle
from gan_tf.pretrained.torch_files import read_state_dict
from gan_tf.runs.checkpoints import read_arrays, read_newest
from gan_tf.runs.files import read_weights
from gan_tf.runs.folder import Run
from gan_tf_datasets.faces.files import TarSource


def archive(size):
    """The first bytes of a zip archive of that many zeros."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr("a", bytes(size))
    return file.getvalue()[: size // 2]


CONTENTS = {  # {content: its name in an error}
    b"": "empty",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n": "git lfs pull",
    b"\n<!DOCTYPE html>\n<html><title>Sign in</title></html>": "web page",
    b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>': "XML",
    b'{"message": "Not Found"}': "JSON",
    gzip.compress(bytes(100)): "gzip",
    archive(5000): "it is a zip archive",
}


def read_checkpoint(path):
    lines = []
    assert read_newest([(0, path.with_suffix(""))], lambda _, prefix: read_arrays(prefix), lines.append) is None
    raise UsageError(*lines)


def load_kept_vgg16(path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gan_tf.pretrained.lpips.obtain", lambda *arguments, **options: None)
        load_lpips(offline=True)


READERS = {  # {path, which ends with the name of the file: reader}
    "all_10.pth": read_weight_file,
    "network.pkl": read_network_pickle,
    "state.pth": read_state_dict,
    "inception.pth": load_inception,
    f"pretrained/{HEADS.name}": lambda path: obtain(HEADS, offline=True),
    f"pretrained/{KEPT}": load_kept_vgg16,
    "ffhq.pkl": lambda path: require_checksum(path, "0", "1"),
    "images.zip": open_source,
    "images.npz": open_source,
    "images.tar": TarSource,
    "image.png": lambda path: read_target(path, (64, 64), TrainConfig(dataset="demo")),
    "grid.png": read_png,
    "generator.npz": read_weights,
    "ckpt-000000000000.index": read_checkpoint,
    "config.json": lambda path: Run(path.parent).read_settings(),
}


# A config.json is JSON.
CASES = [
    (name, content) for name in READERS for content in CONTENTS if (name, CONTENTS[content]) != ("config.json", "JSON")
]


@pytest.mark.parametrize(("name", "content"), CASES, ids=[f"{name}-{CONTENTS[content]}" for name, content in CASES])
def test_every_reader_names_the_content(tmp_path, monkeypatch, name, content):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path))
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        READERS[name](path)
    assert CONTENTS[content] in str(caught.value) and str(caught.value).isprintable()


def test_other_content_keeps_the_reason_of_the_reader(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    for source in (b"hello", b"\x80\x04N.", b"{a pickle}", tmp_path / "missing", tmp_path, tmp_path / "a.npz"):
        assert reason_of(ValueError("no weights"), source) == "no weights"
