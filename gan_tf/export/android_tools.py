"""Programs that make Android packages: those of an Android SDK, or Debian's; and Java's keytool."""

import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path

from gan_tf.errors import UsageError
from gan_tf.io.files import list_folder, printable

SDK_VARIABLES = ("ANDROID_HOME", "ANDROID_SDK_ROOT")  # the second is its older name
PROGRAMS = ("aapt", "zipalign", "apksigner")
DEBIAN_FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
DEBIAN_PACKAGES = "aapt zipalign apksigner android-framework-res default-jre-headless"
SDK_PACKAGES = '"build-tools;36.0.0" "platforms;android-36"'
ERROR = re.compile("error|exception|failed|multiple", re.IGNORECASE)
STACK = re.compile(r"\s|Caused by")  # of Java


@dataclasses.dataclass(frozen=True)
class Tools:
    """Paths of the programs, and of the file that defines Android's own resources."""

    aapt: str
    zipalign: str
    apksigner: str
    framework: str
    keytool: str


def find_tools() -> Tools:
    """Returns the newest tools of the SDK in ANDROID_HOME or ANDROID_SDK_ROOT, without these those in the PATH.

    Raises:
        UsageError: tools are missing; it names what to install.
    """
    variable = next((name for name in SDK_VARIABLES if os.environ.get(name)), None)
    if variable is None:
        found = {name: shutil.which(name) for name in PROGRAMS}
        framework = DEBIAN_FRAMEWORK
        advice = (
            f"on Debian and Ubuntu: apt-get install {DEBIAN_PACKAGES}; elsewhere set ANDROID_HOME to an Android SDK"
        )
    else:
        sdk = Path(os.environ[variable])
        found = {name: shutil.which(name, path=newest(sdk / "build-tools")) for name in PROGRAMS}
        framework = newest(sdk / "platforms") / "android.jar"
        advice = f"{variable} is {sdk}: install Java and, with sdkmanager, {SDK_PACKAGES}, or give another folder"
    found["framework"] = str(framework) if framework.is_file() else None
    java = os.environ.get("JAVA_HOME")
    found["keytool"] = shutil.which("keytool") or (java and shutil.which("keytool", path=Path(java, "bin")))
    if missing := [name for name, path in found.items() if not path]:
        names = ", ".join({"framework": framework.name}.get(name, name) for name in missing)
        raise UsageError(f"--format apk needs {names}; {advice}")
    return Tools(**found)


def newest(folder) -> Path:
    """Returns the sub-folder with the highest version in its name, or the folder itself if it has none."""
    folders = [path for path in list_folder(folder, "*[0-9]*") if path.is_dir()]
    return max(folders, key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)], default=folder)


def run_tool(program, *arguments, environment=None) -> str:
    """Runs a program without input, and returns its standard output.

    Args:
        program: path.
        arguments: text or paths.
        environment: variables in addition to those of this process.

    Raises:
        UsageError: it cannot be started, or its exit code is not 0; one line with its message.
    """
    name = Path(program).name
    try:
        result = subprocess.run(
            [program, *map(os.fspath, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},  # else Java may read names as ASCII
        )
    except OSError as error:  # reads no file
        raise UsageError(f"{name} cannot be started ({printable(error.strerror)}): {program}") from error
    output = result.stdout.decode(errors="replace")
    if result.returncode:
        lines = (result.stderr.decode(errors="replace") + output).splitlines()
        errors = [line for line in lines if ERROR.search(line) and not STACK.match(line)]
        raise UsageError(f"{name} failed: {printable(' '.join(errors or lines))}")
    return output
