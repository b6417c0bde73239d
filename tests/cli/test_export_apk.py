"""`gan-tf export --format apk`: the web app as an Android package; whole or not at all."""

import json
import zipfile
from unittest.mock import Mock

import pytest

from gan_tf.export import android, android_tools
from tests.export.apk import PASSWORD, SOURCES, keystore, required_tools


def use_failing_tools(monkeypatch, folder):
    """Writes programs that fail and sets them as the tools."""
    for name in ("aapt", "zipalign", "apksigner", "keytool"):
        (folder / name).write_text(f"#!/bin/sh\necho {name} has an error >&2\nexit 1\n", encoding="utf-8")
        (folder / name).chmod(0o700)
    paths = [str(folder / name) for name in ("aapt", "zipalign", "apksigner", "framework.apk", "keytool")]
    monkeypatch.setattr(android_tools, "find_tools", lambda: android_tools.Tools(*paths))


def test_bad_input_is_one_line_and_writes_nothing(run, packages, tmp_path, monkeypatch, refused):
    use_failing_tools(monkeypatch, tmp_path)
    monkeypatch.delenv(android.KEY_PASSWORD, raising=False)
    monkeypatch.setenv("GAN_TF_CACHE", str(packages / "cache"))  # without a debug key
    key, taken, new = tmp_path / "key.p12", tmp_path / "taken.apk", tmp_path / "new.apk"
    for path in (key, taken):
        path.write_bytes(b"")
    apk = ("export", run.folder, "--format", "apk", "--runtime", packages)
    before = sorted(tmp_path.rglob("*"))
    for arguments, text in (
        ([*apk, "--out", taken], "--overwrite"),
        ([*apk, "--out", tmp_path, "--overwrite"], "is not a file"),
        ([*apk, "--out", new, "--app-id", "cats"], "--app-id 'cats'"),
        ([*apk, "--out", new, "--key", tmp_path / "missing"], f"--key {tmp_path / 'missing'}"),
        ([*apk, "--out", new, "--key", key], android.KEY_PASSWORD),
        ([*apk, "--out", new, "--precision", "float16"], "--precision"),
        ([*apk, "--out", new], "keytool failed: keytool has an error"),
        (["export", run.folder, "--format", "web", "--out", new, "--key", key], "--key"),
        (["export", run.folder, "--format", "tflite", "--out", new, "--app-id", "com.example.cats"], "--app-id"),
    ):
        assert text in refused(*arguments)
    assert sorted(tmp_path.rglob("*")) == before


def test_missing_tools_are_one_line(run, packages, tmp_path, monkeypatch, refused):
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path))
    apk = ("export", run.folder, "--format", "apk", "--runtime", packages, "--out", tmp_path / "new.apk")
    assert "aapt, zipalign, apksigner, android.jar" in refused(*apk)
    assert list(tmp_path.iterdir()) == []


def test_failing_tool_leaves_nothing(run, packages, tmp_path, monkeypatch, output_of):
    use_failing_tools(monkeypatch, tmp_path)
    monkeypatch.setattr(android, "debug_key", lambda tools: android.Key(tmp_path / "key", "x"))
    before = sorted(tmp_path.rglob("*"))
    apk = ("export", run.folder, "--format", "apk", "--runtime", packages, "--out", tmp_path / "new.apk")
    assert output_of(2, *apk).err.endswith("gan-tf: error: aapt failed: aapt has an error\n")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_package_has_the_site_and_is_signed_with_the_key(run, packages, tmp_path, monkeypatch, done):
    tools = required_tools()
    (tmp_path / "kätzchen").mkdir()
    monkeypatch.setenv("LC_ALL", "C")  # in which Java would read names as ASCII
    key, out = keystore(tmp_path / "kätzchen" / "key.p12", tools), tmp_path / "kätzchen" / "cats.apk"
    arguments = ("export", run.folder, "--runtime", packages, "--title", "My cats")
    monkeypatch.setenv(android.KEY_PASSWORD, PASSWORD)
    printed = done(*arguments, "--format", "apk", "--out", out, "--key", key).out
    certificate = android_tools.run_tool(tools.apksigner, "verify", "--print-certs", out)
    assert "CN=one" in certificate and printed.split()[-1] in certificate
    assert "app.gan_tf.run_my_cats" in printed and PASSWORD not in printed
    done(*arguments, "--format", "web", "--out", tmp_path / "site")
    files = {
        path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*") if path.is_file()
    }
    with zipfile.ZipFile(out) as apk:
        assets = {name.removeprefix("assets/") for name in apk.namelist() if name.startswith("assets/")}
        assert assets == files and json.loads(apk.read("assets/site.json"))["title"] == "My cats"


@pytest.mark.slow
def test_password_is_typed_and_overwrite_replaces(run, packages, tmp_path, monkeypatch, done):
    tools = required_tools()
    key, out = keystore(tmp_path / "key.p12", tools), tmp_path / "cats.apk"
    out.write_bytes(b"old")
    monkeypatch.delenv(android.KEY_PASSWORD, raising=False)
    monkeypatch.setattr("sys.stdin", Mock(isatty=lambda: True))
    monkeypatch.setattr("getpass.getpass", lambda prompt: PASSWORD if str(key) in prompt else "")
    options = ("--format", "apk", "--out", out, "--key", key, "--app-id", "com.example.cats", "--overwrite")
    assert "com.example.cats" in done("export", run.folder, "--runtime", packages, *options).out
    with zipfile.ZipFile(out) as apk:
        assert apk.read("classes.dex") == (SOURCES / "classes.dex").read_bytes()
