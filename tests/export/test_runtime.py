"""LiteRT.js: downloaded once by npm, checked at each use, or taken from a folder."""

import shutil

import pytest

from gan_tf.errors import UsageError
from gan_tf.export.runtime import VERSION, copy_runtime, obtain_runtime
from gan_tf.io.files import cache_root
from tests.export.litert import CONTENTS, replace_files, write_npm, write_packages


@pytest.fixture(autouse=True)
def small_files(cache, monkeypatch):
    replace_files(monkeypatch)


def test_npm_fills_the_cache_once(tmp_path, monkeypatch):
    packages, lines = write_packages(tmp_path / "packages"), []
    monkeypatch.setenv("PATH", write_npm(tmp_path / "bin", f'mkdir -p "$1" && cp -r "{packages}/." "$1"'))
    folder = obtain_runtime(log=lines.append)
    assert folder == cache_root() / f"litert-{VERSION}" and len(lines) == 1
    assert f"@litertjs/core@{VERSION}" in lines[0] and "12 MB" in lines[0] and str(folder) in lines[0]
    monkeypatch.setenv("PATH", write_npm(tmp_path / "bin", "exit 1"))
    assert obtain_runtime(offline=True, log=lines.append) == folder and len(lines) == 1
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]
    out = tmp_path / "out"
    out.mkdir()
    copy_runtime(folder, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == CONTENTS | {
        "index.js": b'import { createWasmLib } from "./wasm-utils.js";'
    }


@pytest.mark.parametrize(
    "script, text",
    [
        ('echo "npm error network request failed" >&2; exit 1', "npm error network request failed"),
        ("exit 3", "exit code 3"),
        ('mkdir -p "$1"', "has no node_modules"),
    ],
)
def test_failed_download_leaves_nothing(tmp_path, monkeypatch, script, text):
    monkeypatch.setenv("PATH", write_npm(tmp_path / "bin", script))
    with pytest.raises(UsageError, match=text):
        obtain_runtime(log=lambda line: None)
    assert [path.suffix for path in cache_root().iterdir()] == [".lock"]


def test_messages_name_the_command_for_another_machine(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for arguments, text in (({}, "install Node.js"), ({"offline": True}, "--offline")):
        with pytest.raises(UsageError, match=text) as error:
            obtain_runtime(**arguments)
        command = "npm install --prefix litert --ignore-scripts --no-audit --no-fund @litertjs/core@"
        assert f"{command}{VERSION}" in str(error.value)


def test_folder_of_the_user_is_checked(tmp_path):
    assert obtain_runtime(write_packages(tmp_path / "good")) == tmp_path / "good"
    damaged = write_packages(tmp_path / "damaged")
    (damaged / "node_modules/@litertjs/core/dist/index.js").write_text("<!doctype html>")
    for folder, text in (
        (write_packages(tmp_path / "old", "2.5.2"), "version 2.5.2"),
        (damaged, "web page"),
        (tmp_path / "missing", "has no node_modules"),
    ):
        with pytest.raises(UsageError, match=text) as error:
            obtain_runtime(folder)
        assert str(folder) in str(error.value) and f"@litertjs/core@{VERSION}" in str(error.value)


def test_damaged_cache_is_named(tmp_path):
    folder = write_packages(cache_root() / f"litert-{VERSION}")
    (folder / "node_modules/@litertjs/core/wasm/litert_wasm_internal.wasm").write_bytes(b"")
    with pytest.raises(UsageError, match="delete the folder"):
        obtain_runtime()
