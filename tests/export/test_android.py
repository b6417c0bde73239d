"""Android packages: application ids, labels, keys, missing tools, and a package that is built, verified and read."""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_tf.cli import serve
from gan_tf.errors import UsageError
from gan_tf.export import android, android_tools
from tests.export.apk import SOURCES, java_types, keystore, required_tools


@pytest.fixture(scope="module")
def tools():
    return required_tools()


@pytest.fixture
def site(tmp_path_factory):
    """A site with one file of each kind."""
    folder = tmp_path_factory.mktemp("web") / "site"
    for name in ("icons", "litert", "models/cats"):
        (folder / name).mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, 100_000, np.uint8).tobytes()
    (folder / "index.html").write_text("<h1>Cats</h1>", encoding="utf-8")
    (folder / "site.json").write_text(json.dumps({"title": "My cats"}), encoding="utf-8")
    (folder / "manifest.webmanifest").write_text("{}", encoding="utf-8")
    (folder / "litert" / "runtime.wasm").write_bytes(b"\0asm" + bytes(100_000))
    (folder / "litert" / "LICENSE").write_text("Apache", encoding="utf-8")
    (folder / "models" / "cats" / "images.tflite").write_bytes(noise + bytes(100_000))
    for name, pixels in (("192.png", 192), ("512.png", 512), ("maskable-512.png", 512)):
        Image.new("RGB", (pixels, pixels), (200, 100, 50)).save(folder / "icons" / name)
    return folder


@pytest.mark.parametrize(
    "title, expected",
    [
        ("demo", "app.gan_tf.run_demo"),
        ("My cats (2)", "app.gan_tf.run_my_cats_2"),
        ("2020", "app.gan_tf.run_2020"),
        ("new", "app.gan_tf.run_new"),  # a word of Java, which may not be a part of a package's name
        ("Über", "app.gan_tf.run_uber_[0-9a-f]{8}"),
        ("熊猫", "app.gan_tf.run_[0-9a-f]{8}"),
        ("!", "app.gan_tf.run_[0-9a-f]{8}"),
        ("a" * 300, "app.gan_tf.run_a{76}"),
    ],
)
def test_application_id_of_a_title(title, expected):
    app_id = android.app_id_of(title)
    assert re.fullmatch(expected, app_id) and android.check_app_id(app_id) == app_id


def test_titles_without_letters_of_ascii_have_different_ids():
    assert len({android.app_id_of(title) for title in ("熊猫", "猫", "Über", "uber", "!", "")}) == 6


@pytest.mark.parametrize(
    "app_id", ["cats", "com.2cats", "com..cats", "com.cats.", "com.my-cats", "com.katzé", "a." * 99]
)
def test_wrong_application_ids_are_refused(app_id):
    with pytest.raises(UsageError, match="--app-id"):
        android.check_app_id(app_id)


def test_version_code_grows_with_time_and_is_allowed(monkeypatch):
    codes = []
    for seconds in (1_796_000_000, 1_796_000_060, 4_000_000_000):
        monkeypatch.setattr(android.time, "time", lambda seconds=seconds: seconds)
        codes.append(android.version_code())
    assert codes[1] == codes[0] + 1 and codes[0] < codes[2] < 2_100_000_000  # the highest that Google Play allows


