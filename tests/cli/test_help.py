"""`--help` of every command: exit code 0, a description of every flag, no TensorFlow; and the command reference."""

import dataclasses
import subprocess
import sys

import pytest

from docs.make_commands import PAGE, groups_of, help_of, page
from gan_tf.cli.main import COMMANDS
from gan_tf.config.presets import PRESETS
from gan_tf.config.settings import FAMILIES, TrainConfig, flag

PROGRAM = """
import sys
from gan_tf.cli.main import COMMANDS, main
codes = [main(["--help"])]
for name in COMMANDS:
    try:
        main([name, "--help"])
    except SystemExit as stop:
        codes.append(stop.code)
heavy = {"tensorflow", "tensorflow_datasets", "keras", "scipy"} & set(sys.modules)
print("result:", set(codes), heavy or "light")
"""


def test_help_of_every_command_is_light():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout.endswith("result: {0} light\n"), done.stdout[-200:] + done.stderr


def test_every_flag_has_a_description():
    for name in COMMANDS:
        entries = [entry for group in groups_of(help_of(name)).values() for entry in group]
        assert entries and all(meaning for _, meaning, _ in entries), (name, entries)


@pytest.mark.parametrize("model", FAMILIES)
def test_help_of_train_shows_the_settings_of_one_family(model):
    groups = groups_of(help_of("train", "--model", model))
    shown = {flags.split()[0].strip(","): default for group in groups.values() for flags, _, default in group}
    for field in dataclasses.fields(TrainConfig):
        expected = model in field.metadata["models"] and field.name != "classes"
        assert (flag(field.name) in shown) == expected, field.name
    assert shown["--model"] == model and shown["--preset"] == next(iter(PRESETS[model]))
    assert shown["--lr"] == str(PRESETS[model][shown["--preset"]].lr)


def test_command_reference_is_current():
    assert PAGE.read_text() == page(), "docs/commands.md is not current: run `make docs`"
