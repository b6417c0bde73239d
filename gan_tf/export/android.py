"""Writes the web app as a signed Android package (APK): the files of a site, shown by the activity in `web/android`.

The activity is compiled already (classes.dex), since apps differ in their files only. docs/android.md describes the
package.
"""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import unicodedata
import xml.sax.saxutils
from pathlib import Path

import gan_tf_web
from gan_tf.errors import UsageError
from gan_tf.export.android_tools import run_tool
from gan_tf.io.files import cache_root, printable
from gan_tf.io.locks import locked

APP_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
ACTIVITY = "gan_tf.web.MainActivity"
MIN_SDK, TARGET_SDK = 24, 36  # of AndroidManifest.xml
ICONS = {"icon.png": "192.png", "maskable.png": "maskable-512.png"}  # in res/: in icons/ of the site
YEAR_2020 = 1_577_836_800  # seconds since 1970
KEY_PASSWORD = "GAN_TF_KEY_PASSWORD"
DEBUG_PASSWORD = "android"  # that of the SDK's debug keys: only the file's permissions protect it


@dataclasses.dataclass(frozen=True)
class Key:
    """A signing key."""

    path: Path  # keystore, PKCS12 or JKS
    password: str


@dataclasses.dataclass(frozen=True)
class Package:
    """A finished package."""

    app_id: str
    version_code: int
    bytes: int
    certificate: str  # SHA-256 of the signer's certificate as hex


def build_apk(site, out, app_id, key, tools) -> Package:
    """Writes a signed and checked APK.

    Args:
        site: folder of `gan-tf export --format web`.
        out: path of the file, which is not removed after an error: see `formats.output`.
        app_id: application id, see `check_app_id`; None: `app_id_of` the title in site.json.
        key: Key of `user_key` or `debug_key`.
        tools: see `find_tools`.

    Raises:
        UsageError: a tool fails, or makes something else.
    """
    title = json.loads(Path(site, "site.json").read_bytes())["title"]
    app_id, code = app_id or app_id_of(title), version_code()
    with tempfile.TemporaryDirectory(dir=Path(out).parent, prefix=f"{Path(out).name}.", suffix=".part") as folder:
        folder = Path(folder)
        prepare(folder, site, title, app_id, code)
        arguments = ["-M", folder / "AndroidManifest.xml", "-S", folder / "res", "-A", site, "-I", tools.framework]
        arguments += ["-0", "tflite"]  # not compressed: float16 weights would be 8 % smaller, and slower to load
        run_tool(tools.aapt, "package", *arguments, "-F", folder / "packed.apk", folder / "raw")
        run_tool(tools.zipalign, "-p", "4", folder / "packed.apk", folder / "aligned.apk")
        arguments = ["--ks", key.path, "--ks-pass", f"env:{KEY_PASSWORD}", "--v4-signing-enabled", "false"]
        arguments += ["--in", folder / "aligned.apk", "--out", out]
        run_tool(tools.apksigner, "sign", *arguments, environment={KEY_PASSWORD: key.password})
    return check(tools, Path(out), app_id, code)


def prepare(folder, site, title, app_id, code):
    """Writes the inputs of aapt: AndroidManifest.xml, res/ with the site's icons, and raw/ with classes.dex."""
    sources = Path(gan_tf_web.__file__).parent / "android"
    replacements = {
        "@APP_ID@": app_id,
        "@VERSION_CODE@": str(code),
        "@VERSION_NAME@": time.strftime("%Y.%m.%d", time.gmtime()),
        "@LABEL@": xml.sax.saxutils.escape(escaped_label(title)),
    }
    manifest = (sources / "AndroidManifest.xml").read_text(encoding="utf-8")
    for word, value in replacements.items():
        manifest = manifest.replace(word, value)
    (folder / "AndroidManifest.xml").write_text(manifest, encoding="utf-8")
    shutil.copytree(sources / "res", folder / "res")
    (folder / "res" / "mipmap-xxxhdpi").mkdir()  # 48 dp are 192 pixels; Android reduces it for other screens
    for name, icon in ICONS.items():
        shutil.copyfile(Path(site, "icons", icon), folder / "res" / "mipmap-xxxhdpi" / name)
    (folder / "raw").mkdir()
    shutil.copyfile(sources / "classes.dex", folder / "raw" / "classes.dex")


