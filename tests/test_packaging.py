"""The distribution: contents of the wheel, pinned versions, environment.yml, and names shared with other packages."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import gan_tf

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
[PIP_LINES] = [entry["pip"] for entry in ENVIRONMENT["dependencies"] if isinstance(entry, dict)]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def pins(*names):
    """Returns the requirements in lock files."""
    lines = [line for name in names for line in (ROOT / "requirements" / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def test_version_and_script_agree_everywhere():
    assert gan_tf.__version__ == PROJECT["version"] == importlib.metadata.version("gan_tf") == CITATION["version"]
    [script] = importlib.metadata.entry_points(group="console_scripts", name="gan-tf")
    assert script.value == PROJECT["scripts"]["gan-tf"]


@pytest.mark.parametrize("platform", ["linux", "win32", "darwin"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_cpu_extra_selects_one_tensorflow_on_every_platform(platform, machine):
    environment = {"sys_platform": platform, "platform_machine": machine, "extra": ""}
    for requirements in ([Requirement(line) for line in EXTRAS["cpu"]], pins("cpu.txt")):
        selected = [each.name for each in requirements if not each.marker or each.marker.evaluate(environment)]
        has_cpu_wheel = platform == "win32" or (platform, machine) == ("linux", "x86_64")
        tensorflow = {"tensorflow", "tensorflow-cpu"} & set(selected)
        assert tensorflow == {"tensorflow-cpu" if has_cpu_wheel else "tensorflow"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_lock_has_exact_versions_and_no_addresses(lock):
    for requirement in pins(lock.name):
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)) and not requirement.url, str(requirement)
    assert not re.search(r"://|^\s*-|@", lock.read_text(), re.M)


@pytest.mark.parametrize(
    "names, extras",
    [("cpu", "cpu"), ("cuda", "cuda"), ("cpu test", "test onnx"), ("cpu test parity", "parity")],
)
def test_lock_satisfies_the_ranges_of_pyproject(names, extras):
    locks = [f"{name}.txt" for name in names.split()]
    locked = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins(*locks)}
    lines = [*PROJECT["dependencies"], *(line for extra in extras.split() for line in EXTRAS[extra])]
    for requirement in map(Requirement, lines):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), str(requirement)


def test_environment_file_describes_the_same_project():
    assert ENVIRONMENT["name"] == PROJECT["name"]
    assert {f"python{PROJECT['requires-python']}", "pip"} <= set(map(str, ENVIRONMENT["dependencies"]))
    assert "-e .[cuda,features]" in PIP_LINES
    constraints = [line.removeprefix("-c ") for line in PIP_LINES if line.startswith("-c ")]
    assert constraints and all((ROOT / name).is_file() for name in constraints)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="TensorFlow's CUDA libraries exist for Linux only")
def test_environment_file_resolves(tmp_path):
    # conda writes the lines to a file next to environment.yml and runs pip there.
    lines = [line.replace("-e .", str(ROOT)).replace("-c ", f"-c {ROOT}/") for line in PIP_LINES]
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("\n".join(lines))
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "-r", str(requirements)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Would install" in done.stdout and "nvidia-cudnn" in done.stdout


def test_wheel_contains_every_module_and_data_file(tmp_path):
    folders = ("gan_tf", "datasets", "web/__init__.py", "web/app")
    tracked = run("git", "ls-files", *folders, cwd=ROOT).splitlines()
    source = tmp_path / "source"  # a copy, so that the build leaves nothing in the working tree
    run("git", "checkout-index", "--all", f"--prefix={source}/", cwd=ROOT)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path, source)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {re.sub("^(datasets|web)/", r"gan_tf_\1/", name) for name in tracked} <= set(archive.namelist())
        outside = {"datasets", "web", "tests", "benchmarks"}
        assert not [name for name in archive.namelist() if name.split("/")[0] in outside or "node_modules" in name]


def test_another_package_called_datasets_can_be_imported(tmp_path):
    # True as long as datasets/ has no __init__.py: a regular package found later wins over a plain folder.
    other = tmp_path / "datasets"
    other.mkdir()
    (other / "__init__.py").write_text("owner = 'Hugging Face'\n")
    program = f"import sys; sys.path.append({str(tmp_path)!r}); import datasets, gan_tf_datasets; print(datasets.owner)"
    for folder in (ROOT, tmp_path):  # also when started in the repository's root, which is then on the path
        assert run(sys.executable, "-c", program, cwd=folder).strip() == "Hugging Face"


def test_only_ci_refers_to_folders_outside_the_project():
    outside = re.findall(r"\.\./\w+", (ROOT / ".ci" / "run").read_text())
    assert outside  # test data that CI provides
    files = [ROOT / name for name in run("git", "ls-files", cwd=ROOT).splitlines() if name != ".ci/run"]
    contents = {path: path.read_bytes() for path in files if path.is_file()}
    for text in (*outside, f"{ROOT}/"):
        assert not [path for path, content in contents.items() if text.encode() in content], text
