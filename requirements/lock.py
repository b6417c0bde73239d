"""Writes cpu.txt, cuda.txt, parity.txt and test.txt beside this file, and deploy/azureml/conda.yml from them:
`make lock`, on Linux x86-64 with Python 3.11.

pip resolves the extras of pyproject.toml without installing anything. The oldest Python is asked, because what it gets
(numpy and scipy above all) has to exist for every Python supported. Names and versions are kept, addresses are not.
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
# What PyTorch's build for CUDA asks for. It is not pinned: parity needs no GPU, and a build for the CPU does without.
CUDA_OF_TORCH = ("nvidia-", "cuda-", "triton")
# What pip on Linux does not see: tqdm and pytest colour the Windows console with it.
WINDOWS = "colorama==0.4.6; sys_platform == 'win32'"
HEADER = "# Exact versions for Python 3.11 to 3.13, made by requirements/lock.py from the extras of pyproject.toml.\n"
CONDA_HEADER = """\
# environment.yml for Azure Machine Learning, which builds it from this file alone: requirements/cuda.txt written out,
# and no checkout to install; the job does that. Made by requirements/lock.py.
name: gan_tf
channels:
  - conda-forge
dependencies:
  - python=3.12
  - pip
  - pip:
"""


def resolve(extras):
    """Returns {name: version} of everything that `.[extras]` needs, the project itself left out."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run([*command, "--report", str(report), f"{ROOT}[{extras}]"], check=True)
        found = [entry["metadata"] for entry in json.loads(report.read_text())["install"]]
    pins = {entry["name"].lower().replace("_", "-"): entry["version"].partition("+")[0] for entry in found}
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
    """Returns what deploy/azureml/conda.yml has to say, as cuda.txt is now."""
    pins = (ROOT / "requirements" / "cuda.txt").read_text().splitlines()
    return CONDA_HEADER + "".join(f"      - {json.dumps(pin)}\n" for pin in pins if pin and not pin.startswith("#"))


def main():
    if sys.version_info[:2] != (3, 11):
        sys.exit(f"lock.py: needs Python 3.11, the oldest supported, got {sys.version.split()[0]}")
    cpu, cuda, both, torch = resolve("cpu"), resolve("cuda"), resolve("cpu,test"), resolve("cpu,test,parity")
    write("cpu.txt", cpu, WINDOWS + "\n")
    write("cuda.txt", cuda)
    (ROOT / "deploy" / "azureml" / "conda.yml").write_text(conda_text())
    write("test.txt", {name: version for name, version in both.items() if name not in cpu})
    torch = {name: version for name, version in torch.items() if not name.startswith(CUDA_OF_TORCH)}
    write("parity.txt", {name: version for name, version in torch.items() if name not in both})


if __name__ == "__main__":
    main()
