"""Shell scripts of deploy/: shellcheck, and permissions."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import ROOT

DEPLOY = ROOT / "deploy"
SCRIPTS = [path for path in DEPLOY.rglob("*") if path.is_file() and path.read_text().startswith("#!")]
SHELLCHECK = shutil.which("shellcheck", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


@pytest.mark.skipif(not SHELLCHECK, reason="shellcheck is not installed")
def test_shellcheck():
    done = subprocess.run([SHELLCHECK, "--severity=style", *SCRIPTS], capture_output=True, text=True)
    assert done.returncode == 0 and len(SCRIPTS) == 2, done.stdout


def test_entry_script_is_executable():
    assert os.access(DEPLOY / "entry.sh", os.X_OK)
