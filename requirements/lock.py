"""Writes the lock files in requirements/ and deploy/azureml/conda.yml: `make lock`, on Linux x86-64 with Python 3.11.

pip resolves the extras of pyproject.toml without installing anything. The oldest supported Python resolves them, since
newer ones also have wheels for the versions that it selects. The files contain names and versions, no addresses.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU_WHEEL = "(sys_platform == 'linux' and platform_machine == 'x86_64') or sys_platform == 'win32'"
NO_CPU_WHEEL = "(sys_platform != 'linux' or platform_machine != 'x86_64') and sys_platform != 'win32'"
MARKERS = {"array-record": "sys_platform == 'linux'"}
# Dependencies of PyTorch's CUDA build. They are not pinned, since parity tests also run with the CPU build.
CUDA_OF_TORCH = ("nvidia-", "cuda-", "triton")
# A dependency of tqdm and pytest on Windows only, which pip does not resolve on Linux.
WINDOWS = "colorama==0.4.6; sys_platform == 'win32'"
HEADER = "# Exact versions for Python 3.11 to 3.13, written by requirements/lock.py from pyproject.toml.\n"
CONDA_HEADER = """\
# Conda environment for Azure Machine Learning: the versions of requirements/cuda.txt. The job installs gan_tf itself.
# Written by requirements/lock.py.
name: gan_tf
channels:
  - conda-forge
dependencies:
  - python=3.12
  - pip
  - pip:
"""


def resolve(extras):
    """Returns {name: version} of all dependencies of `.[extras]`."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run([*command, "--report", str(report), f"{ROOT}[{extras}]"], check=True)
        packages = [entry["metadata"] for entry in json.loads(report.read_text())["install"]]
    pins = {entry["name"].lower().replace("_", "-"): entry["version"].partition("+")[0] for entry in packages}
    del pins["gan-tf"]
    return pins


def line(name, version):
    """Returns the requirement lines of one package."""
    if name == "tensorflow-cpu":
        return f"tensorflow-cpu=={version}; {CPU_WHEEL}\ntensorflow=={version}; {NO_CPU_WHEEL}\n"
    marker = f"; {MARKERS[name]}" if name in MARKERS else ""
    return f"{name}=={version}{marker}\n"


def write(file, pins, extra_lines=""):
    text = HEADER + "".join(line(name, version) for name, version in sorted(pins.items())) + extra_lines
    (ROOT / "requirements" / file).write_text(text)


def conda_text():
    """Returns deploy/azureml/conda.yml with the versions of requirements/cuda.txt."""
    pins = (ROOT / "requirements" / "cuda.txt").read_text().splitlines()
    return CONDA_HEADER + "".join(f"      - {json.dumps(pin)}\n" for pin in pins if pin and not pin.startswith("#"))


def main():
    if sys.version_info[:2] != (3, 11):
        sys.exit(f"lock.py: needs Python 3.11, the oldest supported version, got {sys.version.split()[0]}")
    sets = ("cpu", "cuda", "cpu,test", "cpu,test,parity")
    cpu, cuda, both, torch = (resolve(f"{extras},features") for extras in sets)
    write("cpu.txt", cpu, WINDOWS + "\n")
    write("cuda.txt", cuda)
    (ROOT / "deploy" / "azureml" / "conda.yml").write_text(conda_text())
    write("test.txt", {name: version for name, version in both.items() if name not in cpu})
    torch = {name: version for name, version in torch.items() if not name.startswith(CUDA_OF_TORCH)}
    write("parity.txt", {name: version for name, version in torch.items() if name not in both})


if __name__ == "__main__":
    main()
