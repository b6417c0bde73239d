"""The shell scripts of deploy/ as programs: shellcheck, bash, permissions."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.stand_ins import DEPLOY

SCRIPTS = [DEPLOY / "entry.sh", DEPLOY / "slurm" / "train.sbatch"]
# Installed beside this Python, or anywhere.
SHELLCHECK = shutil.which("shellcheck", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
@pytest.mark.skipif(not SHELLCHECK, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say(script):
    done = subprocess.run([SHELLCHECK, "--severity=style", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_can_read_it(script):
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_no_script_is_forgotten():
    found = {path for path in DEPLOY.rglob("*") if path.is_file() and path.read_text().startswith("#!")}
    assert found == set(SCRIPTS)


def test_the_entry_script_can_be_executed():
    assert os.access(DEPLOY / "entry.sh", os.X_OK)


def test_every_folder_has_a_readme_that_the_first_one_links_to():
    folders = {path.name for path in DEPLOY.iterdir() if path.is_dir()}
    text = (DEPLOY / "README.md").read_text()
    assert folders == {"azureml", "docker", "kubernetes", "slurm"}
    assert all((DEPLOY / name / "README.md").is_file() and f"({name})" in text for name in folders)
