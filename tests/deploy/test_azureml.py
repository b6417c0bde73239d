"""deploy/azureml: a command job that Azure's command line understands, and an environment that is environment.yml's."""

import importlib.util
import re
import shlex
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from gan_tf.cli.train_arguments import parse_arguments
from tests.deploy.shapes import COMMAND_JOB, misfits
from tests.deploy.stand_ins import DEPLOY, ROOT

FOLDER = DEPLOY / "azureml"
JOB = yaml.safe_load((FOLDER / "job.yml").read_text())
SEVERAL = yaml.safe_load((FOLDER / "several_nodes.yml").read_text())
CONDA = yaml.safe_load((FOLDER / "conda.yml").read_text())
each_job = pytest.mark.parametrize("job", [JOB, SEVERAL], ids=["one node", "several"])


def filled(job):
    """A job's command with its inputs and outputs put in; data becomes a path of its own."""
    values = {f"inputs.{name}": value for name, value in job["inputs"].items()}
    values |= {f"outputs.{name}": {} for name in job.get("outputs", {})}
    words = {name: f"/azure/{name}" if isinstance(value, dict) else str(value) for name, value in values.items()}
    return re.sub(r"\$\{\{(\w+\.\w+)\}\}", lambda match: words[match[1]], job["command"])


@each_job
def test_keys_and_values_are_known(job):
    assert not misfits(job, COMMAND_JOB, "job")


@pytest.mark.parametrize("name", ["job.yml", "several_nodes.yml"])
def test_azures_own_loader_accepts_it(name):
    ml = pytest.importorskip("azure.ai.ml", reason="pip install azure-ai-ml lets Azure's own package judge the job")
    assert ml.load_job(FOLDER / name)._validate().passed


def test_several_nodes_differ_in_what_they_have_to():
    assert JOB["resources"]["instance_count"] == 1 and "distribution" not in JOB
    count = SEVERAL["resources"]["instance_count"]
    assert count > 1 and SEVERAL["distribution"] == {"type": "tensorflow", "worker_count": count}
    own = {"command", "inputs", "outputs", "distribution", "resources"}
    assert {key: JOB[key] for key in JOB.keys() - own} == {key: SEVERAL[key] for key in SEVERAL.keys() - own}
    assert JOB["inputs"].items() <= SEVERAL["inputs"].items()


def test_workers_of_several_nodes_see_each_others_files_without_a_cache():
    assert "outputs" not in SEVERAL
    mount, _, rest = filled(SEVERAL).partition(" && python ")
    share = SEVERAL["inputs"]["nfs"]
    assert mount == f"mkdir -p /mnt/nfs && mount -t nfs {share} /mnt/nfs"
    assert f"--checkpoints /mnt/nfs/{SEVERAL['inputs']['folder']} " in rest


def test_the_readme_starts_the_job_files_with_settings_that_they_have():
    text = (FOLDER / "README.md").read_text()
    assert set(re.findall(r"--file deploy/azureml/(\w+\.yml)", text)) == {"job.yml", "several_nodes.yml"}
    for line in re.findall(r"^ +az ml job create .*several_nodes.*--set (.*)$", text, re.M):
        changed = dict(word.split("=") for word in line.split())
        assert changed.keys() == {"resources.instance_count", "distribution.worker_count"}
        assert len(set(changed.values())) == 1
    named = set(re.findall(r"`inputs\.(\w+)`", text)) | set(re.findall(r"inputs\.(\w+)=", text))
    assert named <= JOB["inputs"].keys() | SEVERAL["inputs"].keys()


@each_job
def test_files_exist(job):
    assert (FOLDER / job["code"]).resolve() == ROOT
    assert (FOLDER / job["environment"]["conda_file"]).is_file()


@each_job
def test_every_input_and_output_is_used_and_the_command_is_trains(job):
    named = set(re.findall(r"\$\{\{(\w+\.\w+)\}\}", job["command"]))
    assert named == {f"{kind}.{name}" for kind in ("inputs", "outputs") for name in job.get(kind, {})}
    *_, install, run = filled(job).split(" && ")
    assert install.split()[:4] == ["python", "-m", "pip", "install"]
    shell, script, train, *options = shlex.split(run)
    assert (shell, train) == ("bash", "train") and (ROOT / script).is_file()
    config, _ = parse_arguments(options)
    place = {1: "/azure/outputs.checkpoints", 2: "/mnt/nfs/checkpoints"}[job["resources"]["instance_count"]]
    assert config.run_folder.as_posix() == f"{place}/{job['inputs']['run']}"


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
