"""`gan-tf export --format web`: a folder with a page, its runtime and trained generators; whole or not at all."""

import errno
import hashlib
import json
import re
import shutil
import unittest.mock

import numpy as np
import pytest
from PIL import Image

from gan_tf import rng
from gan_tf.export import web
from tests import conditional
from tests.sampling import trained as networks


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each family; that of Progressive GAN is in the middle of its growth, that of StyleGAN2 conditional."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        networks.write_trained(folder / "panda", networks.trained_fastgan()).folder,
        networks.write_trained(folder / "a" / "Panda", networks.trained_pggan(1.5)).folder,
        conditional.make_run(folder / "ü", "stylegan2").folder,
    ]


def test_site_of_three_families(runs, packages, tmp_path, done):
    out = tmp_path / "my site"
    arguments = ("--format", "web", "--runtime", packages, "--out", out, "--title", "Made by three networks")
    printed = done("export", *runs, *arguments).out
    assert printed.endswith(f"to open it: gan-tf serve '{out}'\n")
    assert len(re.findall(r"difference +from Keras over 64 seeds", printed)) == 3
    assert "pggan at 16x16 (growing to 32x32)" in printed
    site = json.loads((out / "site.json").read_text())
    assert site["title"] == "Made by three networks" and site["format"] == web.FORMAT
    fastgan, pggan, stylegan2 = site["models"]
    assert [model["id"] for model in site["models"]] == ["panda", "panda-2", "run"]
    for model, run in zip(site["models"], runs, strict=True):
        assert 0 < model["difference"]["largest"] < 0.01 and model["difference"]["mean"] < 0.001
        assert model["name"] == run.name and "rights" in model["licence"]
        assert model["keys"]["latents"] == str(rng.stream_key("image", "latents"))
        for part in model["parts"].values():
            content = (out / part["file"]).read_bytes()
            assert part["sha256"] == hashlib.sha256(content).hexdigest() and part["bytes"] == len(content)
    assert fastgan["score"] == "swd2k 28.5" and fastgan["truncation"] and fastgan["mean_w"] is None
    assert [(size["pixels"], size["scaled"]) for size in fastgan["sizes"]] == [(64, False), (32, True)]
    assert fastgan["style"] == {"kind": "excitations", "layers": ["64"], "default": [0]}
    assert [size["output"] for size in pggan["sizes"]] == ["images_16", "images_8", "images_4"]
    assert not pggan["truncation"] and pggan["style"] is None and pggan["noise"] == []
    assert (stylegan2["classes"], stylegan2["class_counts"]) == (conditional.NAMES, conditional.COUNTS)
    assert stylegan2["style"]["layers"] == ["4", "8", "8", "16", "16", "16"]
    assert np.shape(stylegan2["mean_w"]) == (3, 16)
    key = str(rng.stream_key("image", "noise/4"))
    assert stylegan2["noise"][4] == {"name": "noise_4", "shape": [16, 16], "key": key}


def test_runs_of_one_name_have_different_folders():
    assert web.unique_ids(["a-2", "a", "A", "ü", "é"]) == ["a-2", "a", "a-3", "run", "run-2"]


def test_mean_w_without_classes_is_the_average():
    trained = networks.trained_stylegan2()
    mean_w = web.properties(trained.folded(), trained)["mean_w"]
    np.testing.assert_allclose(mean_w, [trained.generator.mapping.average.numpy()], rtol=1e-6)


def test_files_of_a_site(runs, packages, tmp_path, done):
    out = tmp_path / "site"
    done("export", runs[1], "--format", "web", "--runtime", packages, "--out", out)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    worker = (out / "service-worker.js").read_text()
    listed = json.loads(re.search(r"const FILES = (\[.*\]);", worker)[1])
    assert set(listed) == {name for name in files if not name.startswith("litert/litert_wasm")} - {"service-worker.js"}
    assert re.search(r'const VERSION = "[0-9a-f]{16}";', worker)
    manifest = json.loads((out / "manifest.webmanifest").read_text())
    assert manifest["name"] == manifest["short_name"] == "Panda" and manifest["display"] == "standalone"
    for icon in manifest["icons"]:
        with Image.open(out / icon["src"]) as image:
            assert "x".join(map(str, image.size)) == icon["sizes"] and np.asarray(image).std() > 10
    assert "Apache License" in (out / "litert" / "LICENSE").read_text()
    (out / "site.json").write_text("{}")
    shutil.copy(web.page_folder() / "service-worker.js", out)
    web.write_service_worker(out)
    assert (out / "service-worker.js").read_text() != worker  # browsers then fetch the new files


def test_site_of_another_version_is_replaced(runs, packages, tmp_path, done):
    site = tmp_path / "site"
    site.mkdir()
    for name in ("site.json", "old.js"):  # gan_tf has no old.js any more
        (site / name).write_text("{}")
    shutil.copy(web.page_folder() / web.WORKER, site)
    web.write_service_worker(site)
    done("export", runs[1], "--format", "web", "--runtime", packages, "--out", site, "--overwrite")
    assert (site / "index.html").is_file() and not (site / "old.js").exists()
    for content in ("const FILES = {];", "const FILES = [5];", 'const FILES = [""];', "\0"):
        (site / web.WORKER).write_text(content)
        assert "index.html" in web.site_names(site)


def test_bad_input_is_one_line_and_writes_nothing(runs, packages, tmp_path, refused):
    other, site = tmp_path / "other", ("--format", "web", "--runtime", packages)
    other.mkdir()
    (other / "site.json").write_text("{}")
    (other / "notes.txt").write_text("mine")
    empty = networks.write_trained(tmp_path / "empty", networks.trained_pggan())
    (empty.folder / "best" / "generator.npz").unlink()
    before = sorted(tmp_path.rglob("*"))
    new = tmp_path / "new"
    for given, text in (
        ([*runs, *site, "--out", other], "--overwrite"),
        ([*runs, *site, "--out", other, "--overwrite"], "notes.txt"),
        ([runs[0], "--format", "web", "--runtime", tmp_path, "--out", new], "--runtime"),
        ([runs[0], "--format", "web", "--offline", "--out", new], "--offline"),
        ([runs[0], empty.folder, *site, "--out", new], "best"),
        ([runs[0], *site, "--title", " ", "--out", new], "--title"),
        ([runs[0], *site, "--batch", 4, "--out", new], "--batch"),
        ([runs[0], *site, "--class", "cat", "--out", new], "--class"),
        ([runs[0], *site, "--precision", "int8", "--out", new], "--precision"),
        ([*runs, "--format", "tflite", "--out", new], "one RUN"),
        ([runs[0], "--format", "onnx", "--title", "x", "--out", new], "--title"),
        (["--format", "web", "--out", new], "RUN"),
    ):
        assert text in refused("export", *given)
    assert sorted(tmp_path.rglob("*")) == before


def test_full_disk_leaves_nothing(runs, packages, tmp_path, monkeypatch, refused):
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(web, "copy_runtime", unittest.mock.Mock(side_effect=full))
    out = tmp_path / "site"
    assert f"--out {out}" in refused("export", runs[1], "--format", "web", "--runtime", packages, "--out", out)
    assert list(tmp_path.iterdir()) == []
