"""What `--help` says: every flag of every command has words of its own."""

import re
import subprocess
import sys

import pytest

from gan_tf.cli.main import COMMANDS, run_command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_has_words(name, capsys):
    with pytest.raises(SystemExit):
        run_command(name, ["--help"])
    entries = []
    for line in capsys.readouterr().out.splitlines():
        line = line.strip("│ ")
        if line.startswith("--"):
            entries.append([])
        if entries:
            entries[-1].append(line)
    for entry in entries:
        words = re.sub(r"^--\S+( --no-\S+)?( [^a-z\s]\S*)?", "", " ".join(entry)).partition("(default")[0]
        assert words.split(), entry


def test_help_does_not_load_tensorflow():
    code = (
        "import contextlib, sys\n"
        "from gan_tf.cli.main import COMMANDS, run_command\n"
        "for name in COMMANDS:\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        run_command(name, ['--help'])\n"
        "    assert 'tensorflow' not in sys.modules, name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
