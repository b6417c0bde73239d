"""Hostile and damaged files that readers once failed on, each as small as possible."""

import html
import io
import json
import os
import pickle
import re
import tarfile
import zipfile

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401  split into two devices before anything else uses it
from tensorboard.plugin_util import markdown_to_safe_html

from gan_tf.cli.evaluate import other_scores
from gan_tf.config.settings import TrainConfig
from gan_tf.data import arrays
from gan_tf.data.images import UnreadableImage
from gan_tf.data.sources import FolderSource, ZipSource, open_source
from gan_tf.errors import UsageError
from gan_tf.runs.folder import Run
from gan_tf.training.resume import settings_table
from gan_tf_datasets.faces.files import TarSource
from tests.data.encoded import tar_bytes, zip_bytes
from tests.fuzz.readers import IMAGES, PIXELS, SETTINGS, WEIGHTS
from tests.pretrained.torch_format import Call


def refusal(read, *arguments):
    with pytest.raises(UsageError) as caught:
        read(*arguments)
    assert str(caught.value).isprintable()
    return str(caught.value)


def stored(**changes):
    whole = json.loads(json.dumps(SETTINGS[0]))
    return {**whole, "settings": {**whole["settings"], **changes}}


def settings_refusal(folder, content):
    (folder / "config.json").write_text(json.dumps(content))
    return refusal(Run(folder).read_settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("batch_size", "8"), ("batch_size", 2**64), ("lr", float("nan")), ("total_kimg", 10**400), ("loss", "x\n")],
        *[("limit", [[1]]), ("dataset", "a\x1b[2J"), ("dataset", "\ud800"), ("x" * 10**6, 1)],
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_setting_of_another_type_is_named(tmp_path, name, value):
    text = settings_refusal(tmp_path, stored(**{name: value}))
    assert f"{tmp_path}/config.json" in text and name[:80] in text and len(text) < 400


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, "9" * 10_000, "[]", "null", "\udcff", '{"settings": {}}', '{"settings": [], "data": {}}'],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_files_that_are_no_settings(tmp_path, text):
    content = text.encode(errors="surrogateescape")
    (tmp_path / "config.json").write_bytes(content)
    error = refusal(Run(tmp_path).read_settings)
    assert re.search("config.json is damaged .*; restore it from a backup, or train another run", error)
    (tmp_path / "environment.json").write_bytes(content)
    (tmp_path / "stats.jsonl").write_bytes(content + b'\n{"images_seen": "8"}\n{"images_seen": 8}')
    run = Run(tmp_path)
    assert run.trained_images() == 8
    if not text.startswith(("{", "[]")):
        assert "environment.json is damaged" in refusal(run.read_environment)


def test_data_in_the_settings_of_another_type_and_another_format(tmp_path):
    for name, value in (("fingerprint", 3), ("images", "many"), ("class_names", "ab"), ("class_names", [1])):
        assert f"data.{name}" in settings_refusal(tmp_path, stored() | {"data": stored()["data"] | {name: value}})
    assert "format 2" in settings_refusal(tmp_path, {**stored(), "format": 2})


def test_pipes_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    assert "is damaged" in refusal(Run(tmp_path).read_settings)
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "generator.npz").symlink_to("/dev/zero")
    assert "is damaged" in refusal(Run(tmp_path).best_weights)
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    source = FolderSource(tmp_path)
    for i in range(2):
        with pytest.raises(UnreadableImage):
            source.read(i)


def best(folder, members, packing=zipfile.ZIP_STORED):
    path = Run(folder).best
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(zip_bytes(members, packing))
    return refusal(Run(folder).best_weights)


def npy(array, old="", new=""):
    file = io.BytesIO()
    np.save(file, array)
    content = file.getvalue().replace(old.encode(), new.encode())
    return content.replace(b" " * len(new) + b"\n", b" " * len(old) + b"\n", 1)


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", None])
def test_damaged_scores_of_another_evaluation_are_ignored(tmp_path, content):
    path = tmp_path / "scores.json"
    os.mkfifo(path) if content is None else path.write_text(content)
    assert other_scores(path, {"target": "x", "scores": []}) == []


def test_weights_larger_than_their_file(tmp_path):
    meta = WEIGHTS[0]
    assert "is damaged" in best(tmp_path, [meta, ("w.npy", npy(np.zeros(10**7)))], zipfile.ZIP_DEFLATED)
    assert "is damaged" in best(tmp_path, [meta, ("w.npy", npy(np.zeros(3), "(3,)", "(9999999999,)"))])
    assert "is damaged" in best(tmp_path, [meta, ("w.npy", npy(np.array("text")))])
    assert "is damaged" in best(tmp_path, [("meta_json.npy", npy(np.array("[]")))])
    Run(tmp_path).best.write_bytes(npy(np.zeros(3)))  # an array, not an archive
    assert "is damaged" in refusal(Run(tmp_path).best_weights)


