"""Files that are something else than their name says: every reader of users' files names what it found."""

import gzip
import io
import zipfile

import numpy as np
import pytest

from gan_tf.cli.project import read_image
from gan_tf.config.settings import TrainConfig
from gan_tf.convert import read_weight_file
from gan_tf.data.sources import open_source
from gan_tf.errors import UsageError
from gan_tf.io.content import reason_of
from gan_tf.io.image_files import read_png
from gan_tf.pretrained.downloads import obtain, pretrained_folder, require_checksum
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


CONTENTS = {  # {content: what an error about it names}
    b"": "empty",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n": "git lfs pull",
    b"\n<!DOCTYPE html>\n<html><title>Sign in</title></html>": "web page",
    b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>': "XML",
    b'{"message": "Not Found"}': "JSON",
    gzip.compress(bytes(100)): "gzip",
    archive(5000): "it is a zip archive",
}


def read_checkpoint(path):
    path.rename(path.with_suffix(".index"))
    lines = []
    assert read_newest([(0, path.with_suffix(""))], lambda _, prefix: read_arrays(prefix), lines.append) is None
    raise UsageError(*lines)


def cached(name, read):
    """A reader of a file in the cache of published files."""

    def read_cached(path):
        pretrained_folder().mkdir(parents=True)
        path.rename(pretrained_folder() / name)
        read(pretrained_folder() / name)

    return read_cached


def heads_of_lpips(path):
    obtain(HEADS, offline=True)


def kept_vgg16(path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gan_tf.pretrained.lpips.obtain", lambda *arguments, **options: None)
        load_lpips(offline=True)


def settings(path):
    path.rename(path.with_name("config.json"))
    Run(path.parent).read_settings()


READERS = {  # {name of the file: reader}
    "all_10.pth": read_weight_file,
    "network.pkl": read_network_pickle,
    "state.pth": read_state_dict,
    "inception.pth": lambda path: load_inception(path),
    "heads.pth": cached(HEADS.name, heads_of_lpips),
    "vgg16.npz": cached(KEPT, kept_vgg16),
    "ffhq.pkl": lambda path: require_checksum(path, "0", "1"),
    "images.zip": open_source,
    "images.npz": open_source,
    "images.tar": TarSource,
    "image.png": lambda path: read_image(path, 64, TrainConfig(dataset="demo")),
    "grid.png": read_png,
    "generator.npz": read_weights,
    "ckpt-000000000000": read_checkpoint,
    "settings": settings,
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_names_what_it_found(tmp_path, name):
    for i, (content, named) in enumerate(CONTENTS.items()):
        if (name, named) == ("settings", "JSON"):
            continue  # the right kind of text, with other content
        path = tmp_path / str(i) / name
        path.parent.mkdir()
        path.write_bytes(content)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GAN_TF_CACHE", str(tmp_path / f"cache-{i}"))
            with pytest.raises(UsageError) as caught:
                READERS[name](path)
        assert named in str(caught.value) and str(caught.value).isprintable(), (named, caught.value)


def test_other_content_keeps_the_reason_of_the_reader(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    for source in (b"hello", b"\x80\x04N.", b"{a pickle}", tmp_path / "missing", tmp_path, tmp_path / "a.npz"):
        assert reason_of(ValueError("no weights"), source) == "no weights"
