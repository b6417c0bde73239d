"""Job files of Azure and Kubernetes, and the Docker image: their commands, files and settings fit the project."""

import fnmatch
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

from gan_tf.cli.train import parse_arguments
from tests.deploy.script import DEPLOY, ROOT

AZURE = {name: yaml.safe_load((DEPLOY / "azureml" / name).read_text()) for name in ("job.yml", "several_nodes.yml")}
JOB, SEVERAL = AZURE.values()
each_azure_job = pytest.mark.parametrize("name", AZURE)
WORKER = yaml.safe_load((DEPLOY / "kubernetes" / "tfjob.yaml").read_text())["spec"]["tfReplicaSpecs"]["Worker"]
POD = WORKER["template"]["spec"]
[CONTAINER] = POD["containers"]
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()


def substituted(job):
    """Returns the command of an Azure job with its inputs and outputs."""
    values = {f"inputs.{name}": value for name, value in job["inputs"].items()}
    values |= {f"outputs.{name}": {} for name in job.get("outputs", {})}
    texts = {name: f"/azure/{name}" if isinstance(value, dict) else str(value) for name, value in values.items()}
    return re.sub(r"\$\{\{(\w+\.\w+)\}\}", lambda match: texts[match[1]], job["command"])


@each_azure_job
def test_azure_package_accepts_the_job(name):
    ml = pytest.importorskip("azure.ai.ml", reason="pip install azure-ai-ml")
    assert ml.load_job(DEPLOY / "azureml" / name)._validate().passed


@each_azure_job
def test_azure_job_trains(name):
    job = AZURE[name]
    used = set(re.findall(r"\$\{\{(\w+\.\w+)\}\}", job["command"]))
    assert used == {f"{kind}.{key}" for kind in ("inputs", "outputs") for key in job.get(kind, {})}
    assert (DEPLOY / "azureml" / job["code"]).resolve() == ROOT
    assert (DEPLOY / "azureml" / job["environment"]["conda_file"]).is_file()
    shell, script, train, *options = shlex.split(substituted(job).split(" && ")[-1])
    assert (shell, train) == ("bash", "train") and (ROOT / script).is_file()
    config, _ = parse_arguments(options)
    folder = {"job.yml": "/azure/outputs.checkpoints", "several_nodes.yml": "/mnt/nfs/checkpoints"}[name]
    assert config.run_folder.as_posix() == f"{folder}/{job['inputs']['run']}"


def test_azure_job_of_several_nodes():
    """One worker for each node, and checkpoints on a share that is mounted without a cache."""
    count = SEVERAL["resources"]["instance_count"]
    assert count > 1 and SEVERAL["distribution"] == {"type": "tensorflow", "worker_count": count}
    assert "outputs" not in SEVERAL
    assert substituted(SEVERAL).startswith(f"mkdir -p /mnt/nfs && mount -t nfs {SEVERAL['inputs']['nfs']} /mnt/nfs &&")
    varies = {"command", "inputs", "outputs", "distribution", "resources"}
    assert {k: JOB[k] for k in JOB.keys() - varies} == {k: SEVERAL[k] for k in SEVERAL.keys() - varies}


def test_azure_environment_is_the_lock_file():
    spec = importlib.util.spec_from_file_location("lock", ROOT / "requirements" / "lock.py")
    lock = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lock)
    assert (DEPLOY / "azureml" / "conda.yml").read_text() == lock.conda_text()


def test_kubernetes_restarts_by_exit_code():
    variables = {each["name"]: each["value"] for each in CONTAINER["env"]}
    assert WORKER["restartPolicy"] == "ExitCode" and 128 <= int(variables["GAN_TF_RETRY_CODE"]) <= 255
    assert POD["terminationGracePeriodSeconds"] >= 120


def test_kubernetes_workers_share_one_volume():
    volume = yaml.safe_load((DEPLOY / "kubernetes" / "volume.yaml").read_text())
    claims = [each["persistentVolumeClaim"]["claimName"] for each in POD["volumes"] if "emptyDir" not in each]
    assert claims == [volume["metadata"]["name"]] and volume["spec"]["accessModes"] == ["ReadWriteMany"]
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == {each["name"] for each in POD["volumes"]}
    assert f"--uid {POD['securityContext']['runAsUser']} " in DOCKERFILE, "the user of the image writes to it"


def copies():
    """Returns [(source, destination)] of the Dockerfile, relative to the repository and to the image's folder."""
    result = []
    for arguments in re.findall(r"^COPY (.*)$", DOCKERFILE, re.M):
        *sources, destination = arguments.split()
        result += [(source, destination + source if destination.endswith("/") else destination) for source in sources]
    return result


def test_docker_entry_point_receives_signals():
    """The JSON form starts the script without a shell in between."""
    [entry] = map(json.loads, re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.M))
    assert entry == ["/opt/gan_tf/deploy/entry.sh"] and ("deploy/entry.sh", "deploy/entry.sh") in copies()


def test_docker_context_has_all_copied_files_and_no_runs():
    lines = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    included = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines and all((ROOT / path).exists() for path in included)
    assert {source for source, _ in copies()} <= set(included)
    assert not any(fnmatch.fnmatch("checkpoints", path) for path in included)


@pytest.mark.slow
def test_copied_files_can_be_installed_and_run(tmp_path):
    for source, destination in copies():
        target = tmp_path / "image" / destination
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)
    install = next(line for line in DOCKERFILE.splitlines() if "--no-deps" in line)
    command = install.removeprefix("RUN python -m").removesuffix("\\").split()
    packages = tmp_path / "packages"
    command = [sys.executable, "-m", *command, "--quiet", "--target", packages]
    subprocess.run(command, cwd=tmp_path / "image", check=True)
    code = "import gan_tf, gan_tf_datasets.demo, sys; from gan_tf.cli.main import main; print(gan_tf.__file__); main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "--help"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
    )
    assert str(packages) in done.stdout and "usage: gan-tf train" in done.stdout, done.stderr