def test_classes_dex_belongs_to_the_sources():
    """Otherwise: build_dex.sh."""
    lines = (SOURCES / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    digests = dict(reversed(line.split(maxsplit=1)) for line in lines if not line.startswith("#"))
    files = [path.relative_to(SOURCES).as_posix() for path in SOURCES.rglob("*.java")]
    assert digests.keys() == {"classes.dex", *(f"./{name}" for name in files)}
    for name, digest in digests.items():
        assert hashlib.sha256((SOURCES / name).read_bytes()).hexdigest() == digest, name


def test_activity_answers_requests_of_workers():
    """The page's worker loads the runtime and the models. WebView does not ask the page's WebViewClient for them.

    Read from the source, because only a device has WebView.
    """
    java = (SOURCES / "java" / "gan_tf" / "web" / "MainActivity.java").read_text(encoding="utf-8")
    assert "setServiceWorkerClient(new WorkerRequests())" in java


def test_activity_has_the_colours_of_the_page():
    java = (SOURCES / "java" / "gan_tf" / "web" / "MainActivity.java").read_text(encoding="utf-8")
    page = (SOURCES.parent / "app" / "index.html").read_text(encoding="utf-8")
    for constant, folder, scheme in (("LIGHT", "values", "light"), ("DARK", "values-night", "dark")):
        styles = (SOURCES / "res" / folder / "styles.xml").read_text(encoding="utf-8")
        colour = re.search('name="background">#([0-9a-f]{6})<', styles)[1]
        assert f"int {constant} = 0xff{colour};" in java
        assert f'name="theme-color" content="#{colour}" media="(prefers-color-scheme: {scheme})"' in page


def test_activity_and_server_give_the_same_types():
    served = {suffix.removeprefix("."): mime.partition(";")[0] for suffix, mime in serve.TYPES.items()}
    assert java_types() == served


@pytest.mark.slow
def test_java_finds_files_and_their_types(tmp_path):
    """SiteFiles on the Java of this machine. TYPES are those that the page is served with in tests/web."""
    if not shutil.which("javac"):
        pytest.skip("no javac in the PATH (Debian: apt-get install default-jdk-headless)")
    calls = {
        'nameOf("/")': "index.html",
        'nameOf("")': "index.html",
        "nameOf(null)": "index.html",
        'nameOf("/models/cats/images.tflite")': "models/cats/images.tflite",
        'nameOf("/litert/")': "litert/index.html",
        'typeOf("index.html")': "text/html",
        'typeOf("litert/a.b/app.js")': "text/javascript",
        'typeOf("litert/a.b/LICENSE")': "text/plain",
        'typeOf("models/cats/images.tflite")': "application/octet-stream",
        'typeOf("manifest.webmanifest")': "application/manifest+json",
        'isSite("https", "appassets.androidplatform.net")': "true",
        'isSite("http", "appassets.androidplatform.net")': "false",
        'isSite("https", "appassets.androidplatform.net.example.com")': "false",
        "isSite(null, null)": "false",
        'encodingOf("text/javascript")': "utf-8",
        'encodingOf("application/manifest+json")': "utf-8",
        'encodingOf("application/wasm")': "null",
    }
    calls |= {f'typeOf("a.{suffix}")': mime for suffix, mime in java_types().items() if suffix}
    lines = "".join(f"System.out.println(SiteFiles.{call});" for call in calls)
    main = f"package gan_tf.web; class Main {{ public static void main(String[] arguments) {{ {lines} }} }}"
    (tmp_path / "Main.java").write_text(main, encoding="utf-8")
    files = SOURCES / "java" / "gan_tf" / "web" / "SiteFiles.java"
    subprocess.run(["javac", "-d", tmp_path, files, tmp_path / "Main.java"], check=True)
    output = subprocess.run(["java", "-cp", tmp_path, "gan_tf.web.Main"], check=True, capture_output=True, text=True)
    assert dict(zip(calls, output.stdout.split(), strict=True)) == calls


# Tools


def test_missing_tools_are_named_with_the_packages_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in (*android_tools.SDK_VARIABLES, "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(android_tools, "DEBIAN_FRAMEWORK", tmp_path / "framework-res.apk")
    with pytest.raises(UsageError) as error:
        android_tools.find_tools()
    message = str(error.value)
    assert "aapt, zipalign, apksigner, framework-res.apk, keytool" in message and "\n" not in message
    assert android_tools.DEBIAN_PACKAGES in message and "ANDROID_HOME" in message


@pytest.mark.parametrize("variable", android_tools.SDK_VARIABLES)
def test_newest_tools_of_an_sdk_are_used(monkeypatch, tmp_path, variable):
    for name in android_tools.SDK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "sdk"))
    with pytest.raises(UsageError, match=f"{variable} is .*sdkmanager"):
        android_tools.find_tools()
    programs = [
        tmp_path / "sdk" / "build-tools" / v / name for v in ("9.0.0", "36.0.0") for name in android_tools.PROGRAMS
    ]
    for path in [*programs, tmp_path / "java" / "bin" / "keytool"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(stat.S_IRWXU)
    for platform in ("android-9", "android-36"):
        (tmp_path / "sdk" / "platforms" / platform).mkdir(parents=True)
        (tmp_path / "sdk" / "platforms" / platform / "android.jar").touch()
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java"))
    tools = android_tools.find_tools()
    assert [tools.aapt, tools.zipalign, tools.apksigner] == list(map(str, programs[3:]))
    assert tools.framework == str(tmp_path / "sdk" / "platforms" / "android-36" / "android.jar")
    assert tools.keytool == str(tmp_path / "java" / "bin" / "keytool")


def test_failing_tool_becomes_one_line(tmp_path):
    program = tmp_path / "apksigner"
    program.write_text("#!/bin/sh\necho started\necho 'IOException: no key' >&2\necho '  at main' >&2\nexit 3\n")
    program.chmod(0o700)
    with pytest.raises(UsageError, match="^apksigner failed: IOException: no key$"):
        android_tools.run_tool(program)
    with pytest.raises(UsageError, match="^aapt cannot be started"):
        android_tools.run_tool(tmp_path / "aapt")


# Keys


@pytest.mark.slow
def test_keys_that_cannot_be_used_are_refused(tools, tmp_path):
    one, two = keystore(tmp_path / "one.p12", tools), keystore(tmp_path / "two.p12", tools, ["one", "two"])
    (tmp_path / "text.p12").write_text("no keystore", encoding="utf-8")
    assert android.user_key(one, "secret password", tools) == android.Key(one, "secret password")
    for path, password, message in [
        (one, "wrong password", "password was incorrect"),
        (two, "secret password", "has 2 keys"),
        (tmp_path / "text.p12", "secret password", "keytool failed"),
    ]:
        with pytest.raises(UsageError, match=f"^--key {path} .*{message}") as error:
            android.user_key(path, password, tools)
        assert "\n" not in str(error.value) and "secret" not in str(error.value)


@pytest.mark.slow
def test_debug_key_is_made_once_and_private(tools, cache):
    key = android.debug_key(tools)
    content = key.path.read_bytes()
    assert key.path.is_relative_to(cache) and stat.S_IMODE(key.path.stat().st_mode) == 0o600
    assert android.debug_key(tools) == key and key.path.read_bytes() == content
    assert sorted(path.name for path in key.path.parent.iterdir()) == ["debug.lock", "debug.p12"]


# Packages


@pytest.mark.slow
@pytest.mark.parametrize("title", ["Cats", "@string/app \\u0041 'a' \"b\" & <c>  ?", "熊猫 😀", "uses-permission: x"])
def test_package_has_the_files_of_the_site_and_what_the_manifest_says(tools, site, tmp_path, title):
    key = android.Key(keystore(tmp_path / "key.p12", tools), "secret password")
    (site / "site.json").write_text(json.dumps({"title": title}), encoding="utf-8")
    out = tmp_path / "cats.apk"
    package = android.build_apk(site, out, "com.example.cats", key, tools)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["cats.apk", "key.p12"]
    assert package.bytes == out.stat().st_size and package.app_id == "com.example.cats"
    with zipfile.ZipFile(out) as apk:
        names = {name for name in apk.namelist() if not name.startswith(("res/", "META-INF/"))}
        files = {f"assets/{path.relative_to(site).as_posix()}": path for path in site.rglob("*") if path.is_file()}
        assert names == {*files, "AndroidManifest.xml", "classes.dex", "resources.arsc"}
        assert all(apk.read(name) == path.read_bytes() for name, path in files.items())
        assert apk.read("classes.dex") == (SOURCES / "classes.dex").read_bytes()
        types = {name: apk.getinfo(name).compress_type for name in names}
        assert types["assets/models/cats/images.tflite"] == types["resources.arsc"] == zipfile.ZIP_STORED
        assert types["assets/litert/runtime.wasm"] == zipfile.ZIP_DEFLATED
    run = android_tools.run_tool
    badging = run(tools.aapt, "dump", "badging", out)
    label = re.search("^application-label:'(.*)'$", badging, re.MULTILINE)[1]
    assert re.sub(r"\\(.)", r"\1", label) == " ".join(title.split())
    assert "uses-permission" not in run(tools.aapt, "dump", "permissions", out)
    assert "targetSdkVersion:'36'" in badging and f"versionCode='{package.version_code}'" in badging
    icon = re.search("application-icon-640:'(.*)'", badging)[1]
    assert "adaptive-icon" in run(tools.aapt, "dump", "xmltree", out, icon)
    verified = run(tools.apksigner, "verify", "--verbose", "--print-certs", "--min-sdk-version", "24", out)
    assert "certificate DN: CN=one\n" in verified and package.certificate in verified
    assert "v2 scheme (APK Signature Scheme v2): true" in verified
    run(tools.zipalign, "-c", "-p", "4", out)


@pytest.mark.slow
def test_package_of_the_debug_key_updates_the_one_before(tools, site, tmp_path):
    packages = [
        android.build_apk(site, tmp_path / f"{i}.apk", "com.example.cats", android.debug_key(tools), tools)
        for i in range(2)
    ]
    assert packages[0].certificate == packages[1].certificate
    assert packages[0].version_code <= packages[1].version_code


@pytest.mark.slow
def test_changed_package_is_not_accepted(tools, site, tmp_path):
    out = tmp_path / "cats.apk"
    package = android.build_apk(site, out, "com.example.cats", android.debug_key(tools), tools)
    assert android.check(tools, out, package.app_id, package.version_code) == package
    with pytest.raises(UsageError, match="application id com.example.dogs"):
        android.check(tools, out, "com.example.dogs", package.version_code)
    with zipfile.ZipFile(out, "a") as apk:
        apk.writestr("assets/other.js", "alert()")
    with pytest.raises(UsageError, match="apksigner failed"):
        android.check(tools, out, package.app_id, package.version_code)


@pytest.mark.slow
def test_build_script_makes_the_same_classes(tmp_path):
    debian = Path(os.environ.get("DEBIAN_ROOT") or "/") / "usr" / "share" / "java"
    missing = [
        str(path)
        for path in (debian / "com.android.dx.jar", debian / "com.android.android-23.jar")
        if not path.exists()
    ]
    missing += [] if shutil.which("javac") else ["javac"]
    if missing:
        pytest.skip(f"build_dex.sh needs {', '.join(missing)}")
    environment = {name: value for name, value in os.environ.items() if name not in android_tools.SDK_VARIABLES}
    subprocess.run([SOURCES / "build_dex.sh", "--out", tmp_path], check=True, env=environment)
    built, stored = ((folder / "SHA256SUMS").read_text().splitlines() for folder in (tmp_path, SOURCES))
    if built[0] != stored[0]:
        pytest.skip(f"classes.dex was built with {stored[0]}, which makes other bytes than {built[0]}")
    assert built == stored
