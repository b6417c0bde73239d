"""Shell scripts of deploy/: shellcheck, and permissions."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.script import DEPLOY

SCRIPTS = [DEPLOY / "entry.sh", DEPLOY / "slurm" / "train.sbatch"]
SHELLCHECK = shutil.which("shellcheck", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
@pytest.mark.skipif(not SHELLCHECK, reason="shellcheck is not installed")
def test_shellcheck(script):
    done = subprocess.run([SHELLCHECK, "--severity=style", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_all_scripts_are_checked():
    assert {path for path in DEPLOY.rglob("*") if path.is_file() and path.read_text().startswith("#!")} == set(SCRIPTS)


def test_entry_script_is_executable():
    assert os.access(DEPLOY / "entry.sh", os.X_OK)
