"""Job files of Azure, Kubernetes and GitHub Pages, the Docker image, and shellcheck of the scripts in deploy/."""

import fnmatch
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gan_tf.cli.train import parse_arguments
from tests.programs import ROOT

DEPLOY = ROOT / "deploy"
AZURE = {name: yaml.safe_load((DEPLOY / "azureml" / name).read_text()) for name in ("job.yml", "several_nodes.yml")}
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()
SHELLCHECK = shutil.which("shellcheck", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


@pytest.mark.skipif(not SHELLCHECK, reason="shellcheck is not installed")
def test_shellcheck():
    scripts = [path for path in DEPLOY.rglob("*") if path.is_file() and path.read_text().startswith("#!")]
    done = subprocess.run([SHELLCHECK, "--severity=style", *scripts], capture_output=True, text=True)
    assert done.returncode == 0 and len(scripts) == 2, done.stdout


@pytest.mark.parametrize("name", AZURE)
def test_azure_job_trains(name):
    job = AZURE[name]
    values = {f"{kind}.{key}": value for kind in ("inputs", "outputs") for key, value in job.get(kind, {}).items()}
    texts = {key: f"/azure/{key}" if isinstance(value, dict) else str(value) for key, value in values.items()}
    command = job["command"]
    for key, text in texts.items():
        assert f"${{{{{key}}}}}" in command
        command = command.replace(f"${{{{{key}}}}}", text)
    assert "{{" not in command
    assert (DEPLOY / "azureml" / job["code"]).resolve() == ROOT
    assert (DEPLOY / "azureml" / job["environment"]["conda_file"]).is_file()
    shell, script, train, *options = shlex.split(command.split(" && ")[-1])
    assert (shell, train) == ("bash", "train") and (ROOT / script).is_file()
    config, _ = parse_arguments(options)
    folder = {"job.yml": "/azure/outputs.checkpoints", "several_nodes.yml": "/mnt/nfs/checkpoints"}[name]
    assert config.run_folder.as_posix() == f"{folder}/{job['inputs']['run']}"
    assert job.get("distribution", {}).get("worker_count", 1) == job["resources"]["instance_count"]


def test_azure_environment_is_the_lock_file():
    spec = importlib.util.spec_from_file_location("lock", ROOT / "requirements" / "lock.py")
    lock = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lock)
    assert (DEPLOY / "azureml" / "conda.yml").read_text() == lock.conda_text()


def test_kubernetes_workers_share_one_volume():
    job, volume = (yaml.safe_load((DEPLOY / "kubernetes" / f"{name}.yaml").read_text()) for name in ("tfjob", "volume"))
    pod = job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]
    claims = [each["persistentVolumeClaim"]["claimName"] for each in pod["volumes"] if "emptyDir" not in each]
    assert claims == [volume["metadata"]["name"]] and volume["spec"]["accessModes"] == ["ReadWriteMany"]
    assert f"--uid {pod['securityContext']['runAsUser']} " in DOCKERFILE, "the user of the image writes to it"


def copies():
    """Returns [(source, destination)] of the Dockerfile, relative to the repository and to the image's folder."""
    result = []
    for arguments in re.findall(r"^COPY (.*)$", DOCKERFILE, re.M):
        *sources, destination = arguments.split()
        result += [(source, destination + source if destination.endswith("/") else destination) for source in sources]
    return result


def test_docker_context_has_all_copied_files_and_no_runs():
    lines = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    included = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines and all((ROOT / path).exists() for path in included)
    assert {source for source, _ in copies()} <= set(included)
    assert not any(fnmatch.fnmatch("checkpoints", path) for path in included)


def test_pages_workflow_publishes_a_complete_site(tmp_path):
    workflow = yaml.safe_load((DEPLOY / "pages" / "pages.yml").read_text())
    assert workflow["permissions"] == {"contents": "read", "pages": "write", "id-token": "write"}
    steps = workflow["jobs"]["publish"]["steps"]
    actions = [step["uses"] for step in steps if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in actions)
    [folder] = [step["with"]["path"] for step in steps if "upload-pages-artifact" in step.get("uses", "")]
    triggers = workflow[True]["push"]["paths"]  # YAML reads the key `on` as true
    assert triggers == [f"{folder}/**", ".github/workflows/pages.yml"]
    [check] = [step["run"] for step in steps if "run" in step]
    (tmp_path / folder).mkdir()
    for name in ("index.html", "site.json", "service-worker.js", "manifest.webmanifest"):
        done = subprocess.run(["bash", "-ec", check], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1 and done.stdout.startswith(f"{folder}/{name} is missing")
        (tmp_path / folder / name).touch()
    assert subprocess.run(["bash", "-ec", check], cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_copied_files_can_be_installed_and_run(tmp_path):
    image, packages = tmp_path / "image", tmp_path / "packages"
    for source, destination in copies():
        target = image / destination
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(ROOT / source, target)
    install = next(line for line in DOCKERFILE.splitlines() if "--no-deps" in line)
    command = install.removeprefix("RUN python -m").removesuffix("\\").split()
    subprocess.run([sys.executable, "-m", *command, "--quiet", "--target", packages], cwd=image, check=True)
    imports = "import gan_tf, gan_tf_datasets.demo, gan_tf_web; from gan_tf.cli.main import main"
    command = [sys.executable, "-c", f"{imports}; print(gan_tf.__file__); main()", "train", "--help"]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(packages)}, capture_output=True, text=True)
    assert str(packages) in done.stdout and "usage: gan-tf train" in done.stdout, done.stderr
