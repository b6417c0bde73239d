"""deploy/azureml: a command job that Azure's command line understands, and an environment that is environment.yml's."""

import importlib.util
import re
import shlex
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from gan_tf.cli.train import parse_arguments
from tests.deploy.shapes import COMMAND_JOB, misfits
from tests.deploy.stand_ins import DEPLOY, ROOT

FOLDER = DEPLOY / "azureml"
JOB = yaml.safe_load((FOLDER / "job.yml").read_text())
CONDA = yaml.safe_load((FOLDER / "conda.yml").read_text())
SEVERAL_NODES = {"resources.instance_count": 2, "distribution.type": "tensorflow", "distribution.worker_count": 2}


def with_overrides(job, overrides):
    """A job after `--set a.b=c`."""
    job = {**job}
    for path, value in overrides.items():
        first, last = path.split(".")
        job[first] = {**job.get(first, {}), last: value}
    return job


@pytest.mark.parametrize("overrides", [{}, SEVERAL_NODES], ids=["one node", "several"])
def test_keys_and_values_are_known(overrides):
    assert not misfits(with_overrides(JOB, overrides), COMMAND_JOB, "job")


def test_the_readmes_overrides_are_those_tested():
    text = (FOLDER / "README.md").read_text()
    given = dict(re.findall(r"((?:resources|distribution)\.\w+)=(\w+)", text))
    assert given == {name: str(value) for name, value in SEVERAL_NODES.items()}


@pytest.mark.parametrize("overrides", [{}, SEVERAL_NODES], ids=["one node", "several"])
def test_azures_own_loader_accepts_it(overrides):
    ml = pytest.importorskip("azure.ai.ml", reason="pip install azure-ai-ml lets Azure's own package judge the job")
    job = ml.load_job(FOLDER / "job.yml", params_override=[overrides])
    assert job._validate().passed


def test_files_exist():
    assert (FOLDER / JOB["code"]).resolve() == ROOT
    assert (FOLDER / JOB["environment"]["conda_file"]).is_file()


def test_every_input_and_output_is_used_and_the_command_is_trains():
    named = set(re.findall(r"\$\{\{(\w+\.\w+)\}\}", JOB["command"]))
    assert named == {f"inputs.{name}" for name in JOB["inputs"]} | {f"outputs.{name}" for name in JOB["outputs"]}
    values = {f"inputs.{name}": value for name, value in JOB["inputs"].items()}
    places = {name: f"/mnt/{name}" for name in named}
    filled = {**places, **{name: value for name, value in values.items() if not isinstance(value, dict)}}
    command = re.sub(r"\$\{\{(\w+\.\w+)\}\}", lambda match: str(filled[match[1]]), JOB["command"])
    install, _, run = command.partition("&&")
    assert install.split()[:4] == ["python", "-m", "pip", "install"]
    shell, script, train, *options = shlex.split(run)
    assert (shell, train) == ("bash", "train") and (ROOT / script).is_file()
    config, _ = parse_arguments(options)
    assert config.run_folder.as_posix() == f"/mnt/outputs.checkpoints/{JOB['inputs']['run']}"


def test_environment_is_the_lock_of_cuda():
    path = ROOT / "requirements" / "lock.py"
    spec = importlib.util.spec_from_file_location("lock", path)
    lock = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lock)
    assert (FOLDER / "conda.yml").read_text() == lock.conda_text()


def test_environment_is_one_that_the_project_supports():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python, pip, packages = CONDA["dependencies"]
    assert pip == "pip" and python.removeprefix("python=") in SpecifierSet(project["requires-python"])
    pins = {Requirement(line).name for line in packages["pip"]}
    assert {"tensorflow", "setuptools", "keras"} <= pins  # the job installs the project without build isolation