def test_an_array_named_as_a_path_is_unpacked_into_the_cache(tmp_path, monkeypatch):
    cache = tmp_path / "a" / "b" / "cache"
    monkeypatch.setenv("GAN_TF_CACHE", str(cache))
    monkeypatch.setattr(arrays, "IN_MEMORY_BYTES", 10)
    (tmp_path / "set.npz").write_bytes(zip_bytes([("x/../../../../out.npy", npy(PIXELS))], zipfile.ZIP_DEFLATED))
    np.testing.assert_array_equal(open_source(tmp_path / "set.npz").read(2), PIXELS[2])
    [made] = [path for path in tmp_path.rglob("*.npy") if path.is_file()]
    assert made.parent == cache / "npz"


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_without_bounds_is_refused(tmp_path, packing):
    (tmp_path / "set.npz").write_bytes(zip_bytes([("images.npy", npy(PIXELS))], packing))
    assert "deflate" in refusal(open_source, tmp_path / "set.npz")
    (tmp_path / "set.zip").write_bytes(zip_bytes([("a.png", IMAGES[0])], packing))
    with pytest.raises(UnreadableImage, match="deflate"):
        ZipSource(tmp_path / "set.zip").read(0)


@pytest.mark.parametrize(
    "members",
    [
        {"images": npy(PIXELS, "(3, 5, 4, 3)", "(-3, -5, 4, 3)")},
        {"images": npy(PIXELS, "(3, 5, 4, 3)", "((((((((((((")},
        {"images": npy(PIXELS), "labels": npy(np.array([0, 1, 0])), "class_names": npy(np.array("x"))},
        {"images": npy(PIXELS), "y": npy(np.zeros(3, int)), "class_names": npy(np.array(["a\n"]))},
        {"images": npy(PIXELS), "labels": npy(np.zeros(3), "(3,)", "(10000000000,)")},
        {"a\n\x1b": npy(np.array([{}])), "images": npy(PIXELS)},
        {"images": npy(PIXELS), "names": npy(np.full(3, 0x7FFFFFFF, np.uint32).view("<U1"))},
    ],
)
def test_impossible_sets_of_images(tmp_path, members):
    members = [(f"{name}.npy", content) for name, content in members.items()]
    (tmp_path / "set.npz").write_bytes(zip_bytes(members, zipfile.ZIP_DEFLATED))
    assert "set.npz" in refusal(open_source, tmp_path / "set.npz")


def test_a_tar_with_negative_sizes_does_not_loop(tmp_path):
    for name, size, layout, pax in (
        ("a", b"\xff" * 10 + b"\xfe\x00", tarfile.GNU_FORMAT, {}),  # -512
        ("b", None, tarfile.PAX_FORMAT, {"size": "-1536"}),
    ):
        info = tarfile.TarInfo("a.png")
        info.size, info.pax_headers = 3, pax
        with tarfile.open(tmp_path / name, "w", format=layout) as archive:
            archive.addfile(info, io.BytesIO(b"abc"))
        content = bytearray((tmp_path / name).read_bytes())
        content[124:136] = size or content[124:136]
        content[148:156] = b" " * 8
        content[148:156] = b"%06o\0 " % sum(content[:512])
        (tmp_path / name).write_bytes(content)
        refusal(TarSource, tmp_path / name)


def test_a_tar_with_large_extended_headers_is_refused_before_they_are_parsed(tmp_path):
    for content in (b"1" * 60_416, b"x" * 2**20):
        header = tarfile.TarInfo("x")
        header.type, header.size = tarfile.XHDTYPE, len(content)
        (tmp_path / "set.tar").write_bytes(header.tobuf() + content + tar_bytes({"a.png": IMAGES[0]}))
        refusal(TarSource, tmp_path / "set.tar")


def test_no_pickle_in_place_of_another_file_runs(tmp_path):
    evil = Call(os.mkdir, str(tmp_path / "ran"))
    for name in ("config.json", "environment.json", "best/generator.npz", "set.npz", "set.zip", "set.tar"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps(evil))
    run = Run(tmp_path)
    for read in (run.read_settings, run.read_environment, run.best_weights):
        refusal(read)
    for read, name in ((open_source, "set.npz"), (open_source, "set.zip"), (TarSource, "set.tar")):
        refusal(read, tmp_path / name)
    np.savez(tmp_path / "set.npz", images=np.array([evil], object))
    np.savez(run.best, w=np.array([evil], object))
    refusal(open_source, tmp_path / "set.npz")
    refusal(run.best_weights)
    assert not (tmp_path / "ran").exists()


def test_tensorboard_shows_settings_as_text():
    texts = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a | b", "[text](javascript:alert(1))"]
    for text in (*texts, "**bold** _it_ `code`", "a\nb\n\n# title", "\"&amp;'", "~/bilder/münchen"):
        page = markdown_to_safe_html(settings_table(TrainConfig(dataset=text, background=text)))
        assert set(re.findall(r"<(\w+)", page)) <= {"table", "thead", "tbody", "tr", "th", "td"}
        assert re.findall(r"<\w+ ", page) == []  # no attributes
        assert html.unescape(page).count(text) == 2
