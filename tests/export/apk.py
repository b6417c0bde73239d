"""Tools, keys and sources of Android packages for tests.

Tests that build packages need Debian's tools (`DEBIAN_PACKAGES`) or an Android SDK. Without them they are skipped, or
fail if `CI` is set on a system with apt-get.
"""

import os
import re
import shutil
from pathlib import Path

import pytest

from gan_tf.errors import UsageError
from gan_tf.export import android_tools

SOURCES = Path(__file__).parents[2] / "web" / "android"
PASSWORD = "secret password"


def required_tools():
    """Returns the Tools of this machine; skips the test, or fails, if there are none."""
    try:
        return android_tools.find_tools()
    except UsageError as error:
        pytest.fail(str(error)) if os.environ.get("CI") and shutil.which("apt-get") else pytest.skip(str(error))


def keystore(path, tools, aliases=("one",)):
    """Writes a keystore with PASSWORD and returns its path."""
    for alias in aliases:
        arguments = ["-keystore", path, "-storetype", "PKCS12", "-storepass", PASSWORD, "-alias", alias]
        android_tools.run_tool(tools.keytool, "-genkeypair", "-keyalg", "RSA", "-dname", f"CN={alias}", *arguments)
    return path


def java_types():
    """Returns the MIME types of SiteFiles.java by the suffix of a file, "" for names without one."""
    java = (SOURCES / "java" / "gan_tf" / "web" / "SiteFiles.java").read_text(encoding="utf-8")
    table = re.search(r"TYPES = \{(.*?)\n    \};", java, re.DOTALL)[1]
    return dict(re.findall(r'\{"(\w*)", "([\w/+-]+)"\}', table))