def check(tools, apk, app_id, code) -> Package:
    """Returns the Package of a signed APK. Raises UsageError if its signature or manifest are not as intended."""
    verified = run_tool(tools.apksigner, "verify", "--verbose", "--print-certs", apk)
    certificate = re.search(r"certificate SHA-256 digest: ([0-9a-f]{64})", verified)
    badging = run_tool(tools.aapt, "dump", "badging", apk).splitlines()
    starts = {  # of lines of badging
        f"application id {app_id}": f"package: name='{app_id}' versionCode='{code}'",
        f"minSdkVersion {MIN_SDK}": (f"sdkVersion:'{MIN_SDK}'", f"minSdkVersion:'{MIN_SDK}'"),
        f"targetSdkVersion {TARGET_SDK}": f"targetSdkVersion:'{TARGET_SDK}'",
        f"activity {ACTIVITY}": f"launchable-activity: name='{ACTIVITY}'",
    }
    wrong = [name for name, start in starts.items() if not any(line.startswith(start) for line in badging)]
    wrong += [line for line in badging if line.startswith("uses-permission")]
    if not certificate or "Verified using v2 scheme (APK Signature Scheme v2): true" not in verified:
        wrong.append("signature of scheme 2")
    if wrong:
        raise UsageError(
            f"{tools.aapt} and {tools.apksigner} made a wrong package ({', '.join(wrong)}); use other versions of them"
        )
    return Package(app_id, code, apk.stat().st_size, certificate[1])


def version_code() -> int:
    """Returns the minutes since 2020: Android installs a package over another one only if this number is not lower."""
    return int(time.time() - YEAR_2020) // 60


def app_id_of(title) -> str:
    """Returns an application id for a title: "My cats" is app.gan_tf.run_my_cats.

    The title's letters and digits of ASCII; a title with other letters has a hash in addition, so that it has its own.
    """
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    base = "_".join(["run", *re.findall("[a-z0-9]+", plain.lower())])[:80]
    if not title.isascii() or base == "run":
        base += f"_{hashlib.sha256(title.encode(errors='surrogatepass')).hexdigest()[:8]}"
    return f"app.gan_tf.{base}"


def check_app_id(app_id) -> str:
    """Returns the application id. Raises UsageError if Android does not allow it."""
    if not APP_ID.fullmatch(app_id) or len(app_id) > 150:
        raise UsageError(
            f"--app-id {app_id!r}: give two or more words from letters, digits and _ with dots between them, each "
            "beginning with a letter, such as com.example.cats"
        )
    return app_id


def escaped_label(title) -> str:
    """Returns a title with escapes for all characters of ASCII but letters and digits: aapt interprets some of them."""

    def escape(match):
        return match[0] if match[0].isalnum() else f"\\u{ord(match[0]):04x}"

    return re.sub(r"[\x00-\x7f]", escape, printable(title))


def user_key(path, password, tools) -> Key:
    """Returns the key in a keystore. Raises UsageError if it cannot be read, or does not have exactly one key."""
    arguments = ["-J-Duser.language=en", "-list", "-keystore", path, "-storepass:env", KEY_PASSWORD]
    try:
        entries = run_tool(tools.keytool, *arguments, environment={KEY_PASSWORD: password})
    except UsageError as error:
        raise UsageError(f"--key {path} with the password in {KEY_PASSWORD}: {error}") from error
    if (count := entries.count("PrivateKeyEntry")) != 1:
        raise UsageError(
            f"--key {path} has {count} keys; give a keystore with one, which keytool -importkeystore -srcalias makes"
        )
    return Key(path, password)


def debug_key(tools) -> Key:
    """Returns the debug key in the cache folder, made at the first call.

    Android installs an update only if it is signed with the same key as the installed app.
    """
    path = cache_root() / "android" / "debug.p12"
    with locked(path.with_suffix(".lock")) as suffix:
        if not path.exists():
            part = path.with_name(f"{path.name}{suffix}.part")
            part.unlink(missing_ok=True)  # of a killed process
            arguments = ["-keystore", part, "-storetype", "PKCS12", "-storepass", DEBUG_PASSWORD, "-alias", "debug"]
            arguments += ["-keyalg", "RSA", "-keysize", "2048", "-validity", "10000", "-dname", "CN=gan_tf debug key"]
            run_tool(tools.keytool, "-genkeypair", *arguments)
            part.chmod(0o600)
            os.replace(part, path)
    return Key(path, DEBUG_PASSWORD)
