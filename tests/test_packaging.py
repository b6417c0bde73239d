"""The distribution: what it contains, what it pins, and that it leaves other people's names alone."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import gan_tf

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def pins(*names):
    """Requirements of the given lock files; comments and blank lines are left out."""
    lines = [line for name in names for line in (ROOT / "requirements" / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def same(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def test_version_and_script_are_pyprojects():
    assert gan_tf.__version__ == PROJECT["version"] == importlib.metadata.version("gan_tf")
    [script] = importlib.metadata.entry_points(group="console_scripts", name="gan-tf")
    assert script.value == PROJECT["scripts"]["gan-tf"] == "gan_tf.cli.main:main"


def test_extras_are_those_promised():
    assert {"cpu", "cuda", "video", "tflite", "onnx", "parity", "test"} <= set(EXTRAS)


@pytest.mark.parametrize("platform", ["linux", "win32", "darwin"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_cpu_extra_picks_one_tensorflow_on_every_platform(platform, machine):
    found = {"sys_platform": platform, "platform_machine": machine, "extra": ""}
    for requirements in ([Requirement(line) for line in EXTRAS["cpu"]], pins("cpu.txt")):
        names = {
            requirement.name
            for requirement in requirements
            if not requirement.marker or requirement.marker.evaluate(found)
        }
        chosen = names & {"tensorflow", "tensorflow-cpu"}
        small = platform == "win32" or (platform, machine) == ("linux", "x86_64")
        assert chosen == {"tensorflow-cpu" if small else "tensorflow"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_lock_has_exact_versions_and_no_addresses(lock):
    for requirement in pins(lock.name):
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)) and not requirement.url, str(requirement)
    assert not re.search(r"://|^\s*-|@", lock.read_text(), re.M)


@pytest.mark.parametrize(
    "locks, extras",
    [
        (["cpu.txt"], ["cpu"]),
        (["cuda.txt"], ["cuda"]),
        (["cpu.txt", "test.txt"], ["test", "tflite", "onnx"]),  # which tests of export run
        (["cpu.txt", "test.txt", "parity.txt"], ["parity"]),
    ],
    ids=["cpu", "cuda", "test", "parity"],
)
def test_lock_satisfies_the_ranges_of_pyproject(locks, extras):
    locked = {same(pin.name): next(iter(pin.specifier)).version for pin in pins(*locks)}
    wanted = [
        Requirement(line) for line in [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    ]
    for requirement in wanted:
        assert requirement.specifier.contains(locked[same(requirement.name)]), str(requirement)


def test_parity_pins_nothing_twice():
    others = {same(pin.name) for pin in pins("cpu.txt", "test.txt")}
    assert not others & {same(pin.name) for pin in pins("parity.txt")}


def test_pytorch_is_installed_by_ci_alone():
    assert "parity" in (ROOT / ".ci/run").read_text()
    for name in ("Makefile", "requirements/venv.sh"):
        assert "parity" not in (ROOT / name).read_text()


def test_wheel_holds_every_module_and_data_file(tmp_path):
    tracked = run("git", "ls-files", "gan_tf", "datasets", cwd=ROOT).splitlines()
    wanted = {re.sub("^datasets/", "gan_tf_datasets/", name) for name in tracked}
    source = tmp_path / "source"  # a copy, so that the build leaves nothing in the working tree
    source.mkdir()
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-c", "--null", "-T", "-", "-f", tmp_path / "tree.tar"], cwd=ROOT, input=files, check=True)
    run("tar", "-x", "-f", tmp_path / "tree.tar", "-C", source)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path, source)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert wanted <= set(archive.namelist())
        assert not [name for name in archive.namelist() if name.split("/")[0] in {"datasets", "tests", "benchmarks"}]


def test_another_package_called_datasets_keeps_its_name(tmp_path):
    # holds as long as datasets/ has no __init__.py: a regular package found later wins over a plain folder
    theirs = tmp_path / "datasets"
    theirs.mkdir()
    (theirs / "__init__.py").write_text("whose = 'Hugging Face'\n")
    program = f"import sys; sys.path.append({str(tmp_path)!r}); import datasets, gan_tf_datasets; print(datasets.whose)"
    for folder in (ROOT, tmp_path):  # also started from the repository's root, which is then on the path
        assert run(sys.executable, "-c", program, cwd=folder).strip() == "Hugging Face"


def test_nothing_outside_the_project_is_named_but_by_ci():
    outside = {name.encode() for name in re.findall(r"\.\./\w+", (ROOT / ".ci" / "run").read_text())}
    assert outside  # what CI lends the tests, by folders that no other file knows
    texts = [name for name in run("git", "ls-files", cwd=ROOT).splitlines() if name != ".ci/run"]
    readable = [(name, (ROOT / name).read_bytes()) for name in texts if (ROOT / name).is_file()]
    for path in (*outside, f"{ROOT}/".encode()):
        assert not [name for name, content in readable if path in content], path
