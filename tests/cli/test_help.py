"""`--help` of every command: exit code 0, a description of every flag, no TensorFlow; and the command reference."""

import dataclasses
import subprocess
import sys

import pytest

from docs.make_commands import PAGE, groups_of, help_of, page
from gan_tf.cli.main import COMMANDS
from gan_tf.config.presets import PRESETS
from gan_tf.config.settings import FAMILIES, TrainConfig, flag

HEAVY = ("tensorflow", "tensorflow_datasets", "keras", "scipy")


def test_help_of_every_command_is_light():
    program = (
        "import sys\n"
        "from gan_tf.cli.main import COMMANDS, main\n"
        "codes = [main(['--help'])]\n"
        "for name in COMMANDS:\n"
        "    try:\n"
        "        main([name, '--help'])\n"
        "    except SystemExit as stop:\n"
        "        codes.append(stop.code)\n"
        "print('codes', set(codes))\n"
        f"print('heavy', sorted(set(sys.modules) & set({HEAVY})))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "codes {0}" in done.stdout, done.stderr
    assert "heavy []" in done.stdout, done.stdout[-200:]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_has_a_description(name):
    entries = [entry for group in groups_of(help_of(name)).values() for entry in group]
    assert entries
    for flags, meaning, _ in entries:
        assert meaning, flags


@pytest.mark.parametrize("model", FAMILIES)
def test_help_of_train_shows_the_settings_of_one_family(model):
    groups = groups_of(help_of("train", "--model", model))
    shown = {flags.split()[0].strip(","): default for group in groups.values() for flags, _, default in group}
    for field in dataclasses.fields(TrainConfig):
        assert (flag(field.name) in shown) == (model in field.metadata["models"] and field.name != "classes"), (
            field.name
        )
    assert shown["--model"] == model and shown["--preset"] == next(iter(PRESETS[model]))
    assert shown["--lr"] == str(PRESETS[model][shown["--preset"]].lr)


def test_command_reference_is_current():
    assert PAGE.read_text() == page(), "docs/commands.md is not current: run `make docs`"
