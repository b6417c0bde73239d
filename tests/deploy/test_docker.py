"""deploy/docker: the Dockerfile's instructions, and what they copy, installed here without Docker."""

import fnmatch
import json
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
from packaging.specifiers import SpecifierSet

from tests.deploy.stand_ins import DEPLOY, ROOT

DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()
KNOWN = [
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
]


def instructions():
    """[(instruction, its words)] of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def words(name):
    return [rest for found, rest in instructions() if found == name]


def copies():
    """[(source, destination)], paths in the repository and in the image's folder."""
    found = []
    for rest in words("COPY"):
        *sources, destination = rest.split()
        for source in sources:
            found.append((source, destination + source if destination.endswith("/") else destination))
    return found


def test_instructions_are_known_and_begin_with_an_image():
    names = [name for name, _ in instructions()]
    assert set(names) <= set(KNOWN) and names[0] == "FROM" and names.count("FROM") == 1


def test_the_image_has_a_tag_and_a_python_that_the_project_supports():
    [image] = words("FROM")
    name, _, tag = image.partition(":")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert name == "python" and tag.split("-")[0] in SpecifierSet(project["requires-python"])


def test_it_starts_the_entry_script_directly_so_that_signals_reach_it():
    [entry] = map(json.loads, words("ENTRYPOINT"))
    assert entry == ["/opt/gan_tf/deploy/entry.sh"] and ("deploy/entry.sh", "deploy/entry.sh") in copies()
    assert json.loads(words("CMD")[0]) == ["train", "--help"]


def test_the_build_sees_all_that_it_copies_and_no_runs():
    lines = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    admitted = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines and all((ROOT / path).exists() for path in admitted)
    for source, _ in copies():
        assert (ROOT / source).exists() and source in admitted, source
    assert not any(fnmatch.fnmatch("checkpoints", path) for path in admitted)


@pytest.mark.slow
def test_what_is_copied_can_be_installed_and_run(tmp_path):
    for source, destination in copies():
        target = tmp_path / "image" / destination
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)
    install = [line for line in DOCKERFILE.splitlines() if "--no-deps" in line][0]
    command = install.removeprefix("RUN python -m").removesuffix("\\").split()
    packages = tmp_path / "packages"
    subprocess.run(
        [sys.executable, "-m", *command, "--quiet", "--target", packages], cwd=tmp_path / "image", check=True
    )
    code = "import gan_tf, gan_tf_datasets.demo, sys; from gan_tf.cli.main import main; print(gan_tf.__file__); main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "--help"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
    )
    assert str(packages) in done.stdout and "usage: gan-tf train" in done.stdout, done.stderr
