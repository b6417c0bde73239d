"""README.md says what the program says: commands, flags, defaults, data sets."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from gan_tf.cli.datasets import known_names
from gan_tf.cli.main import COMMANDS, main
from gan_tf.config.settings import TrainConfig, flag
from tests.faults.table import FAULTS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
# Flags of other programs, the benchmarks among them, that README mentions.
OF_OTHERS = {"--logdir", "--model", "--json", "--level", "--runs"}


def section(title):
    """The text between one heading and the next of the same or a higher level."""
    level = re.search(rf"^(#+) {re.escape(title)}$", README, re.M)[1]
    return re.split(rf"^#{{1,{len(level)}}} ", README.partition(f"\n{level} {title}\n")[2], flags=re.M)[0]


def help_of(command):
    """What `gan-tf COMMAND --help` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([command, "--help"])
    return printed.getvalue()


@pytest.fixture(scope="module")
def known_flags():
    return {found for command in COMMANDS for found in re.findall(r"--[a-z][\w-]*", help_of(command))}


def test_every_command_is_listed():
    assert set(re.findall(r"^\| `gan-tf ([\w-]+)", section("Commands"), re.M)) == set(COMMANDS)


def test_every_flag_exists(known_flags):
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", README)) - OF_OTHERS
    assert mentioned <= known_flags | {"--preset", "--help"}


def test_defaults_in_the_settings_table_are_the_programs():
    rows = re.findall(r"^\| `(--[\w-]+)` \| ([^|]+) \|", section("Settings of `train` that matter"), re.M)
    shown = {True: "on", None: "off"}
    config = TrainConfig()
    defaults = {flag(name): value for name, value in vars(config).items()}
    defaults["--augment-policy"] = ",".join(config.policies)  # for which None stands
    assert rows
    for name, text in rows:
        value = defaults[name]
        wanted = (
            shown.get(value) if value is None or value is True else f"{value:g}" if isinstance(value, float) else value
        )
        assert text.strip(" `") == str(wanted), name


def test_every_known_data_set_is_named():
    assert {name for name in known_names() if f"`{name}`" not in section("Data")} == set()


def test_every_fault_that_is_tested_is_told_in_the_table():
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \| [^|]+ \| yes \|$", section("What a fault costs"), re.M)
    assert tuple(rows) == FAULTS


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
