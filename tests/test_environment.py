"""environment.yml describes the same project as pyproject.toml, and its pip part can be installed."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pip_lines():
    """The requirement lines that conda hands to pip."""
    [part] = [entry["pip"] for entry in ENVIRONMENT["dependencies"] if isinstance(entry, dict)]
    return part


def test_python_range_is_pyprojects():
    assert f"python{PROJECT['requires-python']}" in ENVIRONMENT["dependencies"]
    assert "pip" in ENVIRONMENT["dependencies"]


def test_environment_is_named_after_the_project():
    assert ENVIRONMENT["name"] == PROJECT["name"]


def test_pip_installs_the_project_with_an_extra_that_exists():
    assert "-e .[cuda]" in pip_lines()
    assert "cuda" in PROJECT["optional-dependencies"]


def test_files_named_in_the_pip_part_exist():
    constraints = [line.removeprefix("-c ") for line in pip_lines() if line.startswith("-c ")]
    assert constraints and all((ROOT / name).is_file() for name in constraints)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="TensorFlow's CUDA libraries exist for Linux only")
def test_pip_part_resolves(tmp_path):
    # conda writes the lines to a file beside environment.yml and runs pip there.
    lines = [line.replace("-e .", str(ROOT)).replace("-c ", f"-c {ROOT}/") for line in pip_lines()]
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("\n".join(lines))
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "-r", str(wanted)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Would install" in done.stdout and "nvidia-cudnn" in done.stdout
